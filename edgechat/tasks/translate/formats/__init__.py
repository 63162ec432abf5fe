"""The document formats that translate reads and writes back, one module each.

Every format keeps this rule: the pieces joined in order, with unchanged units, are the file byte for byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.tasks.batch.document import TextUnit
from edgechat.tasks.batch.formats import JSON_STRINGS
from edgechat.tasks.translate.formats import (
    android,
    apple_strings,
    json_strings,
    markdown,
    plain,
    po,
    properties,
    srt,
    table,
    vtt,
    xliff,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.tasks.batch.document import DocumentOptions, Piece

FORMS = (
    "text", "md", "srt", "vtt", "po", "xliff", "csv", "jsonl", JSON_STRINGS, "properties", "android", "strings",
)  # fmt: skip


def pieces(text: str, form: str, options: DocumentOptions) -> Iterator[Piece]:
    """Split a document in one of :data:`FORMS` into pieces.

    Raises:
        InvalidInputError: the text does not have that format, or a column is missing.
    """
    if form == "csv":
        return table.csv_pieces(text, options)
    if form == "jsonl":
        return table.json_pieces(text, options.columns)
    if form == "properties":
        return properties.pieces(text, options.encoding)
    cut = {
        "text": plain.pieces, "md": markdown.pieces, "srt": srt.pieces, "vtt": vtt.pieces, "po": po.pieces,
        "xliff": xliff.pieces, JSON_STRINGS: json_strings.pieces, "android": android.pieces,
        "strings": apple_strings.pieces,
    }  # fmt: skip
    return cut[form](text)


def structure(text: str, form: str, options: DocumentOptions) -> object:
    """What a translation must leave as it is, for a comparison; None for plain text, whose lines are all units.

    Raises:
        InvalidInputError: the text does not have that format.
    """
    if form == "text":
        return None
    if form in {"md", "po", "xliff", "android"}:
        own = {"md": markdown.structure, "po": po.structure, "xliff": xliff.structure, "android": android.structure}
        return own[form](text)
    # The fixed text of these formats is their structure, and each unit is found again after the translation.
    return [None if isinstance(piece, TextUnit) else piece for piece in _joined(pieces(text, form, options))]


def _joined(found: Iterator[Piece]) -> Iterator[str | TextUnit]:
    """Pieces with neighbouring fixed texts in one."""
    fixed = ""
    for piece in found:
        if isinstance(piece, TextUnit):
            yield fixed
            yield piece
            fixed = ""
        else:
            fixed += piece if isinstance(piece, str) else piece.raw
    yield fixed
