"""Documents and sections as the index holds them."""

from __future__ import annotations

from dataclasses import dataclass

from edgechat.documents.sections import HEADING_SEPARATOR


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document in the index."""

    id: int
    collection: str
    path: str
    name: str
    title: str
    format: str
    sha256: str
    bytes: int
    pages: int | None
    sections: int
    tokens: int
    """Of all its sections, by estimate."""
    prepared: int = 0
    """Sections that were read ahead; see :mod:`edgechat.documents.prepared`."""


@dataclass(frozen=True, slots=True)
class StoredSection:
    """A section in the index."""

    id: int
    document: str
    """The document's name."""
    title: str
    """The document's title."""
    collection: str
    headings: tuple[str, ...]
    text: str
    first_page: int | None
    last_page: int | None
    tokens: int
    score: float = 0.0
    """How well it answers a search; higher is better."""

    @property
    def heading(self) -> str:
        """The headings from the highest down, as one line."""
        return HEADING_SEPARATOR.join(self.headings)


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document to be stored."""

    collection: str
    path: str
    name: str
    title: str
    format: str
    sha256: str
    bytes: int
    changed_ns: int
    pages: int | None
