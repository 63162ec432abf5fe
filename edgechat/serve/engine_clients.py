"""The server's clients of the engine: a thread per running request, the request queue, the engine's status.

There is one engine with one model, and the server answers with the model it was started for.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgechat.engine.client import client as engine
from edgechat.engine.client.client import EngineClient
from edgechat.engine.protocol.events import Done, Recovered, Started, Text
from edgechat.engine.protocol.request import Message, Request, Wish
from edgechat.errors import (
    EdgechatError,
    EngineBusyError,
    EngineError,
    ModelNotFoundError,
    NoModelError,
    StateError,
    WrongModelError,
)
from edgechat.serve.endpoints.metrics import Metrics
from edgechat.serve.http.request_queue import RequestQueue
from edgechat.serve.http.thread_bridge import ThreadBridge, ThreadStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from edgechat.engine.protocol.events import Event
    from edgechat.engine.protocol.framing import Frame
    from edgechat.paths import Paths

_STATUS_MAX_AGE_S = 1.0
_STATUS_TIMEOUT_S = 2.0
_MIN_RETRY_S, _MAX_RETRY_S = 2.0, 120.0
"""Delay before the engine is started again after a failure: it doubles from the first to the second."""
_CHECK_INTERVAL_S = 5.0
"""Interval of the checks whether an engine that should never stop still runs."""
NEVER_STOP = -1.0
ANY_NAME = frozenset(("", "default", "edgechat"))
"""Model names that stand for the model of this server."""


class DifferentModelError(ModelNotFoundError):
    """The request names a model that is not the one of this server."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The settings of one server; ``edgechat serve`` has their defaults."""

    wish: Wish
    parallel: int
    """Requests answered at once."""
    queue: int
    """Requests that may wait."""
    timeout_s: float
    """For one answer, including the time in the queue."""
    keep_alive_s: float | None


@dataclass(slots=True)
class AnswerProgress:
    """What the metrics need to know of one answer."""

    began: float
    is_counted: bool
    has_text: bool = False


class EngineClients:
    """The engine for the endpoints. Create it inside the running event loop."""

    def __init__(self, paths: Paths, settings: ServerSettings, log: Callable[[str], None] = lambda _text: None) -> None:
        self.paths, self.settings, self._log = paths, settings, log
        self.metrics = Metrics()
        self.queue = RequestQueue(settings.parallel, settings.queue)
        self.resident: Started | None = None
        """The model of the last answer."""
        self.last_error: str | None = None
        """The error of the last answer, if the engine or the model was the cause."""
        self.is_warmed_up = False
        """True once the warm-up has ended, with or without an error."""
        self._failed = asyncio.Event()
        self._bridge = ThreadBridge(settings.parallel)
        self._idle: list[EngineClient] = []
        self._status: tuple[float, list[Frame]] = (-math.inf, [])
        self._status_lock = asyncio.Lock()

    async def keep_model_loaded(self) -> None:
        """Load the model, and again after each failure of the engine, without waiting for a request. Never returns."""
        delay_s = 0.0
        while True:
            self._failed.clear()
            await asyncio.sleep(delay_s)
            await self.warm_up()
            if self.last_error is None:
                delay_s = 0.0
                await self._wait_for_failure()
            else:
                delay_s = min(max(delay_s * 2, _MIN_RETRY_S), _MAX_RETRY_S)

    async def _wait_for_failure(self) -> None:
        """Return when an answer failed, or when an engine that should never stop has stopped."""
        while not self._failed.is_set():
            with contextlib.suppress(asyncio.TimeoutError, EdgechatError):
                await asyncio.wait_for(self._failed.wait(), _CHECK_INTERVAL_S)
            with contextlib.suppress(EdgechatError):
                if self.settings.keep_alive_s == NEVER_STOP and await self.engine() is None:
                    return

    async def warm_up(self) -> None:
        """Load the model before the first request. An error is kept in ``last_error``."""
        wish = self.settings.wish
        try:
            await self._run_and_discard(Request((Message("user", "Hi"),), wish=wish, max_tokens=1))
        except WrongModelError:
            with contextlib.suppress(EdgechatError):
                await self._run_and_discard(Request((), wish=wish, texts=("Hi",)))
        except EdgechatError:
            pass  # kept by `answering`; each request reports it again
        finally:
            self.is_warmed_up = True

    async def _run_and_discard(self, request: Request) -> None:
        async with self.answering(request, is_counted=False) as events:
            async for _ in events:
                pass
        # Read the status again, so that the metrics know the process from the start and count a later one as a restart.
        self._status = (-math.inf, [])
        with contextlib.suppress(EdgechatError):  # the next request for the status reports it
            await self.engine()

    @contextlib.asynccontextmanager
    async def answering(self, request: Request, *, is_counted: bool = True) -> AsyncIterator[AnswerEvents]:
        """Iterate the events of an answer. Leaving the block early cancels the answer.

        Raises:
            ApiError: 503, the queue is full.
            EdgechatError: the engine refused the request.
        """
        progress = AnswerProgress(time.monotonic(), is_counted)
        timeout_s = request.timeout_s or self.settings.timeout_s
        async with self.queue.slot(timeout_s):
            left = max(timeout_s - (time.monotonic() - progress.began), 0.001)
            client = self._idle.pop() if self._idle else self._connect()
            events = client.generate(replace(request, timeout_s=left))
            stream: ThreadStream[Event] | None = None
            try:
                async with self._bridge.iterate(events, client.interrupt) as stream:
                    yield AnswerEvents(stream, lambda event: self._note(event, progress))
            except EdgechatError as error:
                self._note_error(error)
                raise
            finally:
                # A client can be reused after a refused request, and reconnects by itself after the engine has ended.
                if stream is not None and stream.is_exhausted:
                    self._idle.append(client)
                else:
                    self.metrics.cancelled.inc()
                    client.close()

    @contextlib.asynccontextmanager
    async def iterating(self, events: Iterable[Any], interrupt: Callable[[], None]) -> AsyncIterator[ThreadStream[Any]]:
        """Run an iterator that uses the engine, in a slot of the queue and a thread of its own.

        Raises:
            ApiError: 503, the queue is full.
        """
        async with (
            self.queue.slot(self.settings.timeout_s),
            self._bridge.iterate(events, interrupt) as stream,
        ):
            yield stream

    def check_model(self, name: str | None, started: Started | None) -> None:
        """Check that a request names the model of this server.

        Raises:
            DifferentModelError: it names another one.
        """
        if name is None or started is None or name.lower() in ANY_NAME:
            return
        if name.lower() not in {started.model, f"{started.model}:{started.quant}".lower()}:
            raise DifferentModelError(
                f"This server answers with {started.model}:{started.quant}, not with {name!r}.",
                hint='Use that name or "default", or start the server with another model: edgechat serve -m MODEL',
            )

    async def engine(self) -> Frame | None:
        """The engine's status, at most a second old; None when no engine runs.

        Raises:
            EdgechatError: the engine does not answer.
        """
        async with self._status_lock:
            asked_at, engines = self._status
            if time.monotonic() - asked_at > _STATUS_MAX_AGE_S:
                request = asyncio.to_thread(engine.status, self.paths)
                try:
                    engines = await asyncio.wait_for(request, _STATUS_TIMEOUT_S)
                except asyncio.TimeoutError:
                    raise EngineError("The engine does not report its status.", hint="Run: edgechat doctor") from None
                self._status = (time.monotonic(), engines)
        first = engines[0] if engines else None
        self.metrics.update_engine(first["pid"] if first else None, first["rss_bytes"] if first else 0)
        return first

    def close(self) -> None:
        """Close all connections to the engine."""
        self._bridge.close()
        for client in self._idle:
            client.close()

    def _connect(self) -> EngineClient:
        return EngineClient(self.paths, keeps=True, keep_alive_s=self.settings.keep_alive_s)

    def _note(self, event: Event, progress: AnswerProgress) -> None:
        metrics = self.metrics
        if isinstance(event, Started):
            if self.last_error is not None or self.resident is None:
                self._log(f"Answers with {event.model}:{event.quant}, n_ctx {event.n_ctx}.")
            self.resident, self.last_error = event, None
        elif isinstance(event, Recovered):
            metrics.recovered.labels(event.cause).inc()
            self._status = (-math.inf, [])  # the kept status is that of the engine that died
            self._log(event.note)
        elif not progress.is_counted:
            return
        elif isinstance(event, Text) and not progress.has_text:
            progress.has_text = True
            metrics.ttft.observe(time.monotonic() - progress.began)
        elif isinstance(event, Done):
            metrics.total.observe(time.monotonic() - progress.began)
            metrics.count_answer(event)

    def _note_error(self, error: EdgechatError) -> None:
        if isinstance(error, (EngineBusyError, DifferentModelError)):
            return  # not a fault of the engine
        if isinstance(error, (EngineError, NoModelError, StateError)):
            if self.last_error != str(error):
                self._log(str(error))
            self.last_error = str(error)
            self._failed.set()


class AnswerEvents:
    """The events of one answer, counted as they pass."""

    def __init__(self, stream: ThreadStream[Event], note: Callable[[Event], None]) -> None:
        self._stream, self._note = stream, note

    def __aiter__(self) -> AnswerEvents:
        return self

    async def __anext__(self) -> Event:
        event = await anext(self._stream)
        self._note(event)
        return event
