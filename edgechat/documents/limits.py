"""Bounds of what a document may cost: files come from anywhere, and a board has little memory."""

from __future__ import annotations

from edgechat.errors import InvalidInputError

MAX_FILE_BYTES = 256 << 20
"""Of one file. Manuals with many pictures reach 100 MB; the text in them is far smaller."""
MAX_TEXT_BYTES = 32 << 20
"""Of a text, Markdown, HTML or CSV file, and of the text in any document: 10,000 pages."""
MAX_UNPACKED_RATIO = 200
"""A compressed part of a document may unpack to this many times its size; text compresses about 10 times."""
MAX_DEPTH = 200
"""Of elements within elements in HTML and DOCX."""
MAX_PAGES = 20_000
MAX_SECONDS = 600.0
"""To read one document; a slow board reads 2,000 pages in less."""
MAX_HEADING = 300
"""Characters of a heading that are kept."""


class UnreadableDocumentError(InvalidInputError):
    """A document that is skipped; the message says why."""


def too_large(name: str, size: int, limit: int, what: str = "") -> UnreadableDocumentError:
    """The error for a file, or for the text in it, above its limit in bytes."""
    return UnreadableDocumentError(
        f"{name}{what} is {size / 1e6:,.0f} MB; the limit is {limit / 1e6:,.0f} MB.",
        hint="Divide it into smaller files.",
    )
