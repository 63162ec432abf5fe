"""Where mail waits until a model is loaded: whose wish is loaded, who is told how far that is, and who is refused.

Filled by the listener's thread, read by the one that loads. Once the door to the loop is open, mail goes straight
through. Knows no models.
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


class Lobby:
    """The mail of an engine.

    Args:
        inbox: what the loop will take.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._mail: list[tuple[str, Connection, Any]] = []
        self._lock = threading.Lock()
        self._has_request = threading.Event()
        self._is_closed = True

    def post(self, kind: str, connection: Connection, content: Any) -> None:
        """Take mail, as :data:`edgechat.engine.decoding.loop.Inbox` describes it."""
        with self._lock:
            if not self._is_closed:
                self._inbox.put((kind, connection, content))
            elif kind == "gone":
                # Nobody waits for it, and what it holds is not kept for as long as loading takes.
                self._drop([request_id for each, request_id, _ in self._waiting() if each is connection], connection)
            else:
                self._mail.append((kind, connection, content))
                if kind == "generate":
                    self._has_request.set()

    def open(self) -> None:
        """Let all in."""
        with self._lock:
            for mail in self._mail:
                self._inbox.put(mail)
            self._mail.clear()
            self._is_closed = False

    def wish(self, patience_s: float) -> Wish | None:
        """What the first who waits wishes to have loaded; waits ``patience_s`` for one to come."""
        self._has_request.wait(patience_s)
        with self._lock:
            waiting = self._waiting()
            if not waiting:
                self._has_request.clear()
                return None
            connection, _, request = waiting[0]
            return wish_to_load(request, is_guest=connection.is_guest)

    @property
    def is_constrained(self) -> bool:
        """Whether anybody who waits wants an answer under a schema."""
        with self._lock:
            return any(request.constraint is not None for _, _, request in self._waiting())

    def tell(self, event: Event) -> None:
        """Send everybody who waits the same event."""
        with self._lock:
            waiting = self._waiting()
        for connection, request_id, _ in waiting:
            connection.send(event, request_id)

    def refuse(self, wish: Wish, error: EdgechatError) -> bool:
        """Tell everybody who wished for this. True when the owner did: guests alone are sent away and change nothing.

        Whoever wished for something else waits on, or tries again with a new engine.
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
        return [(connection, *content) for kind, connection, content in self._mail if kind == "generate"]

    def _drop(self, request_ids: list[int], connection: Connection) -> None:
        self._mail = [
            mail
            for mail in self._mail
            if not (mail[0] == "generate" and mail[1] is connection and mail[2][0] in request_ids)
        ]
        for request_id in request_ids:
            connection.settle(request_id)
