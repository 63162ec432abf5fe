"""CSV and JSON lines: some columns or keys are rewritten in place; quoting, order, spacing and other cells stay."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError
from edgechat.tasks.batch.document import Piece, TextUnit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEFAULT_COLUMN = "text"
_DECODER = json.JSONDecoder()
_BLANK = " \t\r\n"


def csv_pieces(text: str, columns: Sequence[str]) -> Iterator[Piece]:
    """The pieces of a CSV file; its units are the cells of ``columns`` (default: ``text``).

    Raises:
        InvalidInputError: a column is missing, or a quoted cell does not end.
    """
    wanted: set[int] | None = None
    for row in _rows(text):
        if wanted is None:
            wanted = _indices([cell for _, cell, _ in row], columns)
            yield "".join(before + raw for before, raw, _ in row)
            continue
        for index, (before, raw, is_quoted) in enumerate(row):
            yield before
            value = raw[1:-1].replace('""', '"') if is_quoted else raw
            if index in wanted and value.strip():
                yield TextUnit(value, raw, partial(_quoted, always=is_quoted))
            else:
                yield raw


def json_pieces(text: str, columns: Sequence[str]) -> Iterator[Piece]:
    """The pieces of a JSON lines file; its units are the strings under the keys ``columns`` (default: ``text``).

    Raises:
        InvalidInputError: a line is not a JSON object, or no line has such a key.
    """
    keys = set(columns or (DEFAULT_COLUMN,))
    found = False
    for number, line in enumerate(text.split("\n"), 1):
        if number > 1:
            yield "\n"
        if not line.strip("\ufeff" + _BLANK):
            yield line
            continue
        try:
            for piece in _members(line, keys):
                found = found or not isinstance(piece, str)
                yield piece
        except (ValueError, IndexError) as error:
            raise InvalidInputError(f"Line {number} is not a JSON object: {error}.") from error
    if not found and text.strip("\ufeff" + _BLANK):
        raise InvalidInputError(f"No line has a text under {' or '.join(sorted(keys))}.", hint="Name it with --column.")


def _rows(text: str) -> Iterator[list[tuple[str, str, bool]]]:
    """Rows of cells (RFC 4180): the separator before the cell, its raw text, whether it is quoted."""
    at = 1 if text.startswith("\ufeff") else 0
    row: list[tuple[str, str, bool]] = []
    before = text[:at]
    while at < len(text) or before:
        is_quoted = text.startswith('"', at)
        end = _quote_end(text, at) if is_quoted else at
        start = at
        at = end
        while at < len(text) and text[at] not in ",\r\n":
            at += 1
        # A cell with text after its closing quote counts as not quoted.
        row.append((before, text[start:at], is_quoted and at == end))
        if at < len(text) and text[at] == ",":
            before = ","
            at += 1
            continue
        line_end = text[at : at + 2] if text.startswith("\r\n", at) else text[at : at + 1]
        at += len(line_end)
        row.append((line_end, "", False))
        yield row
        row, before = [], ""
    if row:
        yield row


def _quote_end(text: str, at: int) -> int:
    start = at
    while True:
        at = text.find('"', at + 1)
        if at < 0:
            line = text.count("\n", 0, start) + 1
            raise InvalidInputError(f"The quoted cell that begins in line {line} of the CSV does not end.")
        if not text.startswith('"', at + 1):
            return at + 1
        at += 1


def _indices(header: list[str], columns: Sequence[str]) -> set[int]:
    names = [cell.strip().strip('"').strip().casefold() for cell in header]
    wanted = [name.casefold() for name in columns] or [DEFAULT_COLUMN]
    for name in wanted:
        if name not in names:
            known = ", ".join(cell.strip('"') for cell in header if cell.strip())
            raise InvalidInputError(
                f"The CSV has no column {name!r}.", hint=f"Name one with --column. There are: {known}."
            )
    return {index for index, name in enumerate(names) if name in wanted}


def _quoted(text: str, *, always: bool) -> str:
    if always or any(sign in text for sign in ',"\r\n') or text != text.strip():
        return '"' + text.replace('"', '""') + '"'
    return text


def _members(line: str, keys: set[str]) -> Iterator[Piece]:
    at = written = _skip(line, 1 if line.startswith("\ufeff") else 0)
    yield line[:at]
    if line[at] != "{":
        raise ValueError("it does not begin with {")
    at = _skip(line, at + 1)
    while line[at] != "}":
        key, at = _DECODER.raw_decode(line, at)
        at = _skip(line, at)
        if line[at] != ":" or not isinstance(key, str):
            raise ValueError("a key has no value")
        start = _skip(line, at + 1)
        value, at = _DECODER.raw_decode(line, start)
        if key in keys and isinstance(value, str) and value.strip():
            yield line[written:start]
            yield TextUnit(value, line[start:at], partial(_string, is_ascii="\\u" in line))
            written = at
        at = _skip(line, at)
        if line[at] == ",":
            at = _skip(line, at + 1)
        elif line[at] != "}":
            raise ValueError("a comma is missing")
    if line[at + 1 :].strip(_BLANK):
        raise ValueError("something follows its end")
    yield line[written:]


def _skip(line: str, at: int) -> int:
    while at < len(line) and line[at] in _BLANK:
        at += 1
    return at


def _string(text: str, *, is_ascii: bool) -> str:
    return json.dumps(text, ensure_ascii=is_ascii)
