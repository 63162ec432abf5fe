"""How many requests are worked on, how many wait, and what the rest is told. Knows neither HTTP nor the engine."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from edgechat.serve.http.errors import busy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_FIRST_GUESS_S = 5.0
_MAX_RETRY_S = 120.0


class Admission:
    """A bounded queue before a bounded number of places.

    Args:
        places: requests worked on at once.
        queue: requests that may wait for a place.
    """

    def __init__(self, places: int, queue: int) -> None:
        self.places, self.queue = places, queue
        self.running = self.waiting = 0
        self._free = asyncio.Semaphore(places)
        self._usual_s = _FIRST_GUESS_S

    @contextlib.asynccontextmanager
    async def place(self, patience_s: float) -> AsyncIterator[None]:
        """A place to work in, held inside the ``async with`` block.

        Raises:
            Fault: 503 with Retry-After, at once when the queue is full, or after ``patience_s`` in it.
        """
        if self._free.locked() and self.waiting >= self.queue:
            raise busy(self.retry_after_s)
        self.waiting += 1
        try:
            await asyncio.wait_for(self._free.acquire(), patience_s)
        except asyncio.TimeoutError:
            raise busy(self.retry_after_s) from None
        finally:
            self.waiting -= 1
        self.running += 1
        began = time.monotonic()
        try:
            yield
        finally:
            self.running -= 1
            self._free.release()
            self._usual_s += 0.2 * (time.monotonic() - began - self._usual_s)

    @property
    def is_full(self) -> bool:
        """Whether the next request would be turned away."""
        return self._free.locked() and self.waiting >= self.queue

    @property
    def retry_after_s(self) -> float:
        """When a place in the queue is likely to be free again, judged by how long answers took of late."""
        return min(max(self._usual_s / self.places * max(self.waiting / 4, 1), 1.0), _MAX_RETRY_S)
