"""Progress of long work: a label, a total and amounts, reported to a listener (bars in ``cli``, widgets in ``tui``)."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A listener to one task after another. Amounts are bytes unless the label says otherwise."""

    def begin(self, label: str, total: int | None, done: int = 0) -> None:
        """A task begins, with ``done`` of ``total`` finished already; ``total`` is None where it is unknown."""

    def advance(self, amount: int) -> None:
        """``amount`` more is done; negative when work was discarded."""

    def note(self, text: str) -> None:
        """A message for the user: what went wrong and what happens next."""

    def end(self) -> None:
        """The last task has ended, successfully or not."""


class _Silent:
    def begin(self, label: str, total: int | None, done: int = 0) -> None: ...

    def advance(self, amount: int) -> None: ...

    def note(self, text: str) -> None: ...

    def end(self) -> None: ...


SILENT: Progress = _Silent()
"""The listener that ignores everything."""
