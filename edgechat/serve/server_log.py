"""The server's log: start, stop, failures and recoveries. No line per request.

Two files of bounded size in the state directory, to spare SD cards. Where they cannot be written (a read-only root),
the server runs without a log.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from edgechat.engine.state.log import server_path
from edgechat.errors import StateError
from edgechat.ownership import open_own
from edgechat.paths import private_directory
from edgechat.tasks.result import timestamp

if TYPE_CHECKING:
    from edgechat.paths import Paths

MAX_BYTES = 512 * 1024
_MAX_LINES_PER_MINUTE = 30
"""So that a fault under load does not push out the lines before it."""


class ServerLog:
    """Appends lines with the time, or with the seconds since boot while the clock is not set."""

    def __init__(self, paths: Paths) -> None:
        self._file = server_path(paths.state)
        self._since, self._count = 0.0, 0
        self.error = ""
        """Why the last line could not be written, or ``""``."""

    def write(self, text: str) -> None:
        """Append one entry. Entries beyond the limit per minute are dropped."""
        now = time.monotonic()
        if now - self._since > 60:
            self._since, self._count = now, 0
        self._count += 1
        if self._count > _MAX_LINES_PER_MINUTE:
            return
        if self._count == _MAX_LINES_PER_MINUTE:
            text = "Further lines of this minute are left out."
        try:
            self._append(f"{_now()} {text.rstrip()}\n".encode("utf-8", "replace"))
        except (OSError, StateError) as error:
            self.error = str(error)
        else:
            self.error = ""

    def _append(self, line: bytes) -> None:
        private_directory(self._file.parent)
        descriptor = open_own(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            if os.fstat(descriptor).st_size > MAX_BYTES:
                self._file.replace(self._file.with_suffix(".log.1"))
                os.close(descriptor)
                descriptor = open_own(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


def _now() -> str:
    """The time in UTC, or the seconds since boot while the clock is not set."""
    return timestamp(time.time()) or f"+{time.monotonic():.0f}s"
