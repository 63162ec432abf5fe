"""The limits of the server: sizes, times and counts that one request, one connection, or all together may take."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from edgechat.serve.http.errors import server_busy

MAX_CONNECTIONS = 512
"""Open connections; each takes about 30 kB."""
MAX_HEAD_BYTES = 32 * 1024
"""Longest request head."""
MAX_PER_ADDRESS = MAX_CONNECTIONS // 2
"""Of these, from one address of another machine; all programs of this machine come from the same one."""
FIRST_HEAD_S = 5.0
"""Time for the head of a connection's first request to arrive."""
HEAD_TIMEOUT_S = 15.0
"""Time for the head of a further request to arrive, and for which an idle connection is kept open."""
SHUTDOWN_GRACE_S = 20.0
"""Time for running answers to end when the server stops."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one request."""

    body_bytes: int = 4 * 1024 * 1024
    """Longest body; 32,768 tokens of text are about 130 kB."""
    bodies_bytes: int = 64 * 1024 * 1024
    """Bodies of all requests together that are held in memory."""
    depth: int = 64
    """Levels of nested JSON."""
    read_s: float = 30.0
    """Time for a whole body to arrive."""
    write_s: float = 30.0
    """Time for the client to accept one piece of the response."""


class BodyMemory:
    """Counts the bytes of request bodies that are in memory."""

    def __init__(self, limit: int) -> None:
        self._limit, self.used = limit, 0
        self.parsing = asyncio.Lock()
        """Held while one body's JSON is counted or parsed: the event loop does one piece of one body at a time."""

    def reserve(self, size: int) -> None:
        """Count more bytes.

        Raises:
            ApiError: 503, the bodies of other requests take all of the limit.
        """
        if self.used + size > self._limit:
            raise server_busy(1.0)
        self.used += size

    def release(self, size: int) -> None:
        """Count bytes that were freed."""
        self.used -= size
