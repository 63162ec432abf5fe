"""Input bytes of a terminal: decoding, and the app in a real pseudo-terminal that gets bytes no keyboard sends."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from edgechat.errors import ExitCode
from edgechat.tui.terminal_input import InputDecoder
from tests.tui.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.paths import Paths

pytestmark = pytest.mark.app

APP = (sys.executable, "-m", "edgechat")
REPORT = b"\x1b[M \xc8\x30"
"""A press of the left button at column 168, row 16, as terminals without SGR reports send it."""


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain", "plain"),
        ("日本é".encode(), "日本é"),
        (b"caf\xe9!", "caf\ufffd!"),
        (REPORT, "\x1b[<0;168;16M"),
        (b"\x1b[M#\xc8\x30", "\x1b[<0;168;16m"),
        # Both coordinates together are valid UTF-8: the letter behind them must not become part of the report.
        (b"\x1b[M \xc3\xa9x", "\x1b[<0;163;137Mx"),
        (b"\x1b[M`!!k", "\x1b[<64;1;1Mk"),
        (b"\x1b[200~a\x1b[M \x30\x30\x1b[201~" + REPORT, "\x1b[200~a\x1b[M 00\x1b[201~\x1b[<0;168;16M"),
        (b"\x1b", "\x1b"),
        (b"\x1b[A\x1b[1;5A", "\x1b[A\x1b[1;5A"),
    ],
)
def test_bytes_become_the_same_text_however_they_are_split(data: bytes, text: str) -> None:
    assert InputDecoder().decode(data, is_final=True) == text
    for at in range(1, len(data)):
        decoder = InputDecoder()
        assert decoder.decode(data[:at]) + decoder.decode(data[at:], is_final=True) == text
    decoder = InputDecoder()
    assert "".join(decoder.decode(bytes([byte])) for byte in data) + decoder.decode(b"", is_final=True) == text


def test_escape_is_never_held_back() -> None:
    decoder = InputDecoder()
    assert decoder.decode(b"\x1b") == "\x1b"
    assert decoder.decode(b"[") == "["


def test_a_legacy_mouse_report_far_to_the_right_leaves_the_draft(paths: Paths) -> None:
    with Terminal(APP, os.environ, (200, 24)) as terminal:
        terminal.wait("Everything you write")
        terminal.send(b"my long draft")
        terminal.wait("my long draft")
        terminal.send(REPORT + b" goes on")
        terminal.wait("my long draft goes on")
        assert terminal.leave() == 0


STRANGE = (
    b"\xff\xfe\xc0\x80\xf8",
    b"\x1b[99999999999u",
    b"\x1b[1114112;1u\x1b[55555555;1;55555555u",
    b"\x1b[48;99999;99999;1;1t",
    b"\x1b[48;0;0;0;0t\x1b[<0;3;3M",
    b"\x1b[<0;99999;99999M\x1b[<99;1;1M\x1b[<35;-4;2M",
    b"\x1b[M\x00\x00\x00\x1b[M\xff\xff\xff",
    b"\x1b[?2026;1$y\x1b[9;9R",
    b"\x1b[200~pasted \xff\x1b[201~",
    b"\x00\x01\x02\x1c\x1d\x1e\x1f",
)


def test_bytes_that_no_keyboard_sends_leave_the_app_and_the_draft(paths: Paths) -> None:
    with Terminal(APP, os.environ) as terminal:
        terminal.wait("Everything you write")
        terminal.send("δραφτ".encode())
        terminal.wait("δραφτ")
        for data, letter in zip(STRANGE, "ABCDEFGHIJ", strict=True):
            terminal.send(data)
            terminal.pump(0.05)  # so that the next byte does not continue a sequence
            terminal.send(b"\x1b")
            terminal.pump(0.2)  # longer than a lone Escape is waited for
            terminal.send(letter.encode())
            terminal.wait(lambda shown, letter=letter: "δραφτ" in shown.text and letter in shown.lines[-3])  # type: ignore[misc]
        assert terminal.leave() == 0


def test_a_defect_ends_with_its_exit_code_and_shows_the_draft(paths: Paths, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(
        "from edgechat.tui import terminal_input\n"
        "def fail(self): raise RuntimeError('the keyboard is on fire')\n"
        "terminal_input.InputDecoder.decode = lambda self, data: fail(self) if b'!' in data else data.decode()\n"
        "from edgechat.cli.main import run\n"
        "run([])\n"
    )
    with Terminal((sys.executable, str(broken)), os.environ) as terminal:
        terminal.wait("Everything you write")
        terminal.send(b"not sent yet")
        terminal.wait("not sent yet")
        terminal.send(b"!")
        assert terminal.end() == ExitCode.DEFECT
        said = terminal.raw.partition(b"\x1b[?1049l")[2].decode()
    assert "not sent yet" in said
    assert "defect in edgechat" in said
    assert "Traceback" not in said
    assert "on fire" in (paths.state / "logs" / "defect.log").read_text()


def test_random_sequences_leave_the_app_and_the_draft(paths: Paths) -> None:
    """A short run of the drill."""
    from scripts.drills.ui_input import run

    outcome = run(sequences=150, seed=14, batch=50)
    assert (outcome.sequences, outcome.lost, outcome.exit_code) == (150, [], 0)
