"""The request queue: from the listener's thread to the loop that works on requests, and before that to the loader.

Holds every request until it is prepared: while the model is being loaded, and while answers run. Preparing one (its
template, its tokens, its schema) takes up to seconds in which no running answer gets a token, so requests are taken out
one at a time: interactive ones before batch work, prefill-only ones last and only while nothing is answered. Requests
that are cancelled here leave at once. Knows no models.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from edgechat.engine.listener.guests import wish_to_load
from edgechat.engine.protocol.errors import error_frame
from edgechat.engine.protocol.events import Done

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.engine.listener.connections import Connection
    from edgechat.engine.protocol.events import Event
    from edgechat.engine.protocol.request import Request, Wish
    from edgechat.errors import EdgechatError


class QueuedRequest(NamedTuple):
    """A request that is not prepared yet."""

    connection: Connection
    request_id: int
    request: Request

    @property
    def wish(self) -> Wish:
        """What is loaded where this request is the first."""
        return wish_to_load(self.request, is_guest=self.connection.is_guest)


Cancellation = tuple["Connection", int | None]
"""What to cancel: one request of a connection, or (None) all of a client that has disconnected."""


class RequestQueue:
    """The requests that one engine has accepted and not prepared. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: list[QueuedRequest] = []
        self._cancelled: list[Cancellation] = []
        self._is_woken = False

    def __len__(self) -> int:
        """Requests that wait to be prepared."""
        return len(self._requests)

    # -- the listener's thread -----------------------------------------------------------------------------------------

    def put(self, connection: Connection, request_id: int, request: Request) -> None:
        """Add a request. It replaces the drafts of the same client that wait here."""
        with self._changed:
            replaced = self._remove(lambda each: each.connection is connection and is_draft(each.request))
            self._requests.append(QueuedRequest(connection, request_id, request))
            self._changed.notify()
        for each in replaced:
            connection.send(cancelled_before_start(0), each.request_id)

    def cancel(self, connection: Connection, request_id: int | None) -> None:
        """Cancel one request of a connection, or (None) all requests of a client that has disconnected."""
        with self._changed:
            removed = self._remove(lambda each: each.connection is connection and request_id in {None, each.request_id})
            if request_id is None or not removed:  # a client may reuse the number of one removed here
                self._cancelled.append((connection, request_id))
                self._changed.notify()
        for each in removed:
            connection.send(cancelled_before_start(0), each.request_id)

    def wake(self) -> None:
        """End the wait of :meth:`cancellations`."""
        with self._changed:
            self._is_woken = True
            self._changed.notify()

    # -- the loop's thread ---------------------------------------------------------------------------------------------

    def cancellations(self, wait_s: float) -> list[Cancellation]:
        """What was cancelled after it had left this queue, and which clients have disconnected.

        Args:
            wait_s: how long to wait for a request or a cancellation; not at all while requests wait to be prepared.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._requests or self._cancelled or self._is_woken, wait_s)
            cancelled, self._cancelled, self._is_woken = self._cancelled, [], False
        return cancelled

    def take(self, *, prefills: bool = True) -> QueuedRequest | None:
        """Take out the oldest interactive request, or the oldest one; None when there is none.

        Args:
            prefills: also take out a prefill-only request, where there is no other.
        """
        with self._changed:
            found = [each for each in self._requests if prefills or not each.request.prefill_only]
            first = min(found, key=lambda each: (each.request.prefill_only, each.request.is_batch), default=None)
            if first is not None:
                self._requests.remove(first)
        return first

    # -- while the model is being loaded -------------------------------------------------------------------------------

    def first_wish(self, wait_s: float) -> Wish | None:
        """Which model the oldest request wants that is to be answered; waits ``wait_s`` for one to come."""
        with self._changed:
            self._cancelled.clear()  # nothing runs that could be cancelled
            self._changed.wait_for(lambda: self._requests, wait_s)
            first = min(self._requests, key=lambda each: each.request.prefill_only, default=None)
            return None if first is None else first.wish

    @property
    def is_constrained(self) -> bool:
        """Whether any request wants an answer under a schema."""
        with self._changed:
            return any(each.request.constraint is not None for each in self._requests)

    def broadcast(self, event: Event) -> None:
        """Send an event to the client of every request."""
        with self._changed:
            waiting = list(self._requests)
        for each in waiting:
            each.connection.send(event, each.request_id)

    def refuse(self, wish: Wish, error: EdgechatError) -> bool:
        """Refuse all requests for a model that cannot be loaded; those for another one wait on.

        Returns:
            Whether one of them was the owner's. Guests alone are disconnected, and the engine goes on.
        """
        with self._changed:
            refused = self._remove(lambda each: each.wish == wish)
        for connection, request_id, _ in refused:
            connection.send_frame(error_frame(error, request_id))
            if connection.is_guest:
                connection.dismiss("refused")
        return any(not each.connection.is_guest for each in refused)

    def _remove(self, matches: Callable[[QueuedRequest], bool]) -> list[QueuedRequest]:
        removed = [each for each in self._requests if matches(each)]
        self._requests = [each for each in self._requests if not matches(each)]
        return removed


def is_draft(request: Request) -> bool:
    """Whether a newer request of the same client replaces this one: a prefill-only one that is not to be kept."""
    return request.prefill_only and not request.keep_on_disk


def cancelled_before_start(prompt_tokens: int) -> Done:
    """The last event of a request that was cancelled while it waited."""
    counts = ("cached_tokens", "completion_tokens", "forced_tokens", "drafted_tokens", "accepted_tokens")
    return Done(
        finish_reason="cancelled",
        usage={"prompt_tokens": prompt_tokens, **dict.fromkeys(counts, 0)},
        timing={},
        seed=0,
        is_context_full=False,
        peak_rss_bytes=0,
        load_s=0.0,
    )
