"""The answers to one request that wants several: each from a request of its own, their events as one stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgechat.engine.protocol.events import Started
from edgechat.errors import DeadlineError
from edgechat.serve.http.timeouts import with_timeout

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from edgechat.engine.protocol.events import Event
    from edgechat.engine.protocol.request import Request
    from edgechat.serve.engine_clients import EngineClients


class ParallelAnswers:
    """Events of several answers, each with the index of its answer. Leaving the block cancels those that run.

    Args:
        clients: make the answers.
        requests: one for each answer.
        on_start: called with each answer's :class:`Started`; what it raises ends all of them.
    """

    def __init__(self, clients: EngineClients, requests: list[Request], on_start: Callable[[Started], None]) -> None:
        self._clients, self._requests, self._on_start = clients, requests, on_start
        self._events: asyncio.Queue[tuple[int, Event | Exception | None]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._has_begun = [False] * len(requests)

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._read(index, each)) for index, each in enumerate(self._requests)]
        self._n_running = len(self._tasks)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def next(self, timeout_s: float) -> tuple[int, Event] | None:
        """The next event; None after ``timeout_s`` seconds without one.

        Raises:
            StopAsyncIteration: all answers have ended.
            ApiError: 503, the queue is full.
            EdgechatError: the engine refused a request, or the time ran out before an answer began.
        """
        while self._n_running:
            try:
                index, event = await with_timeout(timeout_s, self._events.get())
            except asyncio.TimeoutError:
                return None
            if event is None:
                self._n_running -= 1
            elif isinstance(event, Exception):
                # An answer that has begun ends where its time ran out.
                if not (isinstance(event, DeadlineError) and self._has_begun[index]):
                    raise event
                self._n_running -= 1
            else:
                return index, event
        raise StopAsyncIteration

    async def _read(self, index: int, request: Request) -> None:
        try:
            async with self._clients.answering(request) as events:
                async for event in events:
                    if isinstance(event, Started):
                        self._on_start(event)
                    self._has_begun[index] |= bool(getattr(event, "tokens", ()))
                    self._events.put_nowait((index, event))
        except Exception as error:  # noqa: BLE001 - raised again by the reader
            self._events.put_nowait((index, error))
        else:
            self._events.put_nowait((index, None))
