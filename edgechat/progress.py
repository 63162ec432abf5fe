"""How long work tells what it has done: a label, a total, and amounts. Who listens decides how it looks.

Knows no terminal and no widget; ``cli`` draws bars, tests count, and :data:`SILENT` says nothing.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A listener to one piece of work after another. Amounts are bytes unless the label says otherwise."""

    def begin(self, label: str, total: int | None, done: int = 0) -> None:
        """Work called ``label`` starts, ``done`` of ``total`` being there already (None: nobody knows how much)."""

    def advance(self, amount: int) -> None:
        """``amount`` more is done; negative when work had to be thrown away."""

    def note(self, text: str) -> None:
        """A sentence for the person who waits: what went wrong and what happens next."""

    def end(self) -> None:
        """The work that began last has ended, well or not."""


class _Silent:
    def begin(self, label: str, total: int | None, done: int = 0) -> None: ...

    def advance(self, amount: int) -> None: ...

    def note(self, text: str) -> None: ...

    def end(self) -> None: ...


SILENT: Progress = _Silent()
"""The listener that says nothing."""
