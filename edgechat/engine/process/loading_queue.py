"""The queue in front of the decode loop while a model is loaded: requests wait here, their clients get the progress.

The listener's thread fills it, the loading thread reads it. Once :meth:`LoadingQueue.open` was called, messages go
straight to the loop's inbox.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from edgechat.engine.listener.guests import wish_to_load
from edgechat.engine.protocol.errors import error_frame

if TYPE_CHECKING:
    from edgechat.engine.decoding.loop import Inbox
    from edgechat.engine.listener.connections import Connection
    from edgechat.engine.protocol.events import Event
    from edgechat.engine.protocol.request import Request, Wish
    from edgechat.errors import EdgechatError


class LoadingQueue:
    """Messages of clients that wait for a model. Thread-safe.

    Args:
        inbox: the decode loop's inbox.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._messages: list[tuple[str, Connection, Any]] = []
        self._lock = threading.Lock()
        self._has_request = threading.Event()
        self._is_closed = True

    def post(self, kind: str, connection: Connection, content: Any) -> None:
        """Add a message, as :data:`edgechat.engine.decoding.loop.Inbox` describes it."""
        with self._lock:
            if not self._is_closed:
                self._inbox.put((kind, connection, content))
            elif kind == "gone":
                # The client has left: free its requests now, since loading may take long.
                self._drop([request_id for each, request_id, _ in self._waiting() if each is connection], connection)
            else:
                self._messages.append((kind, connection, content))
                if kind == "generate":
                    self._has_request.set()

    def open(self) -> None:
        """Pass all messages to the inbox, now and from now on."""
        with self._lock:
            for message in self._messages:
                self._inbox.put(message)
            self._messages.clear()
            self._is_closed = False

    def wish(self, timeout_s: float) -> Wish | None:
        """The wish of the first waiting request; waits up to ``timeout_s`` seconds for one, else None."""
        self._has_request.wait(timeout_s)
        with self._lock:
            waiting = self._waiting()
            if not waiting:
                self._has_request.clear()
                return None
            connection, _, request = waiting[0]
            return wish_to_load(request, is_guest=connection.is_guest)

    @property
    def is_constrained(self) -> bool:
        """Whether any waiting request has a constraint."""
        with self._lock:
            return any(request.constraint is not None for _, _, request in self._waiting())

    def broadcast(self, event: Event) -> None:
        """Send an event to every waiting request."""
        with self._lock:
            waiting = self._waiting()
        for connection, request_id, _ in waiting:
            connection.send(event, request_id)

    def refuse(self, wish: Wish, error: EdgechatError) -> bool:
        """Send the error to every waiting request with this wish; requests with other wishes keep waiting.

        Returns:
            True when a client of the engine's owner was among them; guests are only disconnected.
        """
        with self._lock:
            refused = [
                (connection, request_id)
                for connection, request_id, request in self._waiting()
                if wish_to_load(request, is_guest=connection.is_guest) == wish
            ]
            for connection, request_id in refused:
                self._drop([request_id], connection)
        for connection, request_id in refused:
            connection.send_frame(error_frame(error, request_id))
            if connection.is_guest:
                connection.dismiss("refused")
        return any(not connection.is_guest for connection, _ in refused)

    def _waiting(self) -> list[tuple[Connection, int, Request]]:
        return [(connection, *content) for kind, connection, content in self._messages if kind == "generate"]

    def _drop(self, request_ids: list[int], connection: Connection) -> None:
        self._messages = [
            message
            for message in self._messages
            if not (message[0] == "generate" and message[1] is connection and message[2][0] in request_ids)
        ]
        for request_id in request_ids:
            connection.finish(request_id)
