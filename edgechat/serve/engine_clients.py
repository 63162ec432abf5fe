"""Answers for the endpoints: clients of the engine in threads, admission before them, and what is known of the engine.

Knows neither HTTP nor JSON. One engine, one resident model: the server answers with the model it was started for.
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
from edgechat.serve.http.request_queue import Admission
from edgechat.serve.http.thread_bridge import Bridge, Feed
from edgechat.serve.http.timeouts import within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from edgechat.engine.protocol.events import Event
    from edgechat.engine.protocol.framing import Frame
    from edgechat.paths import Paths

_STATUS_AGE_S = 1.0
_STATUS_PATIENCE_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 2.0, 120.0
"""Between one try and the next to bring the engine back."""
_LOOK_S = 5.0
"""Between one look at an idle engine and the next."""
FOR_EVER = -1.0
ANY_NAME = frozenset(("", "default", "edgechat"))
"""Names that mean: whatever this server answers with."""


class OtherModelError(ModelNotFoundError):
    """A client named a model that is not the one that answers."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How one server answers."""

    wish: Wish
    places: int = 8
    """Requests answered at once."""
    queue: int = 32
    """Requests that may wait."""
    timeout_s: float = 600.0
    """For one answer, waiting included."""
    keep_alive_s: float | None = None


@dataclass(slots=True)
class Course:
    """How one answer went, for the counters."""

    began: float
    is_counted: bool
    first_text: bool = False


class Service:
    """The engine, as the endpoints see it. Make it inside the running event loop.

    Args:
        paths: whose engine.
        settings: how it answers.
        tell: gets a line about what failed or was brought back.
    """

    def __init__(self, paths: Paths, settings: Settings, tell: Callable[[str], None] = lambda _text: None) -> None:
        self.paths, self.settings, self._tell = paths, settings, tell
        self.metrics = Metrics()
        self.admission = Admission(settings.places, settings.queue)
        self.resident: Started | None = None
        """The model that gave the last answer."""
        self.trouble: str | None = None
        """Why the last answer failed, when the engine or the model was the reason."""
        self.has_tried = False
        """True once the first answer, the server's own, has come to an end."""
        self._ails = asyncio.Event()
        self._bridge = Bridge(settings.places)
        self._idle: list[EngineClient] = []
        self._status: tuple[float, list[Frame]] = (-math.inf, [])
        self._status_lock = asyncio.Lock()

    async def keep_well(self) -> None:
        """Load the model, and again whenever the engine failed, so that recovery waits for no client. Never ends."""
        pause_s = 0.0
        while True:
            self._ails.clear()
            await asyncio.sleep(pause_s)
            await self.warm_up()
            if self.trouble is None:
                pause_s = 0.0
                await self._until_unwell()
            else:
                pause_s = min(max(pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)

    async def _until_unwell(self) -> None:
        """Return when an answer failed, or when an engine that should stay for ever is gone."""
        while not self._ails.is_set():
            with contextlib.suppress(asyncio.TimeoutError, EdgechatError):
                await asyncio.wait_for(self._ails.wait(), _LOOK_S)
            with contextlib.suppress(EdgechatError):
                if self.settings.keep_alive_s == FOR_EVER and await self.engine() is None:
                    return

    async def warm_up(self) -> None:
        """Load the model, so that the first client does not wait for it; what is wrong with it stays in ``trouble``."""
        wish = self.settings.wish
        try:
            await self._try(Request((Message("user", "Hi"),), wish=wish, max_tokens=1))
        except WrongModelError:
            with contextlib.suppress(EdgechatError):
                await self._try(Request((), wish=wish, texts=("Hi",)))
        except EdgechatError:
            pass  # noted by `answering`; every request says it anew
        finally:
            self.has_tried = True

    async def _try(self, request: Request) -> None:
        async with self.answering(request, is_counted=False) as events:
            async for _ in events:
                pass
        # The metrics know from the start which process it is, and so when another took its place. An earlier look, when
        # there was none yet, says nothing about that.
        self._status = (-math.inf, [])
        with contextlib.suppress(EdgechatError):  # it is asked again with every look
            await self.engine()

    @contextlib.asynccontextmanager
    async def answering(self, request: Request, *, is_counted: bool = True) -> AsyncIterator[Answering]:
        """The events of an answer. Leaving the block early cancels it.

        Raises:
            Fault: 503, the queue is full.
            EdgechatError: whatever the engine refused the request with.
        """
        course = Course(time.monotonic(), is_counted)
        timeout_s = request.timeout_s or self.settings.timeout_s
        async with self.admission.place(timeout_s):
            left = max(timeout_s - (time.monotonic() - course.began), 0.001)
            client = self._idle.pop() if self._idle else self._connect()
            items = client.generate(replace(request, timeout_s=left))
            feed: Feed[Event] | None = None
            try:
                async with self._bridge.reading(items, client.interrupt) as feed:
                    yield Answering(feed, lambda event: self._note(event, course))
            except EdgechatError as error:
                self._note_error(error)
                raise
            finally:
                # A refusal leaves the client as it was, and one whose engine is gone connects anew by itself.
                if feed is not None and feed.is_over:
                    self._idle.append(client)
                else:
                    self.metrics.cancelled.inc()
                    client.close()

    @contextlib.asynccontextmanager
    async def working(self, items: Iterable[Any], interrupt: Callable[[], None]) -> AsyncIterator[Feed[Any]]:
        """Other work that asks the engine, in a place and a thread of its own.

        Raises:
            Fault: 503, the queue is full.
        """
        async with (
            self.admission.place(self.settings.timeout_s),
            self._bridge.reading(items, interrupt) as feed,
        ):
            yield feed

    def check_model(self, name: str | None, started: Started | None) -> None:
        """Refuse a request that names another model than the one that answers.

        Raises:
            OtherModelError: it does.
        """
        if name is None or started is None or name.lower() in ANY_NAME:
            return
        if name.lower() not in {started.model, f"{started.model}:{started.quant}".lower()}:
            raise OtherModelError(
                f"This server answers with {started.model}:{started.quant}, not with {name!r}.",
                hint='Ask for that one or for "default", or start the server with another: edgechat serve -m MODEL',
            )

    async def engine(self) -> Frame | None:
        """What the engine says of itself, at most a second old; None when none runs.

        Raises:
            EdgechatError: it cannot be asked.
        """
        async with self._status_lock:
            asked_at, engines = self._status
            if time.monotonic() - asked_at > _STATUS_AGE_S:
                asking = asyncio.to_thread(engine.status, self.paths)
                try:
                    engines = await asyncio.wait_for(asking, _STATUS_PATIENCE_S)
                except asyncio.TimeoutError:
                    raise EngineError("The engine does not say how it is.", hint="Run `edgechat doctor`.") from None
                self._status = (time.monotonic(), engines)
        first = engines[0] if engines else None
        self.metrics.note_engine(first["pid"] if first else None, first["rss_bytes"] if first else 0)
        return first

    def close(self) -> None:
        """Hang up."""
        self._bridge.close()
        for client in self._idle:
            client.close()

    def _connect(self) -> EngineClient:
        return EngineClient(self.paths, keeps=True, keep_alive_s=self.settings.keep_alive_s)

    def _note(self, event: Event, course: Course) -> None:
        metrics = self.metrics
        if isinstance(event, Started):
            if self.trouble is not None or self.resident is None:
                self._tell(f"Answering with {event.model}:{event.quant}, n_ctx {event.n_ctx}.")
            self.resident, self.trouble = event, None
        elif isinstance(event, Recovered):
            metrics.recovered.labels(event.cause).inc()
            self._status = (-math.inf, [])  # it is of the one that died
            self._tell(event.note)
        elif not course.is_counted:
            return
        elif isinstance(event, Text) and not course.first_text:
            course.first_text = True
            metrics.ttft.observe(time.monotonic() - course.began)
        elif isinstance(event, Done):
            metrics.total.observe(time.monotonic() - course.began)
            metrics.note_done(event)

    def _note_error(self, error: EdgechatError) -> None:
        if isinstance(error, (EngineBusyError, OtherModelError)):
            return  # nothing is wrong with the engine
        if isinstance(error, (EngineError, NoModelError, StateError)):
            if self.trouble != str(error):
                self._tell(str(error))
            self.trouble = str(error)
            self._ails.set()


class Answering:
    """The events of one answer, noted as they pass."""

    def __init__(self, feed: Feed[Event], note: Callable[[Event], None]) -> None:
        self._feed, self._note = feed, note

    def __aiter__(self) -> Answering:
        return self

    async def __anext__(self) -> Event:
        event = await anext(self._feed)
        self._note(event)
        return event

    async def next(self, patience_s: float) -> Event | None:
        """The next event, or None when ``patience_s`` passed without one.

        Raises:
            StopAsyncIteration: there are no more.
        """
        try:
            return await within(patience_s, anext(self))
        except asyncio.TimeoutError:
            return None
