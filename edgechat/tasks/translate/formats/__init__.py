"""The document formats that translate reads and writes back, one module each.

Every format keeps this rule: the pieces joined in order, with unchanged units, are the file byte for byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.tasks.translate.formats import markdown, plain, po, srt, table, xliff

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgechat.tasks.batch.document import Piece

FORMS = ("text", "md", "srt", "po", "xliff", "csv", "jsonl")


def pieces(text: str, form: str, columns: Sequence[str]) -> Iterator[Piece]:
    """Split a document in one of :data:`FORMS` into pieces.

    Raises:
        InvalidInputError: the text does not have that format, or a column is missing.
    """
    if form == "csv":
        return table.csv_pieces(text, columns)
    if form == "jsonl":
        return table.json_pieces(text, columns)
    cut = {
        "text": plain.pieces, "md": markdown.pieces, "srt": srt.pieces, "po": po.pieces, "xliff": xliff.pieces,
    }  # fmt: skip
    return cut[form](text)
