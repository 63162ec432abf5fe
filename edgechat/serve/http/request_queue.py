"""The request queue: how many requests run, how many wait, and when the others may try again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from edgechat.serve.http.errors import server_busy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAX_RUNNING, MAX_WAITING = 8, 32
"""Defaults of ``edgechat serve``: requests answered at once, and requests that may wait."""
_INITIAL_ANSWER_S = 5.0
"""Assumed duration of an answer before the first one was measured."""
_MAX_RETRY_S = 120.0


class RequestQueue:
    """A bounded queue in front of a bounded number of running requests."""

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self.max_running, self.max_waiting = max_running, max_waiting
        self.running = self.waiting = 0
        self._free = asyncio.Semaphore(max_running)
        self._mean_s = _INITIAL_ANSWER_S

    @contextlib.asynccontextmanager
    async def slot(self, timeout_s: float) -> AsyncIterator[None]:
        """Wait for a free slot and hold it inside the ``async with`` block.

        Raises:
            ApiError: 503 with Retry-After, at once when the queue is full, or after ``timeout_s`` seconds of waiting.
        """
        if self.is_full:
            raise server_busy(self.retry_after_s)
        self.waiting += 1
        try:
            await asyncio.wait_for(self._free.acquire(), timeout_s)
        except asyncio.TimeoutError:
            raise server_busy(self.retry_after_s) from None
        finally:
            self.waiting -= 1
        self.running += 1
        began = time.monotonic()
        try:
            yield
        finally:
            self.running -= 1
            self._free.release()
            self._mean_s += 0.2 * (time.monotonic() - began - self._mean_s)

    @property
    def is_full(self) -> bool:
        """Whether the next request would be refused."""
        return self._free.locked() and self.waiting >= self.max_waiting

    @property
    def retry_after_s(self) -> float:
        """Seconds until a place in the queue is probably free, from the moving average of answer times."""
        return min(max(self._mean_s / self.max_running * max(self.waiting / 4, 1), 1.0), _MAX_RETRY_S)
