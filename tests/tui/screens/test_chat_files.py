"""Files that the chat writes and shows: no name with control characters is written, completed or drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual import events
from textual.widgets import Input

from edgechat.chat.history import History
from edgechat.tui.dialogs.attach_file import AttachFile
from edgechat.tui.dialogs.questions import AskLine
from tests.tui.kit import drive, screen_text, until

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from edgechat.paths import Paths
    from edgechat.tui.app import EdgechatApp

pytestmark = pytest.mark.app


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_conversation_is_written_under_a_clean_name(app: EdgechatApp, paths: Paths, folder: Path) -> None:
    with History.open(paths) as history:
        history.add_question(history.start().id, "Why?")

    async def save(pilot: Pilot[None], pasted: str) -> None:
        app.screen.query_one(Input).value = ""
        app.screen.query_one(Input).post_message(events.Paste(pasted))
        await until(pilot, lambda: app.screen.query_one(Input).value)
        await pilot.press("enter")

    async def story(pilot: Pilot[None]) -> None:
        await app.chat.open(1)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, AskLine))
        assert app.screen.query_one(Input).value == "conversation-1.md"
        await save(pilot, "~no-such-user/x.md")
        await until(pilot, lambda: isinstance(app.screen, AskLine) and "no such user" in screen_text(app))
        await save(pilot, " a  \x1b]0;owned\x07\x9b\tname\u202e.md ")
        await until(pilot, lambda: app.screen is app.chat)

    drive(app, story)
    assert [each.name for each in folder.iterdir()] == ["a  ]0;owned name.md"]
    assert "Why?" in (folder / "a  ]0;owned name.md").read_text()


def test_names_of_files_send_nothing_to_the_terminal(app: EdgechatApp, folder: Path) -> None:
    for name in ("a\x1b]52;c;aGk=\x07.txt", "[red]b[@click=app.quit].txt", "c\u202e.txt"):
        (folder / name).write_text("text")

    async def story(pilot: Pilot[None]) -> None:
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, AttachFile) and "b[@click=app.quit].txt" in screen_text(app))
        shown = screen_text(app)
        assert "a]52;c;aGk=.txt" in shown
        assert not set(shown) & {"\x1b", "\x07", "\u202e"}
        dialog = app.screen
        assert isinstance(dialog, AttachFile)
        await pilot.press("a")
        await pilot.pause()
        assert dialog.path._suggestion == ""  # no field can hold the name; the tree has it
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.chat.composer.attachments)
        assert app.chat.composer.attachments[0].text == "text"

    drive(app, story)
