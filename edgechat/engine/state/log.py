"""The engine's log: llama.cpp's own stderr and the engine's few lines, in one bounded file.

Standard error of the engine process *is* this file, so that a native assertion's last words are kept. It is rotated
when an engine starts, and cut in half when it outgrows its bound while the engine runs.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from edgechat.errors import StateError
from edgechat.paths import private_directory

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 1024 * 1024


def path(state: Path) -> Path:
    """Where the current engine writes."""
    return state / "logs" / "engine.log"


def served(state: Path) -> Path:
    """Where the HTTP server writes."""
    return state / "logs" / "serve.log"


def answers(state: Path) -> Path:
    """Where answers are noted, if the configuration says so."""
    return state / "logs" / "answers.log"


def open_for_engine(state: Path) -> int:
    """Rotate if needed and return a descriptor to append to.

    Raises:
        StateError: the log cannot be opened.
    """
    file = path(state)
    private_directory(file.parent)
    try:
        if file.exists() and file.stat().st_size > MAX_BYTES // 2:
            file.replace(file.with_suffix(".log.1"))
        return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"Cannot write {file}: {error.strerror}.") from error


def keep_bounded(state: Path) -> None:
    """Drop the older half once the file is over its bound. Appending goes on at the new end (O_APPEND)."""
    file = path(state)
    try:
        if file.stat().st_size <= MAX_BYTES:
            return
        with file.open("r+b") as log:
            log.seek(-MAX_BYTES // 2, os.SEEK_END)
            kept = log.read()
            log.seek(0)
            log.write(kept)
            log.truncate()
    except OSError:
        return  # the log is what cannot be written, so there is nowhere to say so; the engine goes on


def tail(state: Path, *, start: int = 0, size: int = 8192) -> str:
    """The last ``size`` bytes, but none from before offset ``start``."""
    try:
        with path(state).open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(end - size, min(start, end)))
            return log.read().decode("utf-8", "replace")
    except OSError:
        return ""


class Lossy(io.TextIOWrapper):
    """A text stream that drops what cannot be written.

    The log is not worth the engine: on a full disk each line of it would otherwise end the thread that wrote it, and
    with it every answer. Whoever reads the log finds the disk full, and a gap.
    """

    def write(self, text: str, /) -> int:
        """Write, or do as if."""
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        """Flush, or do as if."""
        try:
            super().flush()
        except OSError:
            return


def survive_a_full_disk() -> None:
    """Let this process's standard error be :class:`Lossy`."""
    # The old one stays as sys.__stderr__: whoever frees it closes the descriptor.
    sys.stderr = Lossy(sys.stderr.buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def log_exception() -> None:
    """Write the exception that is being handled, with its traceback."""
    import traceback  # noqa: PLC0415 - 5 ms of imports on the way to an error only

    traceback.print_exc()
