"""The document formats that translation reads and writes back, each in a module of its own.

All promise one thing: the pieces in order, with every unit as it stands, are the file again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.tasks.translate.formats import markdown, plain, po, srt, table, xliff

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgechat.tasks.batch.document import Piece

FORMS = ("text", "md", "srt", "po", "xliff", "csv", "jsonl")


def pieces(text: str, form: str, columns: Sequence[str]) -> Iterator[Piece]:
    """Cut a document of one of :data:`FORMS` up.

    Raises:
        InvalidInputError: the text is not of that form, or a column is not there.
    """
    if form == "csv":
        return table.csv_pieces(text, columns)
    if form == "jsonl":
        return table.json_pieces(text, columns)
    cut = {
        "text": plain.pieces, "md": markdown.pieces, "srt": srt.pieces, "po": po.pieces, "xliff": xliff.pieces,
    }  # fmt: skip
    return cut[form](text)
