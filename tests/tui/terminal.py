"""A real pseudo-terminal with an app in it: keys go in, bytes come out with the moment of their arrival.

What the bytes would show is told by pyte, an independent terminal emulator, and only when it is asked for: nothing is
parsed while something is timed. Used by the tests of this room and by ``scripts/ui_*.py``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from typing import TYPE_CHECKING

import pyte

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pyte.screens import Char
    from typing_extensions import Self

ENTER, ESC, BACKSPACE, CTRL_N, CTRL_Q, CTRL_U = b"\r", b"\x1b", b"\x7f", b"\x0e", b"\x11", b"\x15"
F1, F2, F3, F4 = b"\x1bOP", b"\x1bOQ", b"\x1bOR", b"\x1bOS"
TRUE_COLOUR = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
_STEP_S = 0.02


class Screen(pyte.Screen):
    """pyte's screen; what it does not know (``CSI > … m`` of keyboard protocols) must not reach its colours."""

    def select_graphic_rendition(self, *attrs: int, private: bool = False) -> None:
        """Colours and styles; private sequences are other things."""
        if not private:
            super().select_graphic_rendition(*attrs)


class Terminal:
    """One command in a pseudo-terminal of its own session. Leave the ``with`` block to kill and reap it.

    Args:
        command: the program and its arguments.
        env: its whole environment; ``TERM`` and ``COLORTERM`` are those of ``colours``.
        size: columns and rows.
        directory: where the program runs; None for the current directory.
        colours: how a terminal says how many colours it has.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        size: tuple[int, int] = (80, 24),
        *,
        directory: Path | None = None,
        colours: Mapping[str, str] = TRUE_COLOUR,
    ) -> None:
        self.size = size
        self.chunks: list[tuple[float, bytes]] = []
        """What arrived, and when (``time.monotonic``)."""
        self.started_at = time.monotonic()
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            with contextlib.suppress(OSError):
                if directory is not None:
                    os.chdir(directory)
                # A test runner that has workers gives them its own size, which would count before this terminal's.
                others = {name: each for name, each in env.items() if name not in {*TRUE_COLOUR, "COLUMNS", "LINES"}}
                os.execvpe(command[0], list(command), {**others, **colours})
            os._exit(127)
        self.resize(size)
        self._status: int | None = None
        self._emulator = Screen(*size)
        self._stream = pyte.ByteStream(self._emulator)
        self._fed = 0

    def resize(self, size: tuple[int, int]) -> None:
        """Tell the app that the window has another size, in columns and rows."""
        columns, rows = self.size = size
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if hasattr(self, "_emulator"):
            self._emulator.resize(rows, columns)

    def send(self, keys: bytes) -> float:
        """Press keys; the moment before they were."""
        at = time.monotonic()
        os.write(self._master, keys)
        return at

    def pump(self, seconds: float) -> bool:
        """Take what arrives within ``seconds``; False once the app is gone."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self._master], [], [], left)[0] and not self._read():
                return False
        return True

    def read_some(self, seconds: float) -> bool:
        """Wait for the next bytes, at most ``seconds``; whether any came."""
        return bool(select.select([self._master], [], [], max(0.0, seconds))[0]) and self._read()

    def _read(self) -> bool:
        try:
            data = os.read(self._master, 1 << 16)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False
        if data:
            self.chunks.append((time.monotonic(), data))
        return bool(data)

    def read_rest(self) -> None:
        """Take what had been written before the app ended."""
        while self.read_some(0):
            pass

    @property
    def raw(self) -> bytes:
        """All bytes so far."""
        return b"".join(data for _, data in self.chunks)

    @property
    def lines(self) -> list[str]:
        """What the screen shows now."""
        return list(self._shown().display)

    @property
    def text(self) -> str:
        """What the screen shows now, as one text."""
        return "\n".join(self.lines)

    @property
    def cells(self) -> list[list[Char]]:
        """Each cell that the screen shows now, line by line."""
        screen = self._shown()
        return [[screen.buffer[y][x] for x in range(screen.columns)] for y in range(screen.lines)]

    @property
    def cursor(self) -> tuple[int, int]:
        """Column and row of the terminal's cursor."""
        cursor = self._shown().cursor
        return cursor.x, cursor.y

    def _shown(self) -> Screen:
        for _, data in self.chunks[self._fed :]:
            self._stream.feed(data)
        self._fed = len(self.chunks)
        return self._emulator

    def wait(self, true: Callable[[Terminal], object] | str, patience_s: float = 60.0) -> None:
        """Let the app run until the screen shows a text, or a condition holds.

        Raises:
            TimeoutError: it did not come; with the screen.
        """
        end = time.monotonic() + patience_s
        while not (true in self.text if isinstance(true, str) else true(self)):
            if time.monotonic() > end or not (self.read_some(_STEP_S) or self.is_alive):
                raise TimeoutError(f"{true!r} did not come:\n{self.text}")

    @property
    def is_alive(self) -> bool:
        """Whether the app runs."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = status
        return self._status is None

    def kill(self) -> None:
        """kill -9, and reap."""
        if self.is_alive:
            os.kill(self.pid, signal.SIGKILL)
            _, self._status = os.waitpid(self.pid, 0)

    def leave(self, patience_s: float = 30.0) -> int:
        """Press Ctrl+Q, confirm where an answer is still being written, take what comes; the exit code.

        Raises:
            TimeoutError: it did not leave.
        """
        self.send(CTRL_Q)
        end = time.monotonic() + patience_s
        while self.is_alive and time.monotonic() < end:
            if "Quit all the same?" in self.text:
                self.send(b"y")
            self.pump(0.3)
        return self.end(patience_s)

    def end(self, patience_s: float = 30.0) -> int:
        """Take what comes until the app is gone; the exit code.

        Raises:
            TimeoutError: it does not leave.
        """
        end = time.monotonic() + patience_s
        while self.is_alive:
            if time.monotonic() > end:
                raise TimeoutError(f"the app does not leave:\n{self.text}")
            self.read_some(_STEP_S)
        self.read_rest()
        assert self._status is not None
        return os.waitstatus_to_exitcode(self._status)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        os.close(self._master)


def frames(chunks: Sequence[tuple[float, bytes]], size: tuple[int, int]) -> Iterator[tuple[float, Screen]]:
    """Replay what arrived: after each piece, when it came and the screen as it was then."""
    screen = Screen(*size)
    stream = pyte.ByteStream(screen)
    for at, data in chunks:
        stream.feed(data)
        yield at, screen
