"""Blocking iterators in threads, read from the event loop; leaving early interrupts them and waits until they ended.

Knows nothing of what is iterated. One thread for each reader: the engine's client blocks on its socket.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

T = TypeVar("T")


class _End:
    """Nothing more comes."""


class Feed(Generic[T]):
    """What a thread yields, for ``async for``. An error raised in the thread is raised here."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Never longer than the thread's iterator is: answers are bounded by the context window.
        self._queue: asyncio.Queue[T | Exception | _End] = asyncio.Queue()
        self.is_over = False
        """True when all that the thread has to say has been read."""

    def put(self, item: T | Exception | _End) -> None:
        """Hand an item over, from the thread."""
        # The loop is closed only when the process ends, and nobody reads then.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)

    def __aiter__(self) -> Feed[T]:
        return self

    async def __anext__(self) -> T:
        item = await self._queue.get()
        if isinstance(item, _End):
            self.is_over = True
            raise StopAsyncIteration
        if isinstance(item, Exception):
            self.is_over = True
            raise item
        return item


class Bridge:
    """The threads.

    Args:
        threads: iterators that run at once; more wait.
    """

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="answer")

    @contextlib.asynccontextmanager
    async def reading(self, items: Iterable[T], interrupt: Callable[[], None]) -> AsyncIterator[Feed[T]]:
        """Iterate ``items`` in a thread; ``interrupt`` makes it end soon and is called when the block is left early."""
        feed: Feed[T] = Feed()

        def work() -> None:
            try:
                for item in items:
                    feed.put(item)
            except Exception as error:  # noqa: BLE001 - it is raised again where it is read
                feed.put(error)
            else:
                feed.put(_End())

        working = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            yield feed
        finally:
            if not feed.is_over:
                interrupt()
            await _ended(working)

    def close(self) -> None:
        """Let the threads go; what runs in them is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


async def _ended(working: asyncio.Future[None]) -> None:
    """Wait until a thread has ended, also when this task is cancelled meanwhile: its client must be free first."""
    cancelled: asyncio.CancelledError | None = None
    while not working.done():
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
