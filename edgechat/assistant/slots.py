"""How many questions one assistant asks at once, and who comes next: the higher priority, then who came first."""

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
    """A few connections to the engine, made when they are first needed.

    Args:
        size: how many.
        connect: makes one.
    """

    def __init__(self, size: int, connect: Callable[[], EngineGenerator]) -> None:
        self._connect = connect
        self._free: list[EngineGenerator] = []
        self._room = size
        self._changed = threading.Condition()
        self._queue: list[tuple[int, int]] = []
        self._order = count()
        self._is_closed = False
        self._busy: set[EngineGenerator] = set()

    @contextmanager
    def taken(self, priority: int, until_s: float | None) -> Iterator[EngineGenerator]:
        """A connection for one question.

        Args:
            priority: higher goes first; only questions that still wait are reordered.
            until_s: when to give up waiting, on the monotonic clock.

        Raises:
            DeadlineError: none became free in time.
            UsageError: the assistant was closed.
        """
        generator = self._take(priority, until_s)
        is_sound = False
        try:
            yield generator
            is_sound = True
        finally:
            self._give_back(generator, is_sound=is_sound)

    def close(self) -> None:
        """Hang up everywhere; running answers end with an error."""
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
        mine = (-priority, next(self._order))
        with self._changed:
            heapq.heappush(self._queue, mine)
            try:
                while not self._is_closed and not (self._room and self._queue[0] == mine):
                    left = None if until_s is None else until_s - time.monotonic()
                    if left is not None and left <= 0:
                        raise DeadlineError(
                            "The time allowed ran out while other answers were being made.",
                            hint="Allow more time, or give it a higher priority.",
                        )
                    self._changed.wait(left)
                if self._is_closed:
                    raise UsageError("This assistant was closed.", hint="Open another one.")
                self._room -= 1
                generator = self._free.pop() if self._free else self._connect()
                self._busy.add(generator)
                return generator
            finally:
                self._queue.remove(mine)
                heapq.heapify(self._queue)
                self._changed.notify_all()

    def _give_back(self, generator: EngineGenerator, *, is_sound: bool) -> None:
        with self._changed:
            self._room += 1
            self._busy.discard(generator)
            keep = is_sound and not self._is_closed
            if keep:
                self._free.append(generator)
            self._changed.notify_all()
        if not keep:
            # Whatever went wrong may have left half an answer on the wire.
            generator.close()
