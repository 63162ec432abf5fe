"""CSV: each record is one row of a table, with the names of the columns."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from edgechat.documents.block import Block, ReadDocument
from edgechat.documents.limits import UnreadableDocumentError
from edgechat.documents.readers.plain import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SEPARATORS = ",;\t|"
_MAX_CELL = 1 << 20


def read(_file: Path, data: bytes, name: str) -> ReadDocument:
    """Read a CSV or TSV file."""
    notes: list[str] = []
    return ReadDocument(_blocks(decoded(data, name, notes), name), notes=notes)


def _blocks(text: str, name: str) -> Iterator[Block]:
    csv.field_size_limit(_MAX_CELL)
    first = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    header = ""
    try:
        for record in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            row = " | ".join(" ".join(cell.split()) for cell in record)
            if row.strip(" |"):
                yield Block(row, "row", header=header)
                header = header or row
    except csv.Error as error:
        raise UnreadableDocumentError(f"{name} is no CSV file: {error}.") from error
