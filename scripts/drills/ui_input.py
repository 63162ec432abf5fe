#!/usr/bin/env python3
"""Sends random bytes, keys, pastes and window sizes to the terminal UI, and checks that it lives and keeps the draft.

    scripts/drills/ui_input.py [--sequences 10000] [--seed 14] [--batch 250]

Each batch begins with a marker in Greek letters, which nothing else sends. After the batch the marker must be in the
field, in the questions that were asked, or in the conversations on disk. The app runs in a temporary directory: random
keys also write files, whose names must be free of control characters. Left out of the random input are only the keys
that delete text or quit. One line a batch; exit code 1 when the app ended, a draft was lost or a file has such a name.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from textual._ansi_sequences import ANSI_SEQUENCES_KEYS

from edgechat.chat.history import History
from edgechat.paths import Paths
from tests.engine.scripted_engine import scripted_engine
from tests.tui.terminal import ESC, Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_GREEK = "αβγδεζηθικλμνξοπρστυφχψω"
_MARKER_LENGTH = 12
_PATIENCE_S = 60.0
_BEHIND_S = 20.0
_SIZES = ((80, 24), (200, 50), (60, 12), (20, 5), (132, 43), (100, 30), (3, 2), (223, 60))
_KEYS = (
    b"a", b"Z", b"7", b" ", b"/", b"\t", b"\x1b[Z", b"\x1b[A", b"\x1b[B", b"\x1b[C", b"\x1b[D", b"\x1b[H", b"\x1b[F",
    b"\x1b[5~", b"\x1b[6~", b"\x1bOP", b"\x1bOQ", b"\x1bOR", b"\x1bOS", b"\x1b[15~", b"\x1b[17~", b"\x1b[18~",
    b"\x1b[19~", b"\x1b[20~", b"\x1b", b"\x1b[1;5A", b"\x1b[1;5B", b"\r", b"\n", b"\x0f", b"\x10", b"\x12", b"\x13",
    b"\x14", b"\x0c", b"\x0e",
)  # fmt: skip
_EDITING = frozenset(b"\x01\x03\x04\x05\x07\x08\x0b\x11\x15\x16\x17\x18\x19\x1a\x7f")
"""Keys that quit, delete, cut, undo or select all."""
_EDITING_SEQUENCES = tuple(
    sequence
    for sequence, keys in ANSI_SEQUENCES_KEYS.items()
    if len(sequence) > 1
    and isinstance(keys, tuple)
    and any(word in key.value for key in keys for word in ("shift", "delete", "backspace", "ctrl", "insert"))
)
"""Sequences for keys that delete text, or that select text which the next letter replaces."""
_OTHER_PARTS = (b"[M", b"u", b"~", b"\x1b[<", b";2", b";4", b";5", b";6")
"""Parts of other such sequences. Mouse input has a generator of its own, because dragging selects text."""
_END = b"\x1b[I"
"""The report that the terminal has the focus: what was cut off before it does not swallow the next key."""

_CHILD = """
import faulthandler, json, os, signal, sys, traceback
from edgechat.paths import Paths
from edgechat.tui.app import make_app
app = make_app(Paths.from_env())
def report(*_):
    field = app.chat.composer
    said = json.dumps({"text": field.text, "earlier": list(field.earlier)})
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(said)
    os.replace(sys.argv[1] + ".new", sys.argv[1])
signal.signal(signal.SIGUSR1, report)
faulthandler.register(signal.SIGUSR2, open(sys.argv[1] + ".stacks", "w"))
def note(error):
    with open(sys.argv[1] + ".stacks", "a") as file:
        traceback.print_exception(error, file=file)
    os._exit(1)
app._handle_exception = note
app.run()
sys.exit(app.return_code or 0)
"""


@dataclass
class Outcome:
    """What happened."""

    sequences: int = 0
    lost: list[str] = field(default_factory=list)
    """Markers of drafts that were found nowhere."""
    exit_code: int | None = None
    files: list[str] = field(default_factory=list)
    """Names of the files that the app wrote into its directory."""

    @property
    def bad_names(self) -> list[str]:
        """Those with control characters."""
        return [name for name in self.files if not name.isprintable()]


def _without_editing(data: bytes) -> bytes:
    kept = bytes(byte for byte in data if byte not in _EDITING)
    for part in (*(sequence.encode() for sequence in _EDITING_SEQUENCES), *_OTHER_PARTS):
        kept = kept.replace(part, b"")
    return kept


def _noise(chance: random.Random) -> bytes:
    return _without_editing(chance.randbytes(chance.randint(1, 24))) + _END


def _high(chance: random.Random) -> bytes:
    return bytes(chance.randint(0x80, 0xFF) for _ in range(chance.randint(1, 8))) + _END


def _control_sequence(chance: random.Random) -> bytes:
    numbers = b";".join(b"%d" % chance.choice((0, 1, 9, 38, 99999, 2**31, 10**12)) for _ in range(chance.randint(0, 4)))
    end = bytes([chance.randint(0x40, 0x7E)])
    return _without_editing(b"\x1b[" + chance.choice((b"", b"?", b">", b"=")) + numbers + end) + _END


def _cut_sequence(chance: random.Random) -> bytes:
    starts = (b"\x1b[", b"\x1bO", b"\x1b]0;title", b"\x1bP", b"\x1b[?2", b"\x1b[200", b"\xe3\x81", b"\xf0\x9f")
    return chance.choice(starts) + _END


def _mouse(chance: random.Random) -> bytes:
    """The wheel, and movement without a button, anywhere; legacy reports, SGR reports and impossible ones."""
    if chance.random() < 0.6:
        return b"\x1b[M" + bytes([chance.choice((96, 97, 67)), chance.randint(32, 255), chance.randint(32, 255)])
    x, y = chance.choice((1, 50, 168, 5000)), chance.choice((1, 9, 24, 5000))
    return b"\x1b[<%d;%d;%dM" % (chance.choice((64, 65, 35)), x, y)


def _paste(chance: random.Random) -> bytes:
    body = chance.choice(
        (
            b"one line",
            b"two\r\nlines",
            "日本語 \N{GRINNING FACE}".encode(),
            b"\xff\xc3 bad \x1b[31m",
            b"line\n" * 40,
        )
    )
    return b"\x1b[200~" + body + b"\x1b[201~"


_MAKERS: tuple[tuple[Callable[[random.Random], bytes], int], ...] = (
    (_noise, 6),
    (_high, 4),
    (_control_sequence, 4),
    (_cut_sequence, 2),
    (_mouse, 4),
    (_paste, 1),
    (lambda chance: chance.choice(_KEYS), 5),
)


def sequence(chance: random.Random) -> bytes:
    """One random sequence."""
    makers, weights = zip(*_MAKERS, strict=True)
    made: bytes = chance.choices(makers, weights)[0](chance)
    return made


def _fields(terminal: Terminal, file: Path) -> Mapping[str, object]:
    """What the app has in its field and in the questions asked before."""
    file.unlink(missing_ok=True)
    os.kill(terminal.pid, signal.SIGUSR1)
    end = time.monotonic() + _PATIENCE_S
    while not file.exists():
        if terminal.is_alive and time.monotonic() > end:
            os.kill(terminal.pid, signal.SIGUSR2)
            terminal.pump(1.0)
            raise TimeoutError(f"the app hangs:\n{file.with_name(file.name + '.stacks').read_text()}")
        if not terminal.is_alive:
            return {"text": "", "earlier": []}
        terminal.pump(0.05)
    found: dict[str, object] = json.loads(file.read_text())
    return found


def _greek(text: object) -> str:
    return "".join(letter for letter in str(text) if letter in _GREEK)


def _is_kept(marker: str, terminal: Terminal, file: Path, paths: Paths) -> bool:
    """Whether the marker is found; an app on a busy machine may still have input to handle."""
    end = time.monotonic() + _BEHIND_S
    while terminal.is_alive and time.monotonic() < end:
        if _is_found(marker, terminal, file, paths):
            return True
        terminal.pump(0.5)
    return False


def _is_found(marker: str, terminal: Terminal, file: Path, paths: Paths) -> bool:
    found = _fields(terminal, file)
    if marker in _greek(found["text"]) or any(marker in _greek(each) for each in found["earlier"]):  # type: ignore[attr-defined]
        return True
    with History.open_to_read(paths) as history:
        return any(
            marker in _greek(message.content)
            for conversation in (*history.conversations(), *history.conversations(is_deleted=True))
            for message in history.messages(conversation.id)
        )


def _begin_draft(marker: str, terminal: Terminal, file: Path) -> None:
    """Write the marker into the field, once the app has handled all input before."""
    while terminal.is_alive and marker not in _greek(_fields(terminal, file)["text"]):
        _to_field(terminal)
        terminal.pump(1.0)
        terminal.send(marker.encode())
        terminal.pump(1.0)


def _to_field(terminal: Terminal) -> None:
    """Close dialogs and screens, and focus the field."""
    terminal.resize((100, 30))
    for _ in range(6):
        terminal.send(b"\x1b[201~" + ESC)
        terminal.pump(0.25)


def run(*, sequences: int, seed: int, batch: int, report: Callable[[str], None] = lambda _: None) -> Outcome:
    """Send the sequences, in batches, to one app process on a home of its own."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="edgechat-input-") as scratch:
        home, work = Path(scratch) / "home", Path(scratch) / "work"
        for directory in (home, work):
            directory.mkdir()
        env = {**os.environ, "EDGECHAT_HOME": str(home), "HOME": str(work)}
        paths = Paths.from_env(env)
        file = Path(scratch) / "fields.json"
        with History.open(paths) as history:
            for number in range(5):
                history.add_question(history.start(title=f"Chat {number}").id, f"Question {number}")
        with (
            scripted_engine(paths.state, ["word "] * 20),
            Terminal((sys.executable, "-c", _CHILD, str(file)), env, directory=work) as terminal,
        ):
            terminal.wait("Everything you write")
            while outcome.sequences < sequences and terminal.is_alive:
                chance = random.Random(f"{seed} {outcome.sequences}")
                marker = "".join(chance.choice(_GREEK) for _ in range(_MARKER_LENGTH))
                _begin_draft(marker, terminal, file)
                _send_batch(terminal, chance, min(batch, sequences - outcome.sequences), outcome)
                terminal.resize((100, 30))
                if not terminal.is_alive or not _is_kept(marker, terminal, file, paths):
                    outcome.lost.append(marker)
                report(f"{outcome.sequences:,} sequences, {len(outcome.lost)} drafts lost, alive: {terminal.is_alive}")
            if terminal.is_alive:
                _to_field(terminal)
            outcome.exit_code = _leave(terminal)
            if outcome.exit_code:
                report(file.with_name(file.name + ".stacks").read_text())
        outcome.files = sorted(each.name for each in work.iterdir())
    return outcome


def _leave(terminal: Terminal) -> int:
    if terminal.is_alive:
        terminal.send(b"\x11")
        terminal.pump(0.5)
    if terminal.is_alive:
        terminal.send(b"y")  # an answer may still be running
    return terminal.end()


def _send_batch(terminal: Terminal, chance: random.Random, count: int, outcome: Outcome) -> None:
    for _ in range(count):
        outcome.sequences += 1
        if chance.random() < 0.03:
            terminal.resize(chance.choice(_SIZES))
        terminal.send(sequence(chance))
        terminal.pump(0.004 if chance.random() < 0.96 else 0.15)
        if not terminal.is_alive:
            return


def main() -> int:
    """Run the drill; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--batch", type=int, default=250)
    given = parser.parse_args()
    outcome = run(
        sequences=given.sequences, seed=given.seed, batch=given.batch, report=lambda line: print(line, flush=True)
    )
    print(f"{outcome.sequences:,} sequences · {len(outcome.lost)} drafts lost · exit code {outcome.exit_code}")
    print(f"{len(outcome.files)} files written · names with control characters: {outcome.bad_names}")
    is_good = not outcome.lost and outcome.exit_code == 0 and not outcome.bad_names
    return 0 if is_good and outcome.sequences == given.sequences else 1


if __name__ == "__main__":
    sys.exit(main())
