"""The app in a real pseudo-terminal, seen through an independent terminal emulator."""

from __future__ import annotations

import os
import re
import signal
import sys
from typing import TYPE_CHECKING

import gguf
import pytest
from gguf.scripts.gguf_new_metadata import MetadataDetails, copy_with_new_metadata
from pyte import ByteStream

from edgechat.chat.history import History
from edgechat.models.store.installed import installed
from tests.engine.scripted_engine import scripted_engine
from tests.tui.kit import kept
from tests.tui.terminal import CTRL_U, ENTER, ESC, F2, F3, Screen, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgechat.paths import Paths

pytestmark = pytest.mark.process

APP = (sys.executable, "-m", "edgechat")
WELCOME = "Everything you write"

EVIL = (
    "\x1b[31mred\x1b]8;;http://evil.example/\x07link\x1b]8;;\x07 ",
    "\x1b]52;c;aGk=\x07\x9b5m\x9d0;title\x9c\x90q\x9c\x1bPq\x1b\\ ",
    "\x1b[6n\x1b[c\x1b[2J\x1bc\x05\x0e\x08 ",
    "\u202eoverride\u202c\u2066isolate\u2069\u200f ",
    "[bold]not bold[/bold] [@click=app.quit]go[/] ",
    "[text](http://evil.example/) <b>html</b> ",
)
"""Colours, links, the clipboard, C1, reports, reversals, markup of Rich and Textual, and of Markdown."""

_CONTROL = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\)|\x1b.|[\x00-\x1f\x7f]", re.DOTALL)
_OWN = re.compile(
    rb"\r|\n|\x1b\[[0-9;]*[mH]"  # where and how to write
    rb"|\x1b\[\?(?:1000|1003|1004|1006|1015|1049|2004|2026|2048|25|7)[hl]"  # mouse, focus, screen, paste, frames, caret
    rb"|\x1b\[\?(?:2026|2048)\$p|\x1b\[[<>][0-9]*u|\x1b\]22;default\x07"  # what the terminal can do, keys, pointer
)
"""What Textual itself tells a terminal. SGR 5 (blinking) is not among what it uses, and is looked for apart."""
_INVISIBLE = {
    chr(code) for code in (*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F)
}
_FRAME_BEGINS, _FRAME_ENDS = b"\x1b[?2026h", b"\x1b[?2026l"


@pytest.fixture
def terminal(paths: Paths) -> Iterator[Terminal]:
    """The app, ready to write in."""
    with Terminal(APP, os.environ) as terminal:
        terminal.wait(WELCOME)
        yield terminal


def test_keys_that_arrive_together_are_obeyed_in_their_order(terminal: Terminal, paths: Paths) -> None:
    with scripted_engine(paths.state, ["Answer"]):
        terminal.send(b"why\x7f\x7f\x1b[Hx\x1b[Fo\rnext")
        terminal.wait(lambda shown: "Answer" in shown.text and shown.lines[-3].strip() == "next")
        assert terminal.leave() == 0
    assert kept(paths)[0][1] == "xwo"


def test_what_is_typed_behind_a_key_goes_where_that_key_leads(terminal: Terminal, paths: Paths) -> None:
    """However fast it comes: letters of a search or a title must not be taken for the list's own keys."""
    with History.open(paths) as history:
        for title in ("Diodes", "Foxes"):
            history.add_question(history.start(title=title).id, f"About {title.lower()}")
    terminal.send(F2)
    terminal.wait("2 conversations")
    terminal.send(b"/fud")
    terminal.wait("0 found")
    terminal.send(CTRL_U + b"dio\r")
    terminal.wait("2 found")
    terminal.send(b"r")
    terminal.wait("New title")
    terminal.send(CTRL_U + b"Valves" + ENTER)
    terminal.wait(lambda shown: "New title" not in shown.text)
    assert terminal.leave() == 0
    with History.open(paths) as history:
        assert {each.title for each in history.conversations()} == {"Valves", "Foxes"}


def test_letters_behind_the_key_that_edits_a_question_are_part_of_it(terminal: Terminal, paths: Paths) -> None:
    with scripted_engine(paths.state, ["Answer"]):
        terminal.send(b"why" + ENTER)
        terminal.wait("Answer")
        terminal.send(b"\x1b[1;5A\x1b[A" + b"e, fork" + ENTER)  # Ctrl+up, up, edit
        terminal.wait(lambda shown: "why, fork" in shown.text)
        terminal.wait(lambda shown: shown.lines[-3].strip() == "" or "Ask something" in shown.lines[-3])
        assert terminal.leave() == 0
    assert [text for role, text, _ in kept(paths) if role == "user"] == ["why, fork"]
    with History.open(paths) as history:
        assert len(history.conversations()) == 1


def test_raw_bytes_carry_nothing_that_a_model_a_title_or_a_file_smuggles_in(paths: Paths, tmp_path: Path) -> None:
    """What the terminal gets, byte by byte: the app's own CSI sequences, and text."""
    with History.open(paths) as history:
        for number, text in enumerate(EVIL):
            history.rename(history.start(title="t").id, f"{text}title{number}")
            history.add_question(history.start().id, f"{text}question{number}")
        with history.start_answer(history.start(title="x").id, f"{EVIL[0]}model", f"{EVIL[1]}q4") as answer:
            answer.append("".join(EVIL), is_thought=True)
            answer.append("".join(EVIL))
            answer.finish("stop")
    file = tmp_path / "note[bold]name.txt"
    file.write_text("".join(EVIL))
    with scripted_engine(paths.state, [*EVIL, "the end"]), Terminal(APP, os.environ, (140, 50)) as terminal:
        terminal.wait(WELCOME)
        terminal.send(b"\x0f")  # Ctrl+O attaches a file
        terminal.wait("Attach which")
        terminal.send(str(file).encode() + ENTER)
        terminal.wait("note[bold]name.txt,")
        terminal.send(f"\x1b[200~{''.join(EVIL)}\x1b[201~".encode())  # a bracketed paste
        terminal.pump(0.3)
        terminal.send(b"why" + ENTER)
        literals = ("[bold]not bold[/bold]", "[@click=app.quit]go[/]", "text (http://evil.example/)")
        # As text, once the whole answer has been drawn.
        terminal.wait(lambda shown: all(each in " ".join(shown.text.split()) for each in (*literals, "the end")))
        terminal.send(F2)
        terminal.wait("conversations")
        terminal.pump(0.5)
        terminal.send(b"\x1b[B" + ENTER)  # the one whose answer and model's name are evil
        terminal.pump(0.5)
        assert terminal.leave() == 0
    assert len(smuggled("".join(EVIL).encode())) > 20  # the check itself sees them
    assert smuggled(terminal.raw) == []


def with_texts(source: Path, path: Path, texts: dict[str, str]) -> None:
    """A copy of a GGUF file whose header says other things."""
    details = {key: MetadataDetails(gguf.GGUFValueType.STRING, text) for key, text in texts.items()}
    copy_with_new_metadata(gguf.GGUFReader(source), gguf.GGUFWriter(path, "llama"), details, [])


def smuggled(raw: bytes) -> list[bytes]:
    """Sequences that Textual itself never writes to a terminal, and characters that no text may hold there."""
    found = [match[0] for match in _CONTROL.finditer(raw) if not _OWN.fullmatch(match[0])]
    found += [each for each in _CONTROL.findall("".join(EVIL).encode()) if each in raw]
    found += [character.encode() for character in raw.decode() if character in _INVISIBLE]
    return found


def test_frames_at_60_tokens_a_second_end_with_the_cursor_at_the_caret(terminal: Terminal, paths: Paths) -> None:
    terminal.send(b"\x1b[?2026;2$y")  # this terminal knows where frames begin and end
    words = [f"{word} " for word in ("so", "the", "light", "goes", "on\n\n-", "and\n-", "on")] * 40
    with scripted_engine(paths.state, words, pause_s=1 / 60):
        terminal.send(b"go" + ENTER)
        terminal.wait("tok/s · Esc")
        terminal.send("日本".encode())
        terminal.wait("日本")
        terminal.pump(2.0)
    emulator = Screen(*terminal.size)
    stream = ByteStream(emulator)
    seen = 0
    for frame in terminal.raw.split(_FRAME_ENDS)[:-1]:
        stream.feed(frame)
        if _FRAME_BEGINS in frame and "日本" in emulator.display[-3]:
            seen += 1
            assert (emulator.cursor.x, emulator.cursor.y) == (5, terminal.size[1] - 3)
    assert seen > 10


def test_sigterm_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.end() == 143
    assert b"\x1b[?1049l" in terminal.raw[-400:]


def test_raw_bytes_carry_nothing_of_a_model_files_metadata(paths: Paths, tmp_path: Path) -> None:
    """A real file whose header lies, taken in by the command and shown, used and removed in the app."""
    evil = "".join(EVIL)
    file = tmp_path / "evil\x1b]0;owned\x07[bold]\u202e.gguf"
    source = installed(paths)[0].path  # the starter: this home has no other
    with_texts(
        source,
        file,
        {
            "general.name": f"lying{EVIL[0]}{EVIL[4]}",
            **{
                f"general.{key}": evil
                for key in ("author", "organization", "description", "license", "url", "basename")
            },
            "tokenizer.chat_template": f"{{# {evil} #}}{{{{ messages[0]['content'] }}}}{evil}",
        },
    )
    raw = b""
    for command in (("models", "add", str(file)), ("models", "list"), ("models", "plan")):
        with Terminal((*APP, *command), {**os.environ, "NO_COLOR": "1"}, (160, 50)) as terminal:
            terminal.end(120.0)
            raw += terminal.raw.replace(b"\x1b[2K", b"")  # the line of the progress bar, wiped
    assert b"evil" in raw
    with Terminal(APP, os.environ, (160, 50)) as terminal:
        terminal.wait(WELCOME)
        terminal.send(F3)
        terminal.wait(lambda shown: "evil-0-owned" in shown.text and "n_ctx" in shown.text.partition("───")[2])
        if "not bold" not in terminal.text.partition("───")[2]:
            terminal.send(b"\x1b[B")  # below the starter; what the plan says of it comes with the licence
        terminal.wait(lambda shown: "not bold" in shown.text.partition("───")[2])
        terminal.send(b"d")
        terminal.wait("from the disk?")
        terminal.send(ESC)
        terminal.wait(lambda shown: "from the disk?" not in shown.text)
        terminal.send(ENTER)
        terminal.wait("answers from the next question on")
        assert terminal.leave() == 0
        raw += terminal.raw
    assert smuggled(raw) == []
