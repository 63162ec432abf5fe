"""Runs blocking iterators in threads and reads them from the event loop.

Each iterator has a thread of its own, because the engine's client blocks on its socket. Leaving the block early
interrupts the iterator and waits until its thread has ended.
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
    """Marks the end of the items."""


class ThreadStream(Generic[T]):
    """The items of an iterator in a thread, for ``async for``. Errors of the thread are raised here."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Unbounded, but never longer than the iterator: an answer is bounded by the context window.
        self._queue: asyncio.Queue[T | Exception | _End] = asyncio.Queue()
        self.is_exhausted = False
        """True when the last item, or the error, was read."""

    def put(self, item: T | Exception | _End) -> None:
        """Add an item. Called in the thread."""
        # RuntimeError: the loop is closed, which happens only when the process ends.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)

    def __aiter__(self) -> ThreadStream[T]:
        return self

    async def __anext__(self) -> T:
        item = await self._queue.get()
        if isinstance(item, _End):
            self.is_exhausted = True
            raise StopAsyncIteration
        if isinstance(item, Exception):
            self.is_exhausted = True
            raise item
        return item


class ThreadBridge:
    """A pool of threads for blocking iterators.

    Args:
        threads: iterators that run at once; further ones wait.
    """

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="answer")

    @contextlib.asynccontextmanager
    async def iterate(self, items: Iterable[T], interrupt: Callable[[], None]) -> AsyncIterator[ThreadStream[T]]:
        """Iterate ``items`` in a thread.

        ``interrupt`` is called when the block is left early; it must end the iteration.
        """
        stream: ThreadStream[T] = ThreadStream()

        def work() -> None:
            try:
                for item in items:
                    stream.put(item)
            except Exception as error:  # noqa: BLE001 - raised again by the reader
                stream.put(error)
            else:
                stream.put(_End())

        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            yield stream
        finally:
            if not stream.is_exhausted:
                interrupt()
            await _wait_for_thread(future)

    def close(self) -> None:
        """Shut the pool down without waiting for running threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


async def _wait_for_thread(future: asyncio.Future[None]) -> None:
    """Wait until a thread has ended, even if this task is cancelled: the thread's client is reused afterwards."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
