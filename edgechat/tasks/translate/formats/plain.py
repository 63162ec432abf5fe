"""Plain text: each line without its surrounding white space is a unit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgechat.tasks.batch.document import Piece, TextUnit

if TYPE_CHECKING:
    from collections.abc import Iterator


def pieces(text: str) -> Iterator[Piece]:
    """The pieces of a plain text."""
    for line in re.split(r"(?<=\n)|(?<=\r)(?!\n)", text):
        yield from line_pieces(line)


def line_pieces(line: str) -> Iterator[Piece]:
    """The pieces of one line: indent, text if any, line end."""
    # A byte-order mark is not part of the text.
    core = line.strip(" \t\r\n\v\f\u3000\ufeff")
    if not core:
        yield line
        return
    start = line.index(core)
    yield line[:start]
    yield TextUnit(core, core)
    yield line[start + len(core) :]
