"""The chat as a person uses it, against a scripted engine on the real socket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from edgechat.chat.history import History
from edgechat.errors import StateError
from edgechat.tui.dialogs.attach_file import AttachFile
from edgechat.tui.dialogs.chat_settings import ChatSettingsDialog
from edgechat.tui.widgets.composer import PASTE_CHARS, PASTE_LINES
from edgechat.tui.widgets.message_list import INITIAL, MAX_MOUNTED, PAGE
from edgechat.tui.widgets.message_view import MessageView
from tests.engine.scripted_engine import scripted_engine
from tests.tui.kit import ask, drive, kept, screen_text, until

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from edgechat.paths import Paths
    from edgechat.tui.app import EdgechatApp

pytestmark = pytest.mark.app


def test_a_question_is_answered_and_on_disk(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await ask(pilot, "Why is it blue?")
        shown = screen_text(app)
        assert "Why is it blue?" in shown
        assert "Because of scattering" in shown
        assert "▰" in shown  # the gauge
        assert kept(paths) == [
            ("user", "Why is it blue?", "complete"),
            ("assistant", "Because of **scattering**.", "complete"),
        ]

    with scripted_engine(paths.state, ["Because ", "of **scat", "tering**."]) as engine:
        drive(app, story)
        (asked,) = engine.requests[0]["messages"]
        assert (asked["role"], asked["content"]) == ("user", "Why is it blue?")


def test_the_question_is_on_disk_before_it_is_on_screen(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        app.chat.composer.insert("Slow one")
        await pilot.press("enter")
        await until(pilot, lambda: app.chat.message_list.views)
        assert kept(paths)[0] == ("user", "Slow one", "complete")
        await pilot.press("escape")
        await until(pilot, lambda: not app.chat.is_answering)

    with scripted_engine(paths.state, ["word "] * 50, pause_s=0.05):
        drive(app, story)


def test_esc_stops_and_what_came_is_kept_as_partial(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        app.chat.composer.insert("Count")
        await pilot.press("enter")
        await until(pilot, lambda: len(app.chat.message_list.views) == 2)
        await until(pilot, lambda: "word" in app.chat.message_list.views[1].shown_text)
        await pilot.press("escape")
        await until(pilot, lambda: not app.chat.is_answering)
        role, text, status = kept(paths)[1]
        assert (role, status) == ("assistant", "partial")
        assert text.startswith("word ")
        assert len(text) < len("word ") * 400
        assert app.chat.message_list.views[1].shown_text == text
        assert "cancelled" in screen_text(app)
        assert app.chat.banner.text == ""

    with scripted_engine(paths.state, ["word "] * 400, pause_s=0.02):
        drive(app, story)


def test_regenerate_replaces_the_last_answer(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await ask(pilot, "Once")
        first = app.chat.message_list.views[1].message.id
        await pilot.press("ctrl+r")
        await until(pilot, lambda: not app.chat.is_answering and app.chat.message_list.views[-1].message.id > first)
        assert len(app.chat.message_list.views) == 2
        assert [role for role, _, _ in kept(paths)] == ["user", "assistant"]

    with scripted_engine(paths.state, ["Answer"]) as engine:
        drive(app, story)
        assert [len(each["messages"]) for each in engine.requests] == [1, 1]


def test_edit_asks_the_question_anew(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await ask(pilot, "Blue?")
        await pilot.press("ctrl+g")
        assert app.chat.composer.text == "Blue?"
        await pilot.press("home", *"Dark ")
        await pilot.press("enter")
        await until(pilot, lambda: not app.chat.is_answering and len(app.chat.message_list.views) == 2)
        await until(pilot, lambda: kept(paths)[0][1] == "Dark Blue?")
        assert len(kept(paths)) == 2

    with scripted_engine(paths.state, ["Answer"]):
        drive(app, story)


def test_esc_leaves_an_edited_question_as_it_was(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await ask(pilot, "Blue?")
        await pilot.press("ctrl+g", "x", "escape")
        assert app.chat.composer.text == ""
        await ask(pilot, "Next")
        assert [text for role, text, _ in kept(paths) if role == "user"] == ["Blue?", "Next"]

    with scripted_engine(paths.state, ["Answer"]):
        drive(app, story)


def test_several_lines_and_earlier_questions(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await pilot.press("a", "ctrl+j", "b")
        assert app.chat.composer.text == "a\nb"
        await pilot.press("enter")
        await until(pilot, lambda: len(app.chat.message_list.views) == 2 and not app.chat.is_answering)
        await pilot.press("d", "up")
        assert app.chat.composer.text == "a\nb"
        await pilot.press("down")
        assert app.chat.composer.text == "d"

    with scripted_engine(paths.state, ["Answer"]):
        drive(app, story)
    assert kept(paths)[0][1] == "a\nb"


@pytest.mark.parametrize("large", ["line\n" * (PASTE_LINES + 3), "x" * (PASTE_CHARS + 1)], ids=["lines", "characters"])
def test_a_large_paste_goes_along_without_filling_the_field(app: EdgechatApp, paths: Paths, large: str) -> None:
    from textual import events

    async def story(pilot: Pilot[None]) -> None:
        app.chat.composer.post_message(events.Paste(large))
        await until(pilot, lambda: app.chat.composer.attachments)
        assert app.chat.composer.text == ""
        assert "Pasted text" in screen_text(app)
        await pilot.press(*"why", "enter")
        await until(pilot, lambda: len(app.chat.message_list.views) == 2 and not app.chat.is_answering)
        assert app.chat.composer.attachments == ()

    with scripted_engine(paths.state, ["Answer"]) as engine:
        drive(app, story)
        content = engine.requests[0]["messages"][0]["content"]
    assert content.startswith("Pasted text")
    assert content.endswith(f"{large}\n\nwhy")


def test_a_paste_is_never_obeyed(app: EdgechatApp) -> None:
    from textual import events

    async def story(pilot: Pilot[None]) -> None:
        app.chat.composer.post_message(events.Paste("a\x1b]52;c;aGk=\x07b\r\nc\u202e"))
        await until(pilot, lambda: app.chat.composer.text)
        assert app.chat.composer.text == "a]52;c;aGk=b\nc"

    drive(app, story)


def test_a_file_is_attached_and_backspace_takes_it_off(app: EdgechatApp, tmp_path: Path) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, AttachFile))
        app.screen.path.value = str(file)  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(pilot, lambda: app.chat.composer.attachments)
        assert app.chat.composer.attachments[0].text == "engine oil"
        await until(pilot, lambda: app.chat.composer.has_focus)
        await pilot.press("backspace")
        assert app.chat.composer.attachments == ()

    file = tmp_path / "note.txt"
    file.write_text("engine oil")
    drive(app, story)


def test_the_system_prompt_leads_the_conversation(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await pilot.press("ctrl+t")
        await until(pilot, lambda: isinstance(app.screen, ChatSettingsDialog))
        await pilot.press(*"Be brief", "ctrl+s")
        await until(pilot, lambda: app.chat.composer.has_focus)
        await ask(pilot, "Hello")

    with scripted_engine(paths.state, ["Answer"]) as engine:
        drive(app, story)
        first = engine.requests[0]["messages"][0]
        assert (first["role"], first["content"]) == ("system", "Be brief")


def test_model_text_carries_no_markup_links_or_control_codes(app: EdgechatApp, paths: Paths) -> None:
    evil = ["\x1b[31mred\x1b]8;;http://evil/\x07 ", "[bold]b[/bold] [@click=app.quit]q[/] ", "[text](http://evil/) "]
    evil += ["<script>alert(1)</script> ", "![p](http://evil/p.png) \u202eoverride \x9b5m"]

    async def story(pilot: Pilot[None]) -> None:
        await ask(pilot, "[red]mine[/red] \x1b[5m")
        shown = screen_text(app)
        for literal in (
            "[bold]b[/bold]",
            "[@click=app.quit]q[/]",
            "text (http://evil/)",
            "<script>",
            "!p (http://evil/p.png)",
        ):
            assert literal in " ".join(shown.split())  # wherever a line ends
        assert "[red]mine[/red]" in shown
        assert not set(shown) & {"\x1b", "\x9b", "\x07", "\u202e"}
        metas = [
            segment.style.meta
            for strip in app.screen._compositor.render_strips()
            for segment in strip
            if segment.style and segment.style.meta
        ]
        assert not [meta for meta in metas if "@click" in meta and "quit" in str(meta)]
        assert not [s for strip in app.screen._compositor.render_strips() for s in strip if s.style and s.style.link]

    with scripted_engine(paths.state, evil):
        drive(app, story)


def test_a_long_conversation_opens_at_its_last_word_and_reads_back(app: EdgechatApp, paths: Paths) -> None:
    with History.open(paths) as history:
        number = history.start().id
        for at in range(3 * PAGE):
            history.add_question(number, f"question {at}")

    async def story(pilot: Pilot[None]) -> None:
        await app.chat.open(number)
        await pilot.pause()
        await until(pilot, lambda: f"question {3 * PAGE - 1}" in screen_text(app))
        await until(pilot, lambda: len(app.chat.message_list.views) == INITIAL + PAGE)
        assert f"question {3 * PAGE - 1}" in screen_text(app)
        for _ in range(24):
            await pilot.press("pageup")
            await pilot.pause()
        await until(pilot, lambda: len(app.chat.message_list.views) > INITIAL + PAGE)
        texts = [view.message.content for view in app.chat.message_list.views]
        assert texts == [f"question {at}" for at in range(3 * PAGE - len(texts), 3 * PAGE)]

    drive(app, story)


def say_many(paths: Paths, count: int) -> int:
    with History.open(paths) as history:
        number = history.start(title="A long one").id
        for at in range(count):
            history.add_question(number, f"question {at}.")
    return number


def contents(app: EdgechatApp) -> list[str]:
    return [view.message.content for view in app.chat.message_list.views]


def test_reading_far_back_and_on_again_meets_each_message_and_holds_few(app: EdgechatApp, paths: Paths) -> None:
    count = 3 * MAX_MOUNTED
    number = say_many(paths, count)
    every = [f"question {at}." for at in range(count)]

    async def turn_pages(pilot: Pilot[None], key: str, last: str) -> None:
        met: set[str] = set()
        for _ in range(count):
            held = contents(app)
            at = every.index(held[0])
            assert held == every[at : at + len(held)], "messages are missing in between"
            assert len(held) <= MAX_MOUNTED
            met |= {text for text in every if text in screen_text(app)}
            if last in screen_text(app):
                break
            await pilot.press(key)
            await pilot.pause()
        assert met == set(every)

    async def story(pilot: Pilot[None]) -> None:
        await app.chat.open(number)
        await until(pilot, lambda: every[-1] in screen_text(app))
        await turn_pages(pilot, "pageup", every[0])
        assert app.chat.message_list.has_later
        await turn_pages(pilot, "pagedown", every[-1])
        assert not app.chat.message_list.has_later

    drive(app, story)


def test_what_was_found_far_back_is_shown(app: EdgechatApp, paths: Paths) -> None:
    number = say_many(paths, 4 * MAX_MOUNTED)

    async def story(pilot: Pilot[None]) -> None:
        await app.chat.open(number)
        await until(pilot, lambda: len(app.chat.message_list.views) == INITIAL + PAGE)
        with History.open(paths) as history:
            (found,) = [each for each in history.messages(number) if each.content == f"question {MAX_MOUNTED}."]
        await app.chat.message_list.show(found.id)
        await until(pilot, lambda: found.content in screen_text(app))
        assert isinstance(app.focused, MessageView)
        assert app.focused.message == found
        await pilot.press("escape", *"Now", "enter")
        await until(pilot, lambda: contents(app)[-2:] == ["Now", "Answer"])

    with scripted_engine(paths.state, ["Answer"]):
        drive(app, story)


def test_once_more_means_the_last_answer_wherever_one_has_read_back_to(app: EdgechatApp, paths: Paths) -> None:
    number = say_many(paths, 3 * MAX_MOUNTED)

    async def story(pilot: Pilot[None]) -> None:
        await app.chat.open(number)
        await ask(pilot, "The last one?")
        while not app.chat.message_list.has_later:
            await pilot.press("pageup")
            await pilot.pause()
        await pilot.press("ctrl+r")
        await until(pilot, lambda: len(kept(paths, number)) == 3 * MAX_MOUNTED + 2 and not app.chat.is_answering)
        await until(pilot, lambda: contents(app)[-2:] == ["The last one?", "Answer"])
        assert [text for role, text, _ in kept(paths, number) if role == "user"][-1] == "The last one?"
        assert len(kept(paths, number)) == 3 * MAX_MOUNTED + 2

    with scripted_engine(paths.state, ["Answer"]):
        drive(app, story)


def test_fork_from_a_message(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await ask(pilot, "One")
        await ask(pilot, "Two")
        await pilot.press("ctrl+up", "up", "up", "f")
        await until(pilot, lambda: app.chat.conversation is not None and app.chat.conversation.id == 2)
        await until(pilot, lambda: len(app.chat.message_list.views) == 2)
        await ask(pilot, "Three")
        assert [text for role, text, _ in kept(paths, 2) if role == "user"] == ["One", "Three"]
        assert [text for role, text, _ in kept(paths, 1) if role == "user"] == ["One", "Two"]

    with scripted_engine(paths.state, ["Answer"]):
        drive(app, story)


@pytest.mark.process
def test_without_a_model_the_question_comes_back(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        app.chat.model = "no-such-model"
        app.chat.composer.insert("Hello")
        await pilot.press("enter")
        await until(pilot, lambda: app.chat.banner.text and not app.chat.is_answering, patience_s=60)
        assert "no-such-model" in app.chat.banner.text
        assert app.chat.composer.text == "Hello"

    drive(app, story)
    from edgechat.engine.client import client

    client.stop(paths)


def test_a_disk_that_refuses_costs_only_durability(
    app: EdgechatApp, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgechat.storage.database import Database

    transaction = Database.transaction

    def refusing(self: Database):
        if self.file is not None and is_full[0]:
            raise StateError("The disk is full.")
        return transaction(self)

    is_full = [False]
    monkeypatch.setattr(Database, "transaction", refusing)

    async def story(pilot: Pilot[None]) -> None:
        await ask(pilot, "Before")
        is_full[0] = True
        await ask(pilot, "After")
        assert "in memory" in app.chat.banner.text
        assert "not saved" in screen_text(app)
        assert [view.message.content for view in app.chat.message_list.views] == ["Before", "Answer", "After", "Answer"]
        await ask(pilot, "And on")
        assert len(app.chat.message_list.views) == 6
        is_full[0] = False

    with scripted_engine(paths.state, ["Answer"]):
        drive(app, story)
    assert [text for _, text, _ in kept(paths)] == ["Before", "Answer"]


def test_the_cursor_rests_at_the_caret_while_an_answer_streams(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        app.chat.composer.insert("Go")
        await pilot.press("enter")
        await until(pilot, lambda: len(app.chat.message_list.views) == 2)
        await pilot.press(*"日本")
        for _ in range(10):
            await asyncio.sleep(0.05)
            await pilot.pause()
            assert app.cursor_position == app.chat.composer.cursor_screen_offset
        region = app.chat.composer.content_region
        assert app.cursor_position == (region.x + 4, region.y)
        await pilot.press("escape")
        await until(pilot, lambda: not app.chat.is_answering)

    with scripted_engine(paths.state, ["word\n\n"] * 200, pause_s=1 / 60):
        drive(app, story)


@pytest.mark.parametrize("size", [(80, 24), (40, 15)], ids=str)
def test_toasts_leave_the_field_visible(app: EdgechatApp, size: tuple[int, int]) -> None:
    """Even several of them at once, beside a draft of many lines."""
    from textual.widgets._toast import Toast

    async def story(pilot: Pilot[None]) -> None:
        app.chat.composer.insert("\n".join("abcdefgh"))
        for number in range(4):
            app.notify(f"Written to /home/me/{number}/" + "a-long-directory/" * 5, title="A title")
        await until(pilot, lambda: [each for each in app.screen.query(Toast) if each.region.height])
        await pilot.pause()
        assert "Written to" in screen_text(app)
        region = app.chat.composer.region
        assert region.height == 8
        covered = [
            (x, y)
            for y in range(region.y, region.bottom)
            for x in range(region.x, region.right)
            if app.screen.get_widget_at(x, y)[0] is not app.chat.composer
        ]
        assert covered == []

    drive(app, story, size, notifications=True)


def test_quitting_in_mid_answer_asks(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        app.chat.composer.insert("Slow one")
        await pilot.press("enter")
        await until(pilot, lambda: "word" in screen_text(app))
        await pilot.press("ctrl+q")
        await until(pilot, lambda: "Quit all the same?" in screen_text(app))
        await pilot.press("n")
        await until(pilot, lambda: app.screen is app.chat)
        assert app.chat.is_answering
        await pilot.press("ctrl+q", "y")

    with scripted_engine(paths.state, ["word "] * 2000, pause_s=0.02):
        drive(app, story)
    assert kept(paths)[0] == ("user", "Slow one", "complete")


def test_a_message_is_at_most_100_columns_wide(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await ask(pilot, "Long?")
        assert max(len(line.rstrip()) for line in screen_text(app).splitlines()[1:-3]) <= 103

    with scripted_engine(paths.state, ["many words " * 60]):
        drive(app, story, (200, 40))


def test_keys_of_the_place_that_has_the_focus_come_first(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await ask(pilot, "One")
        await pilot.press("ctrl+up", "f1")
        await until(pilot, lambda: "On a message" in screen_text(app))
        assert screen_text(app).index("On a message") < screen_text(app).index("Writing")

    with scripted_engine(paths.state, ["Answer"]):
        drive(app, story, (100, 60))
