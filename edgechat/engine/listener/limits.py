"""Limits on open requests, by number and bytes, for each client and for all together.

A request is open from its frame until its last frame is sent, so that it counts wherever it waits. The listener's
thread admits requests, the decode loop closes them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol

from edgechat.errors import EngineBusyError, EngineProtocolError, InvalidInputError
from edgechat.plaintext import megabytes

MAX_OPEN = 8
"""Requests of one connection; our own clients ask one at a time."""

MAX_BYTES = 64 * 1024 * 1024
"""Of the frames of all open requests; a single request may be as large as a frame."""

GUEST_BYTES = MAX_BYTES // 2
"""Of the open requests of all guests; the rest is kept for the owner."""


class Client(Protocol):
    """A connection, compared by identity."""

    @property
    def is_guest(self) -> bool:
        """True for another user's client."""


@dataclass(slots=True)
class _Entry:
    n_bytes: int
    is_cancelled: bool = False


class OpenRequests:
    """The open requests of one engine. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[Client, int], _Entry] = {}

    def admit(self, client: Client, request_id: int, n_bytes: int) -> None:
        """Count a new request.

        Raises:
            EngineBusyError: too much is open; trying again later may work.
            InvalidInputError: it is larger than guests may ever send.
            EngineProtocolError: the number is that of another open request.
        """
        with self._lock:
            if (client, request_id) in self._open:
                raise EngineProtocolError("Two requests of one client have the same number.")
            if sum(asking is client for asking, _ in self._open) >= MAX_OPEN:
                raise _busy(f"{MAX_OPEN} requests of this client are open already.")
            if self._open and self._bytes() + n_bytes > MAX_BYTES:
                raise _busy("The open requests fill the engine's limit.")
            if client.is_guest and n_bytes > GUEST_BYTES:
                raise InvalidInputError(
                    f"A request of {megabytes(n_bytes)} is too large for the machine's own engine, which takes "
                    f"{megabytes(GUEST_BYTES)} of other users.",
                    hint="Shorten the input, or make its images smaller.",
                )
            if client.is_guest and self._bytes(guests=True) + n_bytes > GUEST_BYTES:
                raise _busy("The open requests of other users fill their limit.")
            self._open[client, request_id] = _Entry(n_bytes)

    def close(self, client: Client, request_id: int) -> None:
        """Stop counting a request; does nothing for one that is not open."""
        with self._lock:
            self._open.pop((client, request_id), None)

    def cancel(self, client: Client, request_id: object) -> bool:
        """Mark a request as cancelled; False when it is not open or was cancelled before."""
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
