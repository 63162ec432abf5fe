"""The formats of documents: which file is read as what, and by which reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.documents.limits import UnreadableDocumentError
from edgechat.documents.readers import csv_table, docx, html, markdown, pdf, plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgechat.documents.block import ReadDocument

FORMATS: dict[str, str] = {
    ".txt": "text", ".text": "text", ".log": "text", ".rst": "text", ".md": "markdown", ".markdown": "markdown",
    ".html": "html", ".htm": "html", ".xhtml": "html", ".pdf": "pdf", ".docx": "docx", ".csv": "csv", ".tsv": "csv",
}  # fmt: skip
"""End of a file's name -> format."""
READERS: dict[str, Callable[[Path, bytes, str], ReadDocument]] = {
    "text": plain.read,
    "markdown": markdown.read,
    "html": html.read,
    "pdf": pdf.read,
    "docx": docx.read,
    "csv": csv_table.read,
}
READ_IN_PARTS = frozenset(("pdf", "docx"))
"""Formats whose readers open the file themselves, a part at a time."""
_OTHER_WORD = {".doc": "DOCX", ".odt": "DOCX", ".rtf": "DOCX", ".xls": "CSV", ".xlsx": "CSV", ".ps": "PDF"}
"""Formats that are not read, and what to save them as."""


def format_of(file: Path, name: str) -> str:
    """The format of a file, by the end of its name; ``name`` is for messages.

    Raises:
        UnreadableDocumentError: it is none that is read.
    """
    end = file.suffix.lower()
    if end in FORMATS:
        return FORMATS[end]
    if end in _OTHER_WORD:
        raise UnreadableDocumentError(f"{name}: {end} files are not read.", hint=f"Save it as {_OTHER_WORD[end]}.")
    raise UnreadableDocumentError(
        f"{name}: files that end in {end or 'no suffix'} are not read.",
        hint="Documents are text, Markdown, HTML, PDF, DOCX and CSV.",
    )
