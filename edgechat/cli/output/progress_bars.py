"""Progress bars for long work, on standard error: with rate and remaining time on a terminal, else a line per 10 %."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from edgechat.cli.output.terminal import columns, say, wrapped
from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID
    from typing_extensions import Self

REDRAW_S = 0.1
_STEPS = 10


class ProgressBars:
    """Shows one bar at a time. Use it as a context manager, so that the terminal is restored."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._rich: RichProgress | None = None
        self._task: TaskID | None = None
        self._label = ""
        self._total: int | None = None
        self._done = self._shown = 0
        self._drawn_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def begin(self, label: str, total: int | None, done: int = 0) -> None:
        """Start a new bar."""
        self.end()
        self._label, self._total, self._done = clean_line(label), total, done
        self._shown = _STEPS * done // total if total else 0
        if self._terminal:
            self._rich = _rich_progress()
            self._rich.start()
            self._task = self._rich.add_task(self._label, total=total, completed=done)
        elif done:
            say(f"{self._label}: continuing at {_size(done)} of {_size(total or 0)}")

    def advance(self, amount: int) -> None:
        """Add to the bar. It is redrawn at most ten times a second, because drawing takes CPU time."""
        self._done += amount
        now = time.monotonic()
        if now - self._drawn_at < REDRAW_S and self._done != self._total:
            return
        self._drawn_at = now
        if self._rich is not None and self._task is not None:
            self._rich.update(self._task, completed=self._done)
        elif not self._terminal and self._total and _STEPS * self._done // self._total > self._shown:
            self._shown = _STEPS * self._done // self._total
            say(f"{self._label}: {_STEPS * self._shown} % of {_size(self._total)}")

    def note(self, text: str) -> None:
        """Print a sentence above the bar."""
        if self._rich is not None:
            shown = wrapped(clean_line(text), columns(sys.stderr) or self._rich.console.width)
            self._rich.console.print(shown, markup=False, highlight=False, style="yellow", soft_wrap=True)
        else:
            say(clean_line(text))

    def end(self) -> None:
        """Stop the bar where it is."""
        if self._rich is not None:
            self._rich.stop()
        self._rich = self._task = None


def _rich_progress() -> RichProgress:
    from rich.console import Console  # noqa: PLC0415 - 60 ms
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
    )


def _size(count: int) -> str:
    from edgechat.board.probe.summary import size  # noqa: PLC0415

    return size(count)
