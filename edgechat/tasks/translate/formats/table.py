"""CSV and JSON lines: some columns or keys are rewritten in place; quoting, order, spacing and other cells stay."""

from __future__ import annotations

import json
import re
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError
from edgechat.tasks.batch.delimiter import declared_delimiter, detect_delimiter
from edgechat.tasks.batch.document import Piece, TextUnit
from edgechat.tasks.translate.formats.icu import message_pieces
from edgechat.tasks.translate.formats.json_strings import spelled_string, string_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgechat.tasks.batch.document import DocumentOptions

DEFAULT_COLUMN = "text"
_LOOKED_AT = 20
"""Lines in which the separator is looked for."""
_DECODER = json.JSONDecoder()
_BLANK = " \t\r\n"


def csv_pieces(text: str, options: DocumentOptions) -> Iterator[Piece]:
    """The pieces of a CSV file; its units are the cells of the columns asked for (default: ``text``).

    Raises:
        InvalidInputError: a column is missing, or a quoted cell does not end.
    """
    first, _, rest = text.partition("\n")
    declared = declared_delimiter(first + "\n")
    start = len(text) - len(rest) if declared is not None else 0
    sign = options.delimiter or declared or detect_delimiter(list(islice(_lines(text), _LOOKED_AT)))
    yield text[:start]
    wanted: set[int] | None = None
    line = 1 + (start > 0)
    for row in _rows(text, start, sign):
        if wanted is None:
            wanted = _indices([cell for _, cell, _ in row], options.columns)
            yield "".join(before + raw for before, raw, _ in row)
        else:
            for index, (before, raw, is_quoted) in enumerate(row):
                yield before
                if index in wanted:
                    yield from _cell(raw, sign, is_quoted=is_quoted, place=f"row {line}")
                else:
                    yield raw
        line += 1


def _lines(text: str) -> Iterator[str]:
    return (match[0] for match in re.finditer(r"[^\n]*\n|[^\n]+\Z", text))


def _cell(raw: str, sign: str, *, is_quoted: bool, place: str) -> Iterator[Piece]:
    value = raw[1:-1].replace('""', '"') if is_quoted else raw
    inside = re.findall(r'""|.', raw[1:-1], re.DOTALL) if is_quoted else list(raw)
    tokens = [(token, token[:1]) for token in inside]
    message = message_pieces(tokens, partial(_doubled, is_quoted=is_quoted), place)
    if message is not None:
        yield from ('"', *message, '"') if is_quoted else message
    elif any(letter.isalpha() for letter in value):
        yield TextUnit(value, raw, partial(_quoted, sign=sign, always=is_quoted), place)
    else:
        yield raw


def _doubled(text: str, *, is_quoted: bool) -> str:
    return text.replace('"', '""') if is_quoted else text


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


def _rows(text: str, start: int, sign: str) -> Iterator[list[tuple[str, str, bool]]]:
    """Rows of cells (RFC 4180) from ``start``: the separator before the cell, its raw text, whether it is quoted."""
    at = start + text.startswith("\ufeff", start)
    row: list[tuple[str, str, bool]] = []
    before = text[start:at]
    while at < len(text) or before:
        is_quoted = text.startswith('"', at)
        end = _quote_end(text, at) if is_quoted else at
        begin = at
        at = end
        while at < len(text) and text[at] not in f"{sign}\r\n":
            at += 1
        # A cell with text after its closing quote counts as not quoted.
        row.append((before, text[begin:at], is_quoted and at == end))
        if at < len(text) and text[at] == sign:
            before = sign
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


def _quoted(text: str, *, sign: str, always: bool) -> str:
    if always or any(each in text for each in f'{sign}"\r\n') or text != text.strip():
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
        if key in keys and isinstance(value, str) and any(letter.isalpha() for letter in value):
            yield line[written:start]
            is_ascii = "\\u" in line
            spell = partial(_inside, is_ascii=is_ascii)
            message = message_pieces(string_tokens(line[start + 1 : at - 1]), spell, key)
            if message is not None:
                yield from ('"', *message, '"')
            else:
                yield TextUnit(value, line[start:at], partial(spelled_string, is_ascii=is_ascii), key)
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


def _inside(text: str, *, is_ascii: bool) -> str:
    return spelled_string(text, is_ascii=is_ascii)[1:-1]
