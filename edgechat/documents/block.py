"""What a reader finds in a document: blocks in reading order, and the document's own title."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["heading", "paragraph", "step", "row", "code"]


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of text that stays together where it fits into a section."""

    text: str
    """As it stands in the document, without the format's own marks."""
    kind: Kind = "paragraph"
    """A ``step`` (an item of a list) and a ``row`` (of a table) are never divided."""
    level: int = 0
    """Of a heading: 1 is the highest."""
    page: int | None = None
    """The page it begins on, from 1; None where the format has no pages."""
    header: str = ""
    """Of a row: the table's header row, repeated where a table goes on in the next section."""


@dataclass(slots=True)
class ReadDocument:
    """A document while it is read: the blocks must be consumed before the other fields are looked at."""

    blocks: Iterator[Block]
    title: str = ""
    """Its title, where the format has one."""
    pages: int | None = None
    notes: list[str] = field(default_factory=list)
    """What could not be read in it, in sentences."""
