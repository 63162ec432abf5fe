"""A document as a sequence of fixed text and units; a task may rewrite each unit in place.

The format modules find the units and write them back. This module does not depend on what a task does to a unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class TextUnit:
    """One rewritable text in a document."""

    text: str
    """The text as a reader sees it, without the format's escapes."""
    raw: str
    """The text as it stands in the file; written back unchanged unless ``text`` changes."""
    write: Callable[[str], str] = str
    """Spells a new text with the format's escapes."""

    def rewritten(self, text: str | None) -> str:
        """The file's spelling of ``text``; :attr:`raw` when the text did not change."""
        return self.raw if text is None or text == self.text else self.write(text)


Piece = str | TextUnit
"""Fixed text, or a unit. The fixed texts and the units' ``raw`` texts, joined in order, are the file."""


@runtime_checkable
class RewritesDocuments(Protocol):
    """A task that can run over a document, with one record per unit."""

    document_forms: Sequence[str]
    """The document formats that it reads and writes (``text``, ``md``, …)."""

    def document(self, text: str, form: str, columns: Sequence[str]) -> Iterator[Piece]:
        """Split a document into pieces.

        Args:
            text: the whole file, with its own line ends.
            form: one of :attr:`document_forms`.
            columns: the columns or keys of a table to rewrite.

        Raises:
            InvalidInputError: the text does not have that format.
        """
        ...

    def document_fields(self, texts: Sequence[str], fields: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of every unit's record that the whole document determines, such as its language.

        Args:
            texts: the texts of its units.
            fields: the fields given with ``--field``.

        Raises:
            UsageError: a field that every unit needs is missing.
        """
        ...

    def replacement(self, result: Mapping[str, Any]) -> str:
        """The new text of a unit, from the result of its record."""
        ...
