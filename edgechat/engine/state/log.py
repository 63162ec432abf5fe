"""The engine's log: what llama.cpp and the engine write to standard error, in one bounded file.

Standard error of the engine process is this file, so that the message of a native assertion is kept. It is rotated when
an engine starts, and cut in half when it grows beyond its bound while the engine runs.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from edgechat.errors import StateError
from edgechat.ownership import open_own
from edgechat.paths import private_directory

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 1024 * 1024


def path(state: Path) -> Path:
    """The log of the engine."""
    return state / "logs" / "engine.log"


def server_path(state: Path) -> Path:
    """The log of the HTTP server."""
    return state / "logs" / "serve.log"


def answers_path(state: Path) -> Path:
    """The log of answers, written where the configuration asks for it."""
    return state / "logs" / "answers.log"


def open_for_engine(state: Path) -> int:
    """Rotate the log if needed and return a descriptor that appends to it.

    Raises:
        StateError: the log cannot be opened.
    """
    file = path(state)
    private_directory(file.parent)
    try:
        if file.exists() and file.stat().st_size > MAX_BYTES // 2:
            file.replace(file.with_suffix(".log.1"))
        return open_own(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    except OSError as error:
        raise StateError(
            f"Cannot write {file}: {error.strerror}.",
            hint=f"Look at it with `ls -l {file}`, and remove what is not a log.",
        ) from error


def keep_bounded(state: Path) -> None:
    """Drop the older half once the file is over its bound; writers append at the new end (O_APPEND)."""
    file = path(state)
    try:
        if file.stat().st_size <= MAX_BYTES:
            return
        with os.fdopen(open_own(file, os.O_RDWR), "r+b") as log:
            log.seek(-MAX_BYTES // 2, os.SEEK_END)
            kept = log.read()
            log.seek(0)
            log.write(kept)
            log.truncate()
    except OSError:
        return  # there is no other place to report an error of the log


def tail(state: Path, *, start: int = 0, size: int = 8192) -> str:
    """The last ``size`` bytes as text, without what stands before offset ``start``; ``""`` where it cannot be read."""
    try:
        with path(state).open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(end - size, min(start, end)))
            return log.read().decode("utf-8", "replace")
    except OSError:
        return ""


class Lossy(io.TextIOWrapper):
    """A text stream that drops what cannot be written.

    On a full disk, each log line would otherwise raise an error and end the thread that wrote it.
    """

    def write(self, text: str, /) -> int:
        """Write; ignore errors."""
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        """Flush; ignore errors."""
        try:
            super().flush()
        except OSError:
            return


def ignore_write_errors() -> None:
    """Make this process's standard error a :class:`Lossy` stream."""
    # sys.__stderr__ keeps the old stream alive; freeing it would close the descriptor.
    sys.stderr = Lossy(sys.stderr.buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def log_exception() -> None:
    """Write the exception that is being handled, with its traceback."""
    import traceback  # noqa: PLC0415 - 5 ms of imports on the way to an error only

    traceback.print_exc()
