"""Versions of answers and questions in the chat: nothing is lost, a key switches, a failure changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.chat.history import History
from edgechat.tui.widgets.message_view import MessageView
from tests.engine.scripted_engine import scripted_engine
from tests.tui.kit import ask, drive, kept, screen_text, until

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from edgechat.paths import Paths
    from edgechat.tui.app import EdgechatApp

pytestmark = pytest.mark.app


def contents(app: EdgechatApp) -> list[str]:
    return [view.message.content for view in app.chat.message_list.views]


async def again(app: EdgechatApp, pilot: Pilot[None], key: str = "ctrl+r") -> None:
    await pilot.press(key)
    await until(pilot, lambda: not app.chat.is_answering and len(app.chat.message_list.views) % 2 == 0)


def test_an_earlier_answer_and_what_followed_it_come_back_with_a_key(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await ask(pilot, "One")
        first = app.chat.message_list.views[-1].message.id
        await ask(pilot, "Two")
        app.chat.message_list.views[1].focus()
        await again(app, pilot, "r")
        await until(pilot, lambda: len(contents(app)) == 2 and "2/2" in screen_text(app))
        await ask(pilot, "Three")
        assert contents(app) == ["One", "Answer", "Three", "Answer"]
        app.chat.message_list.views[1].focus()
        await pilot.press("left")
        await until(pilot, lambda: contents(app) == ["One", "Answer", "Two", "Answer"])
        assert "1/2" in screen_text(app)
        assert isinstance(app.focused, MessageView)
        assert app.focused.message.id == first
        await pilot.press("left")
        await until(pilot, lambda: "first of 2 versions" in app.chat.banner.text)
        await pilot.press("right")
        await until(pilot, lambda: contents(app) == ["One", "Answer", "Three", "Answer"])

    with scripted_engine(paths.state, ["Answer"]):
        drive(app, story)
    assert [text for _, text, _ in kept(paths)] == ["One", "Answer", "Three", "Answer"]


def test_an_edited_question_is_another_version_and_the_draft_comes_back(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await ask(pilot, "Blue?")
        await pilot.press(*"draft")
        await pilot.press("ctrl+g", *" Why?", "enter")
        await until(pilot, lambda: contents(app) == ["Blue? Why?", "Answer"] and not app.chat.is_answering)
        assert app.chat.composer.text == "draft"
        await pilot.press("alt+left")
        await until(pilot, lambda: contents(app) == ["Blue?", "Answer"])
        await pilot.press("ctrl+g", "escape")
        assert app.chat.composer.text == "draft"

    with scripted_engine(paths.state, ["Answer"]):
        drive(app, story)


def test_an_answer_that_fails_at_once_leaves_the_one_before(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await ask(pilot, "One")
        app.chat.session._engine.client = fail  # type: ignore[method-assign,assignment]
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "no engine here" in app.chat.banner.text)
        await until(pilot, lambda: contents(app) == ["One", "Answer"])

    def fail() -> None:
        from edgechat.errors import EngineError

        raise EngineError("There is no engine here.")

    with scripted_engine(paths.state, ["Answer"]):
        drive(app, story)
    assert [text for _, text, _ in kept(paths)] == ["One", "Answer"]


def test_a_search_finds_other_versions_and_opens_them(app: EdgechatApp, paths: Paths) -> None:
    with History.open(paths) as history:
        number = history.start().id
        question = history.add_question(number, "the turbine hums")
        history.set_aside(question.id)
        history.add_question(number, "the pump hums")

    async def story(pilot: Pilot[None]) -> None:
        await app.chat.open(number)
        await pilot.press("f2", "slash", *"turbine")
        await until(pilot, lambda: app.chat.sidebar.list.option_count == 1 and "turbine" in screen_text(app))
        await pilot.press("down", "enter")
        await until(pilot, lambda: contents(app) == ["the turbine hums"])

    drive(app, story)


def test_settings_are_kept_with_the_conversation(app: EdgechatApp, paths: Paths) -> None:
    from edgechat.tui.dialogs.chat_settings import ChatSettingsDialog

    async def story(pilot: Pilot[None]) -> None:
        await pilot.press("ctrl+t")
        await until(pilot, lambda: isinstance(app.screen, ChatSettingsDialog))
        dialog = app.screen
        assert isinstance(dialog, ChatSettingsDialog)
        dialog.preset.value = "short"
        await until(pilot, lambda: "three sentences" in dialog.system.text)
        dialog.fields["temperature"].value = "9"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "temperature is 9" in screen_text(app))
        dialog.fields["temperature"].value = "0,2"
        dialog.fields["max_tokens"].value = "77"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: app.chat.composer.has_focus)
        await ask(pilot, "Hello")
        await app.chat.open(None)
        await app.chat.open(1)
        await ask(pilot, "Again")

    with scripted_engine(paths.state, ["Answer"]) as engine:
        drive(app, story)
        for request in engine.requests:
            assert (request["sampling"], request["max_tokens"]) == ({"temperature": 0.2}, 77)
            assert "three sentences" in request["messages"][0]["content"]
