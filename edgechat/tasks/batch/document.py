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
    place: str = ""
    """What the format calls this place (``cue 3``, ``menu.close``), for messages; the line is counted by the reader."""

    def rewritten(self, text: str | None) -> str:
        """The file's spelling of ``text``; :attr:`raw` when the text did not change."""
        return self.raw if text is None or text == self.text else self.write(text)


@dataclass(frozen=True, slots=True)
class KeptText:
    """A text that people read but that cannot be rewritten without risk; it stays and is reported."""

    raw: str
    """The text as it stands in the file."""
    reason: str
    """Why it stays, in one sentence."""
    place: str = ""


Piece = str | TextUnit | KeptText
"""Fixed text, a unit, or a text that stays. Fixed texts and ``raw`` texts, joined in order, are the file."""


@dataclass(frozen=True, slots=True)
class DocumentOptions:
    """What the caller knows about a document besides its format."""

    columns: tuple[str, ...] = ()
    """The columns or keys of a table to rewrite."""
    delimiter: str = ""
    """The separator of a CSV file; empty recognises it."""
    encoding: str = "utf-8"
    """The encoding that the file is in and will be written in."""


@runtime_checkable
class RewritesDocuments(Protocol):
    """A task that can run over a document, with one record per unit."""

    document_forms: Sequence[str]
    """The document formats that it reads and writes (``text``, ``md``, …)."""

    def document(self, text: str, form: str, options: DocumentOptions) -> Iterator[Piece]:
        """Split a document into pieces.

        Raises:
            InvalidInputError: the text does not have that format.
        """
        ...

    def document_structure(self, text: str, form: str, options: DocumentOptions) -> object:
        """What must be equal before and after a rewrite: all that is not a unit's text. None: there is nothing to lose.

        Raises:
            InvalidInputError: the text does not have that format.
        """
        ...

    def declared_encoding(self, data: bytes, form: str) -> str | None:
        """The encoding that a document names itself, as it is written there; None where it names none."""
        ...

    def with_declared_encoding(self, text: str, form: str, encoding: str) -> str | None:
        """The document with ``encoding`` in its declaration; None when the format has no such declaration."""
        ...

    def document_fields(self, texts: Sequence[str], fields: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of every unit's record that the whole document determines, such as its language.

        Raises:
            UsageError: a field that every unit needs is missing.
        """
        ...

    def replacement(self, result: Mapping[str, Any]) -> str:
        """The new text of a unit, from the result of its record."""
        ...
