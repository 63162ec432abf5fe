"""A file that a task rewrites in places: pieces of text that stay as they are, and units that may change.

Formats know how to find units and how to write them back; nothing here knows what is done to a unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from edgechat.tasks.batch.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence


def _as_it_is(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class Unit:
    """One place in a document."""

    text: str
    """What a reader would see there, without the format's escapes."""
    raw: str
    """How it stands in the file; written back unless the text changed."""
    write: Callable[[str], str] = _as_it_is
    """A new text in the format's own spelling."""

    def rewritten(self, text: str | None) -> str:
        """The place with ``text`` in it; unchanged text is not respelled."""
        return self.raw if text is None or text == self.text else self.write(text)


Piece = str | Unit
"""Text that stays, or a place that may change. All raws and texts in order are the file."""


@runtime_checkable
class RewritesDocuments(Protocol):
    """A task that can be run over a document: one record for each unit."""

    document_forms: Sequence[str]
    """What it reads and writes (``text``, ``md``, …)."""

    def document(self, text: str, form: str, columns: Sequence[str]) -> Iterator[Piece]:
        """Cut a document up.

        Args:
            text: the whole file, with its own line ends.
            form: one of :attr:`document_forms`.
            columns: which columns or keys to rewrite in a table.

        Raises:
            InvalidInputError: the text is not of that form.
        """
        ...

    def document_fields(self, texts: Sequence[str], fields: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of every unit's record that follow from the document as a whole.

        Args:
            texts: its units.
            fields: those that were given by hand.

        Raises:
            UsageError: a field is missing that every unit needs.
        """
        ...

    def replacement(self, result: Mapping[str, Any]) -> str:
        """The new text of a unit, from its record's result."""
        ...


class Units:
    """The units of a document as records, each with the text that stands before it; :attr:`tail` is what follows.

    Args:
        pieces: the document.
        fields: what each record has beside its text.
    """

    def __init__(self, pieces: Iterable[Piece], fields: Mapping[str, Any]) -> None:
        self._pieces, self._fields = pieces, fields
        self.tail = ""
        """The text behind the last unit; known when all have been taken."""

    def __iter__(self) -> Iterator[Record]:
        number, before = 0, ""
        for piece in self._pieces:
            if isinstance(piece, str):
                before += piece
            else:
                number += 1
                yield Record(number, number, {"text": piece.text, **self._fields}, unit=piece, before=before)
                before = ""
        self.tail = before
