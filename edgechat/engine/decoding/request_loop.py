"""The loop of an engine, whatever it computes: take requests, prepare and refuse them, end late ones, run one step.

One thread, one llama.cpp context. Everything that takes effect does so between steps.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgechat.engine.protocol.errors import error_frame
from edgechat.engine.state.log import log_exception
from edgechat.errors import EdgechatError, EngineBusyError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from edgechat.engine.decoding.request_queue import RequestQueue
    from edgechat.engine.decoding.sequence import Reader
    from edgechat.engine.listener.connections import Connection
    from edgechat.engine.protocol.framing import Frame
    from edgechat.engine.protocol.request import Request, Wish
    from edgechat.engine.selection.model_choice import Choice
    from edgechat.engine.state.metrics import Metrics
    from edgechat.engine.state.shared_status import SharedStatus
    from edgechat.engine.throttle.monitor import ThrottleMonitor
    from edgechat.engine.throttle.thread_governor import Governor

MAX_WAITING = 256
"""Prepared requests that wait; each holds its prompt in memory."""


@dataclass(frozen=True, slots=True)
class LoopServices:
    """The parts of the engine process that a loop uses."""

    requests: RequestQueue
    governor: Governor
    """Decides on the number of threads."""
    shared_status: SharedStatus
    """The status that the supervisor reads."""
    mismatch: Callable[[Wish, Connection], Frame | None]
    """The frame that asks a client to decide, where the loaded model is not the one it wants."""
    monitor: ThrottleMonitor
    """Limits threads and memory while the board is hot, or short of power or memory."""
    metrics: Metrics
    """Where answers and refusals are counted."""


class RequestLoop(ABC):
    """What the loops of chat models and of embedding models have in common."""

    _running: Collection[Any]
    _waiting: Collection[Any] = ()
    """Prepared requests that do not run yet."""

    def __init__(self, choice: Choice, services: LoopServices) -> None:
        self._requests, self._mismatch = services.requests, services.mismatch
        self._governor, self._monitor = services.governor, services.monitor
        self._shared_status, self._metrics = services.shared_status, services.metrics
        settings = choice.plan.settings
        self._planned_threads = (settings.n_threads, settings.n_threads_batch)
        self._is_resting = True
        """No step was computed since the last request ended."""
        self.idle_since = time.monotonic()

    @property
    def n_active(self) -> int:
        """Requests that run or wait."""
        return len(self._running) + len(self._waiting) + len(self._requests)

    def step(self, wait_s: float) -> None:
        """Take what arrived, waiting up to ``wait_s`` seconds while nothing runs, then compute one step."""
        self._take_requests(0.0 if self._running else wait_s)
        self._before_step()
        if self._running:
            self._compute()
            self.idle_since = time.monotonic()
        else:
            # Keeps its measurement fresh: the next request's first step must not begin with too many threads.
            self._governor.update(time.monotonic(), resting=True)
        if not self._running and self._shared_status.stage != "idle":
            self._shared_status.stage = "idle"
            self._is_resting = True
            self._governor.restart_window()

    # -- what a kind of model computes -------------------------------------------------------------------------------

    @abstractmethod
    def _prepare(self, connection: Connection, request_id: int, request: Request) -> None:
        """Tokenize a request and let it wait or run.

        Raises:
            EdgechatError: it can never run.
        """

    @abstractmethod
    def _cancel(self, matches: Callable[[Any], bool]) -> None:
        """End the running and waiting requests that match."""

    @abstractmethod
    def _end_late(self, now: float) -> None:
        """End the requests whose deadline has passed, on the monotonic clock."""

    @abstractmethod
    def _compute(self) -> None:
        """Compute one step."""

    # -- requests ------------------------------------------------------------------------------------------------------

    def _take_requests(self, wait_s: float) -> None:
        for connection, request_id in self._requests.cancellations(wait_s):
            self._cancel_of(connection, request_id)
        while queued := self._requests.take(prefills=not self._is_answering):
            self._prepare_or_refuse(*queued)
            if self._running:
                break  # one a step: running requests make no progress meanwhile

    @property
    def _is_answering(self) -> bool:
        """Whether a request runs that somebody waits for; prefill-only ones stay in the queue until it has ended."""
        return any(not each.request.prefill_only for each in self._running)

    def _cancel_of(self, connection: Connection, request_id: int | None) -> None:
        """Cancel one request of a connection, or (None) all requests of a client that has disconnected."""
        self._cancel(lambda each: each.reader is connection and request_id in {None, each.request_id})

    def _prepare_or_refuse(self, connection: Connection, request_id: int, request: Request) -> None:
        def prepare() -> None:
            if switch := self._mismatch(request.wish, connection):
                connection.send_frame({**switch, "id": request_id})
            else:
                self._prepare(connection, request_id, request)

        self._do_or_refuse(prepare, connection, request_id)

    def _do_or_refuse(self, work: Callable[[], None], connection: Connection, request_id: int) -> None:
        """Do a part of preparing a request; an error ends that request alone."""
        try:
            work()
        except EdgechatError as error:
            self._refuse(connection, request_id, error)
        except Exception as error:  # noqa: BLE001 - a defect in preparing one request must not end the others
            log_exception()
            self._refuse(connection, request_id, EdgechatError(f"This is a defect in edgechat: {error!r}."))

    def _check_room(self, waiting: Collection[Any]) -> None:
        if len(waiting) >= MAX_WAITING:
            raise EngineBusyError(
                f"{MAX_WAITING} requests are waiting already.", cause="busy", hint="Try again in a moment."
            )

    def _refuse(self, reader: Reader, request_id: int, error: EdgechatError) -> None:
        """Count an error and send it as the last frame of a request."""
        self._metrics.count_refusal(type(error).__name__)
        reader.send_frame(error_frame(error, request_id))

    def _before_step(self) -> None:
        """End requests whose client or deadline is gone."""
        self._cancel(lambda each: not each.reader.is_open)
        self._end_late(time.monotonic())

    def _threads(self) -> tuple[int, tuple[int, int]]:
        """Threads for the step that begins: at most so many, and those for decoding and for prefill."""
        was_resting, self._is_resting = self._is_resting, False
        self._governor.update(time.monotonic(), resting=was_resting)
        if was_resting:
            self._governor.on_answer_start()
        allowed = self._monitor.threads(self._governor.n_threads)
        decoding, prefill = self._planned_threads
        return allowed, (min(decoding, allowed), min(prefill, allowed))
