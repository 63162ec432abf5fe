"""How much the engine takes in: requests that are open, by number and bytes, for each client and for all together.

A request is open from its frame until its last frame is sent, so that what waits anywhere on the way is counted. The
listener's thread admits, the decode loop settles. Knows no sockets and no models.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol

from edgechat.errors import EngineBusyError, EngineProtocolError, InvalidInputError

MAX_OPEN = 8
"""Requests of one connection; our own clients ask one at a time."""

MAX_BYTES = 64 * 1024 * 1024
"""Of all open requests, as they came; one alone may be as large as a frame."""

GUEST_BYTES = MAX_BYTES // 2
"""Of the open requests of all guests: the rest is the owner's."""


class Client(Protocol):
    """Whoever asks; told apart by identity."""

    @property
    def is_guest(self) -> bool:
        """True for another user's client."""


@dataclass(slots=True)
class _Entry:
    n_bytes: int
    is_cancelled: bool = False


class Intake:
    """The open requests of one engine. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[Client, int], _Entry] = {}

    def admit(self, client: Client, request_id: int, n_bytes: int) -> None:
        """Count a request that came.

        Args:
            client: who asks.
            request_id: the client's number for it.
            n_bytes: of its frame.

        Raises:
            EngineBusyError: too much is open; the client may try again later.
            InvalidInputError: it is too large for a guest at any time.
            EngineProtocolError: the number is that of another open request.
        """
        with self._lock:
            if (client, request_id) in self._open:
                raise EngineProtocolError("Two requests of one client have the same number.")
            if sum(asking is client for asking, _ in self._open) >= MAX_OPEN:
                raise _busy(f"{MAX_OPEN} requests of this client are open already.")
            if self._open and self._bytes() + n_bytes > MAX_BYTES:
                raise _busy("The engine holds as much as it can take in.")
            if client.is_guest and n_bytes > GUEST_BYTES:
                raise InvalidInputError(
                    f"A request of {n_bytes / 1e6:,.0f} MB is too large for the machine's own engine, which takes "
                    f"{GUEST_BYTES / 1e6:,.0f} MB of other users.",
                    hint="Shorten the input, or make its images smaller.",
                )
            if client.is_guest and self._bytes(guests=True) + n_bytes > GUEST_BYTES:
                raise _busy("The engine holds as much of other users as it can take in.")
            self._open[client, request_id] = _Entry(n_bytes)

    def settle(self, client: Client, request_id: int) -> None:
        """A request's last frame is sent, or nobody waits for it; nothing for one that is not open."""
        with self._lock:
            self._open.pop((client, request_id), None)

    def cancels(self, client: Client, request_id: object) -> bool:
        """Whether a cancellation is news: the request is open, and was not cancelled before."""
        with self._lock:
            entry = self._open.get((client, request_id)) if isinstance(request_id, int) else None
            if entry is None or entry.is_cancelled:
                return False
            entry.is_cancelled = True
            return True

    def _bytes(self, *, guests: bool = False) -> int:
        return sum(entry.n_bytes for (client, _), entry in self._open.items() if client.is_guest or not guests)


def _busy(message: str) -> EngineBusyError:
    return EngineBusyError(message, cause="busy", hint="Try again in a moment.")
