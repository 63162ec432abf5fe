"""Who has a place among the server's connections, and who gives up theirs when all are taken."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator


class Waiting(Protocol):
    """One connection."""

    @property
    def address(self) -> str:
        """Of the machine at the other end; empty for this one, whose programs all share it."""

    @property
    def is_waiting(self) -> bool:
        """Whether it is open, and no request of it has a complete head and no complete response."""


C = TypeVar("C", bound=Waiting)


class Places(Generic[C]):
    """Counts the open connections. Each operation takes the same time however many there are, but for a full address.

    Args:
        limit: connections at once.
        per_address: of these, from one address of another machine.
    """

    def __init__(self, limit: int, per_address: int) -> None:
        self._limit, self._per_address = limit, per_address
        self._open: set[C] = set()
        self._by_address: Counter[str] = Counter()
        self._waiting: dict[C, None] = {}
        """The longest waiting first; some have a request by now, and are passed over."""

    def enter(self, connection: C) -> C | None:
        """Count a connection that was made.

        Returns:
            The connection that is to be closed for it, which is itself where all others have a running request; None
            while there are places.
        """
        address = connection.address
        self._open.add(connection)
        if address:
            self._by_address[address] += 1
        is_crowded = bool(address) and self._by_address[address] > self._per_address
        leaving: C | None = None
        if is_crowded or len(self._open) > self._limit:
            leaving = next(self._longest_waiting(address if is_crowded else ""), connection)
            self._waiting.pop(leaving, None)
        if leaving is not connection:
            self._waiting[connection] = None
        return leaving

    def wait(self, connection: C) -> None:
        """Its response is complete: from now on it waits for the next request."""
        self._waiting.pop(connection, None)
        self._waiting[connection] = None

    def leave(self, connection: C) -> None:
        """It is closed."""
        self._waiting.pop(connection, None)
        if connection in self._open:
            self._open.remove(connection)
            if connection.address:
                self._by_address[connection.address] -= 1
                if not self._by_address[connection.address]:
                    del self._by_address[connection.address]

    def _longest_waiting(self, address: str) -> Iterator[C]:
        """Connections that wait, of one address where one is given; the longest waiting first."""
        for each in list(self._waiting) if address else self._oldest():
            if each.is_waiting and (not address or each.address == address):
                yield each

    def _oldest(self) -> Iterator[C]:
        """All, from the oldest on; those that do not wait any more are removed."""
        while self._waiting:
            oldest = next(iter(self._waiting))
            yield oldest
            self._waiting.pop(oldest, None)
