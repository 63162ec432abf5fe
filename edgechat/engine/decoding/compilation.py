"""Compiles constraints that take long in a thread, so that running answers get their tokens meanwhile."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgechat.engine.child.background import BackgroundCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.engine.listener.connections import Connection
    from edgechat.engine.protocol.request import Request
    from edgechat.engine.text.constraint import Constraint


@dataclass(slots=True, eq=False)
class CompilingRequest:
    """A request whose constraint is being compiled, or waits for its turn."""

    request: Request
    request_id: int
    reader: Connection
    arrived: float = field(default_factory=time.monotonic)
    constraint: Constraint | None = None
    error: Exception | None = None
    """Why the constraint could not be compiled."""
    is_done: bool = False

    @property
    def deadline(self) -> float | None:
        """When the caller stops waiting, on the monotonic clock."""
        return None if self.request.timeout_s is None else self.arrived + self.request.timeout_s


class ConstraintCompiler:
    """Requests that wait for their constraints. One thread compiles them, in the order in which they came.

    Used in the loop's thread.
    """

    def __init__(self, on_done: Callable[[], None]) -> None:
        self._on_done = on_done
        self.requests: list[CompilingRequest] = []
        self._jobs: deque[tuple[CompilingRequest, Callable[[], Constraint | None]]] = deque()
        self._lock = threading.Lock()
        self._is_running = False
        """Whether the thread runs and will look at the jobs once more; held with them under the lock."""

    def add(self, request: CompilingRequest, compiled: Callable[[], Constraint | None]) -> None:
        """Compile a request's constraint; ``compiled`` is called in the other thread."""
        self.requests.append(request)
        with self._lock:
            self._jobs.append((request, compiled))
            starts, self._is_running = not self._is_running, True
        if starts:
            BackgroundCall(self._run)

    def finished(self) -> list[CompilingRequest]:
        """Take out the requests whose constraints are compiled, or cannot be."""
        done = [each for each in self.requests if each.is_done]
        self.requests = [each for each in self.requests if each not in done]
        return done

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._is_running = False
                    return
                request, compiled = self._jobs.popleft()
            try:
                request.constraint = compiled()
            except Exception as error:  # noqa: BLE001 - raised again in the loop's thread
                request.error = error
            request.is_done = True
            self._on_done()
