"""Plain text: each line is a unit, without the white space around it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgechat.tasks.batch.document import Piece, TextUnit

if TYPE_CHECKING:
    from collections.abc import Iterator


def pieces(text: str) -> Iterator[Piece]:
    """Lines and what stands between them."""
    for line in re.split(r"(?<=\n)|(?<=\r)(?!\n)", text):
        yield from line_pieces(line)


def line_pieces(line: str) -> Iterator[Piece]:
    """One line: its indent, its text if it has any, and its end."""
    # A byte-order mark is no letter of the first word.
    core = line.strip(" \t\r\n\v\f\u3000\ufeff")
    if not core:
        yield line
        return
    start = line.index(core)
    yield line[:start]
    yield TextUnit(core, core)
    yield line[start + len(core) :]
