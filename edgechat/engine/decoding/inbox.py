"""The decode loop's mail, sorted: what takes effect at once, and requests that are yet to be prepared.

Preparing a request (its template, its tokens, its schema) takes up to seconds, in which no running answer goes on. So
requests are taken out singly, and whoever cancels or leaves is heard before. Knows no models.
"""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING

from edgechat.engine.decoding.sequence import never_started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.engine.decoding.loop import Inbox
    from edgechat.engine.listener.connections import Connection
    from edgechat.engine.protocol.request import Request


class Mailbag:
    """Belongs to the loop's thread; others put mail into the inbox.

    Args:
        inbox: where mail arrives.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._unopened: list[tuple[Connection, int, Request]] = []

    def __len__(self) -> int:
        """Requests that are yet to be prepared."""
        return len(self._unopened)

    def collect(self, patience_s: float) -> Iterator[tuple[Connection, int | None]]:
        """Empty the inbox, and yield which answers are to be cancelled: one of a connection, or (None) all of it.

        Args:
            patience_s: how long to wait for mail; not at all while requests are yet to be prepared.
        """
        try:
            is_waiting = patience_s > 0 and not self._unopened
            kind, connection, content = self._inbox.get(timeout=patience_s) if is_waiting else self._inbox.get_nowait()
            while True:
                if kind == "generate":
                    self._unopened.append((connection, *content))
                elif kind in {"cancel", "gone"}:
                    request_id = content if kind == "cancel" else None
                    self._withdraw(connection, request_id)
                    yield connection, request_id
                kind, connection, content = self._inbox.get_nowait()
        except queue.Empty:
            return

    def requests(self) -> Iterator[tuple[Connection, int, Request]]:
        """Take out requests, those first that somebody watches, as they came; stop asking at any time."""
        while self._unopened:
            first = min(self._unopened, key=lambda each: each[2].is_batch)
            self._unopened.remove(first)
            yield first

    def _withdraw(self, connection: Connection, request_id: int | None) -> None:
        for each in [each for each in self._unopened if each[0] is connection and request_id in {None, each[1]}]:
            self._unopened.remove(each)
            connection.send(never_started(0), each[1])
