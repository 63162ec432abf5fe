"""Limits how many questions one assistant asks at once; the highest priority is next, then the oldest question."""

from __future__ import annotations

import heapq
import threading
import time
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

from edgechat.errors import DeadlineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgechat.tasks.generator import EngineGenerator


class Slots:
    """A pool of connections to the engine, opened when they are first needed."""

    def __init__(self, size: int, connect: Callable[[], EngineGenerator]) -> None:
        self._connect = connect
        self._free: list[EngineGenerator] = []
        self._n_free = size
        self._changed = threading.Condition()
        self._queue: list[tuple[int, int]] = []
        self._order = count()
        self._is_closed = False
        self._busy: set[EngineGenerator] = set()

    @contextmanager
    def acquire(self, priority: int, until_s: float | None) -> Iterator[EngineGenerator]:
        """Take a connection for one question.

        Args:
            priority: a higher one is first among the waiting questions.
            until_s: end of the wait, in seconds of the monotonic clock.

        Raises:
            DeadlineError: none became free before ``until_s``.
            UsageError: the assistant was closed.
        """
        generator = self._take(priority, until_s)
        is_reusable = False
        try:
            yield generator
            is_reusable = True
        finally:
            self._release(generator, is_reusable=is_reusable)

    def close(self) -> None:
        """Close all connections; running answers end with an error."""
        with self._changed:
            self._is_closed = True
            free, self._free = self._free, []
            busy = list(self._busy)
            self._changed.notify_all()
        for generator in free:
            generator.close()
        for generator in busy:
            generator.interrupt()

    def _take(self, priority: int, until_s: float | None) -> EngineGenerator:
        ticket = (-priority, next(self._order))
        with self._changed:
            heapq.heappush(self._queue, ticket)
            try:
                while not self._is_closed and not (self._n_free and self._queue[0] == ticket):
                    left = None if until_s is None else until_s - time.monotonic()
                    if left is not None and left <= 0:
                        raise DeadlineError(
                            "The time allowed ran out while other answers were being made.",
                            hint="Allow more time, or give it a higher priority.",
                        )
                    self._changed.wait(left)
                if self._is_closed:
                    raise UsageError("This assistant was closed.", hint="Open another one.")
                self._n_free -= 1
                generator = self._free.pop() if self._free else self._connect()
                self._busy.add(generator)
                return generator
            finally:
                self._queue.remove(ticket)
                heapq.heapify(self._queue)
                self._changed.notify_all()

    def _release(self, generator: EngineGenerator, *, is_reusable: bool) -> None:
        with self._changed:
            self._n_free += 1
            self._busy.discard(generator)
            is_kept = is_reusable and not self._is_closed
            if is_kept:
                self._free.append(generator)
            self._changed.notify_all()
        if not is_kept:
            # After an error, half an answer may still be on the socket.
            generator.close()
