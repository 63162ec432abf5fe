"""The server's own log: when it began and ended, what failed, what it brought back. No line per request.

Two files of bounded size in the state directory: an SD card wears out, and nobody empties it. Where they cannot be
written (a read-only root) the server goes on without.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from edgechat.engine.state.log import server_path
from edgechat.errors import StateError
from edgechat.paths import private_directory
from edgechat.tasks.result import timestamp

if TYPE_CHECKING:
    from edgechat.paths import Paths

MAX_BYTES = 512 * 1024
_PER_MINUTE = 30
"""Lines; a fault under load must neither fill the files nor push out what came before it."""


class Journal:
    """Appends lines, each with the time, or with the seconds since boot while the clock is unset."""

    def __init__(self, paths: Paths) -> None:
        self._file = server_path(paths.state)
        self._since, self._count = 0.0, 0
        self.trouble = ""
        """Why nothing can be written, or ``""``."""

    def write(self, text: str) -> None:
        """Append one entry, unless there were too many in this minute."""
        now = time.monotonic()
        if now - self._since > 60:
            self._since, self._count = now, 0
        self._count += 1
        if self._count > _PER_MINUTE:
            return
        if self._count == _PER_MINUTE:
            text = "More in this minute is left out."
        try:
            self._append(f"{_now()} {text.rstrip()}\n".encode("utf-8", "replace"))
        except (OSError, StateError) as error:
            self.trouble = str(error)
        else:
            self.trouble = ""

    def _append(self, line: bytes) -> None:
        private_directory(self._file.parent)
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size > MAX_BYTES:
                self._file.replace(self._file.with_suffix(".log.1"))
                os.close(descriptor)
                descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


def _now() -> str:
    """UTC; seconds since boot while the clock is unset."""
    return timestamp(time.time()) or f"+{time.monotonic():.0f}s"
