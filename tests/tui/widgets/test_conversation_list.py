"""The list of conversations as a person uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.chat.conversation import Conversation, Transcript
from edgechat.chat.history import History
from edgechat.tui.dialogs.questions import AskLine
from edgechat.tui.widgets.conversation_list import CONVERSATIONS_PER_PAGE
from tests.tui.kit import drive, screen_text, until

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from edgechat.paths import Paths
    from edgechat.tui.app import EdgechatApp

pytestmark = pytest.mark.app


def fill(paths: Paths, *texts: str) -> None:
    with History.open(paths) as history:
        for text in texts:
            history.add_question(history.start().id, text)


def titles(app: EdgechatApp) -> list[str]:
    return [str(option.prompt).partition("\n")[0] for option in app.chat.sidebar.list.options]


async def open_list(app: EdgechatApp, pilot: Pilot[None], count: int) -> None:
    await pilot.press("f2")
    await until(pilot, lambda: len(app.chat.sidebar.list.options) == count)


def test_a_conversation_is_opened_from_the_list(app: EdgechatApp, paths: Paths) -> None:
    fill(paths, "About rivers", "About ships")

    async def story(pilot: Pilot[None]) -> None:
        await open_list(app, pilot, 2)
        assert titles(app) == ["About ships", "About rivers"]
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.chat.conversation is not None)
        assert "About rivers" in screen_text(app)
        assert app.chat.composer.has_focus

    drive(app, story)


def test_two_characters_of_japanese_are_found(app: EdgechatApp, paths: Paths) -> None:
    fill(paths, "天気の話", "明日は東京で会議がある", "London")

    async def story(pilot: Pilot[None]) -> None:
        await open_list(app, pilot, 3)
        await pilot.press("slash", *"東京")
        await until(pilot, lambda: len(app.chat.sidebar.list.options) == 1)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: app.chat.conversation is not None)
        assert app.chat.message_list.views[0].message.content == "明日は東京で会議がある"

    drive(app, story)


def test_down_in_the_search_field_leads_to_the_results(app: EdgechatApp, paths: Paths) -> None:
    fill(paths, "About rivers", "About ships", "Elsewhere")

    async def story(pilot: Pilot[None]) -> None:
        await open_list(app, pilot, 3)
        await pilot.press("slash", *"about")
        await until(pilot, lambda: len(app.chat.sidebar.list.options) == 2)
        await pilot.press("down")
        await until(pilot, lambda: app.chat.sidebar.list.has_focus)

    drive(app, story)


def test_rename(app: EdgechatApp, paths: Paths) -> None:
    fill(paths, "Old")

    async def story(pilot: Pilot[None]) -> None:
        await open_list(app, pilot, 1)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, AskLine))
        await pilot.press("end", *" rope", "enter")
        await until(pilot, lambda: titles(app) == ["Old rope"])

    drive(app, story)
    with History.open(paths) as history:
        assert history.conversation(1).title == "Old rope"


def test_delete_and_undo(app: EdgechatApp, paths: Paths) -> None:
    fill(paths, "First", "Second")

    async def story(pilot: Pilot[None]) -> None:
        await open_list(app, pilot, 2)
        await pilot.press("d")
        await until(pilot, lambda: titles(app) == ["First"])
        with History.open(paths) as history:
            assert history.conversation(2).is_deleted
        await pilot.press("u")
        await until(pilot, lambda: titles(app) == ["Second", "First"])

    drive(app, story)
    with History.open(paths) as history:
        assert not history.conversation(2).is_deleted


def test_titles_carry_no_markup_and_no_control_codes(app: EdgechatApp, paths: Paths) -> None:
    fill(paths, "[red]t[/red] \x1b]0;x\x07 \u202eabc")

    async def story(pilot: Pilot[None]) -> None:
        await open_list(app, pilot, 1)
        shown = screen_text(app)
        assert "[red]t[/red]" in shown
        assert not set(shown) & {"\x1b", "\x07", "\u202e"}

    drive(app, story)


def test_the_list_leaves_with_esc(app: EdgechatApp, paths: Paths) -> None:
    fill(paths, "One")

    async def story(pilot: Pilot[None]) -> None:
        await open_list(app, pilot, 1)
        await pilot.press("escape")
        assert not app.chat.sidebar.display
        assert app.chat.composer.has_focus

    drive(app, story)


def test_a_long_list_comes_in_steps(app: EdgechatApp, paths: Paths) -> None:
    with History.open(paths) as history:
        history.add(Transcript(Conversation(f"Chat {number}"), ()) for number in range(CONVERSATIONS_PER_PAGE + 5))

    async def story(pilot: Pilot[None]) -> None:
        await open_list(app, pilot, CONVERSATIONS_PER_PAGE)
        await until(pilot, lambda: "more below" in screen_text(app))
        await pilot.press("end")
        await until(pilot, lambda: len(titles(app)) == CONVERSATIONS_PER_PAGE + 5)
        assert app.chat.sidebar.list.highlighted == CONVERSATIONS_PER_PAGE - 1
        assert f"{CONVERSATIONS_PER_PAGE + 5} conversations" in screen_text(app)

    drive(app, story)
