"""Reads the records of a run from JSON, JSON lines, CSV, ``--field`` options or the units of a document.

The readers stream, so memory does not grow with the number of lines. A line that is not a record becomes a record with
a ``fault``, and the run goes on. Bytes that cannot be decoded end the run, because the text after them is uncertain.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from edgechat.errors import InvalidInputError, UsageError
from edgechat.tasks.batch.delimiter import COMMA, declared_delimiter, detect_delimiter, possible_delimiters
from edgechat.tasks.batch.document import KeptText, TextUnit
from edgechat.tasks.batch.text_encoding import decoded, lines
from edgechat.tasks.json_input import DuplicateKeyError, parse_json
from edgechat.tasks.runner import id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from edgechat.tasks.batch.document import Piece
    from edgechat.tasks.contract import Schema

BOM = "\ufeff"
_DECIMAL_COMMA = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+(?:[eE][+-]?\d+)?\Z")
_SHOWN = 80
"""Characters of a faulty line that its error message quotes."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record as read from the input."""

    number: int
    """Position in the input, from 1."""
    line: int
    """Line number; the id of a record that has none."""
    raw: object
    fault: str = ""
    """Why this is not a record; ``raw`` is then the text that was found."""
    unit: TextUnit | None = None
    """The unit of the document that the record stands for."""
    before: str = ""
    """The document's text between the previous unit and this one."""
    unit_line: int = 0
    """The line of the document in which the unit begins, from 1."""

    @property
    def id(self) -> str | int:
        """The id for the record's result: its own, else its line number."""
        return id_of(self.raw.get("id"), self.line) if isinstance(self.raw, dict) else self.line


class UnitRecords:
    """The units of a document as records; each holds the text before its unit, :attr:`tail` the text after the last.

    Args:
        pieces: the document.
        fields: the fields of each record besides ``text``.
    """

    def __init__(self, pieces: Iterable[Piece], fields: Mapping[str, Any]) -> None:
        self._pieces, self._fields = pieces, fields
        self.tail = ""
        """The text after the last unit; set when the iteration has ended."""
        self.kept: list[tuple[int, KeptText]] = []
        """The texts that stay, each with its line; complete when the iteration has ended."""

    def __iter__(self) -> Iterator[Record]:
        number, before, line = 0, "", 1
        self.kept.clear()
        for piece in self._pieces:
            raw = piece if isinstance(piece, str) else piece.raw
            if isinstance(piece, TextUnit):
                number += 1
                record = {"text": piece.text, **self._fields}
                yield Record(number, number, record, unit=piece, before=before, unit_line=line)
                before = ""
            else:
                before += raw
                if isinstance(piece, KeptText):
                    self.kept.append((line, piece))
            line += raw.count("\n")
        self.tail = before


_JSON_HINT = "Correct the file, or name its format with --from: jsonl, csv, text."


def json_value(text: str, name: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Parse a JSON text; ``name`` names the input in an error.

    Raises:
        InvalidInputError: the text is not JSON.
    """
    try:
        return parse_json(text.removeprefix(BOM))
    except DuplicateKeyError as error:
        raise InvalidInputError(f"{name} cannot be used: {error}.", hint="Remove one of the two.") from error
    except json.JSONDecodeError as error:
        raise InvalidInputError(f"{name} is not JSON: {error.msg} (line {error.lineno}).", hint=_JSON_HINT) from error
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{name} is not JSON: {error}.", hint=_JSON_HINT) from error


def value_records(values: Iterable[object]) -> Iterator[Record]:
    """Parsed values as records; numbers and ids count from 1."""
    return (Record(number, number, value) for number, value in enumerate(values, 1))


def json_stream_records(pieces: Iterable[bytes], encoding: str, name: str) -> Iterator[Record]:
    """Records from a pipe: JSON lines, or one JSON value over several lines. The first line decides which."""
    stream = lines(_without_bom(decoded(pieces, encoding, name)), name)
    first = next(stream, "")
    try:
        json.loads(first)
        is_lines = True
    except (ValueError, RecursionError):
        is_lines = first.lstrip()[:1] not in {"{", "["}
    if is_lines:
        return _line_records(chain([first] if first else [], stream))
    value = json_value(first + "".join(stream), name)
    return value_records(value if isinstance(value, list) else [value])


def json_line_records(pieces: Iterable[bytes], encoding: str, name: str) -> Iterator[Record]:
    """One record per line; empty lines are skipped but counted in line numbers."""
    return _line_records(lines(_without_bom(decoded(pieces, encoding, name)), name))


def _line_records(texts: Iterable[str]) -> Iterator[Record]:
    number = 0
    for at, line in enumerate(texts, 1):
        if not line.strip():
            continue
        number += 1
        try:
            yield Record(number, at, parse_json(line))
        except DuplicateKeyError as error:
            yield Record(number, at, line.rstrip("\n"), f"Line {at} cannot be used: {error}; remove one of the two.")
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            yield Record(number, at, line.rstrip("\n"), f"Line {at} is not JSON: {reason}; got {_shown(line)}.")


def csv_records(
    pieces: Iterable[bytes],
    encoding: str,
    name: str,
    *,
    schema: Schema,
    delimiter: str = "",
    on_delimiter: Callable[[str], None] = lambda _sign: None,
) -> Iterator[Record]:
    """One record per row. The first row names the fields; cells are converted to the types in ``schema``.

    Args:
        pieces: the bytes in order.
        encoding: the encoding of the file.
        name: names the file in an error.
        schema: the input schema.
        delimiter: the separator of the cells; empty recognises it from the first lines.
        on_delimiter: receives the separator.

    Raises:
        InvalidInputError: the file is not CSV, has no header, or the header repeats a name.
    """
    texts = lines(_without_bom(decoded(pieces, encoding, name)), name)
    head, sign, skipped = _table_start(texts, delimiter)
    on_delimiter(sign)
    reader = csv.reader(chain(head, texts), strict=True, delimiter=sign)
    header: list[str] | None = None
    number = 0
    while True:
        began = reader.line_num + 1 + skipped
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raise InvalidInputError(f"{name} is not CSV at line {reader.line_num + skipped}: {error}.") from error
        if not row:
            continue
        if header is None:
            header = [cell.strip() for cell in row]
            if len(set(header)) != len(header) or not all(header):
                raise InvalidInputError(f"The first line of {name} must name each column once; got {row}.")
            continue
        number += 1
        if len(row) != len(header):
            fault = f"Line {began} has {len(row)} cells, the header has {len(header)}."
            yield Record(number, began, sign.join(row), fault)
            continue
        cells = dict(zip(header, row, strict=True))
        yield Record(number, began, typed(cells, schema, decimal_comma=sign != COMMA))
    if header is None:
        raise InvalidInputError(f"{name} is empty.", hint="The first line of a CSV file names its columns.")


def _table_start(texts: Iterator[str], delimiter: str) -> tuple[list[str], str, int]:
    """The lines read to find the separator, the separator, and the number of lines that are not rows.

    A line after the header is read only where the header leaves it open, because a pipe may be slow.
    """
    head = list(islice(texts, 1))
    declared = declared_delimiter(head[0]) if head else None
    if declared is not None:
        return list(islice(texts, 1)), delimiter or declared, 1
    if not delimiter and head and len(possible_delimiters(head[0])) > 1:
        head += islice(texts, 5)
    return head, delimiter or detect_delimiter(head), 0


def typed(cells: Mapping[str, str], schema: Schema, *, decimal_comma: bool = False) -> dict[str, Any]:
    """Convert the texts of a table row or of ``--field`` to the types in the input schema.

    An empty cell of an optional field is left out. Otherwise it becomes null where null is allowed, as does ``null``.
    A cell that cannot be converted stays a string, so that the task's validation reports it. With ``decimal_comma`` a
    number may be written 1.234,5.
    """
    values = {}
    for name, cell in cells.items():
        kinds = _kinds(schema.get("properties", {}).get(name, {}), schema)
        if cell == "" and name not in schema.get("required", ()):
            continue
        values[name] = _value(cell, kinds, decimal_comma=decimal_comma)
    return values


def given_fields(pairs: Iterable[str], schema: Schema) -> dict[str, Any]:
    """The values of ``--field NAME=VALUE``.

    Raises:
        UsageError: a pair does not have that form, or the task has no such field.
    """
    known = schema.get("properties", {})
    is_closed = schema.get("additionalProperties") is False
    cells = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--field {pair} is not NAME=VALUE.", hint="For example: --field target=ja")
        name = name.strip()
        if is_closed and name not in known and name != "id":
            near = get_close_matches(name, known, n=1)
            raise UsageError(
                f"There is no field {name!r}{f'; did you mean {near[0]}?' if near else '.'}",
                hint=f"The fields: {', '.join(known)}.",
            )
        cells[name] = value
    return typed(cells, schema)


def with_fields(records: Iterable[Record], fields: Mapping[str, Any]) -> Iterator[Record]:
    """The records with ``fields`` in place of their own fields of the same name."""
    for record in records:
        if fields and isinstance(record.raw, dict) and not record.fault:
            yield replace(record, raw={**record.raw, **fields})
        else:
            yield record


def _without_bom(texts: Iterable[str]) -> Iterator[str]:
    is_first = True
    for text in texts:
        yield text.removeprefix(BOM) if is_first else text
        is_first = False


def _shown(line: str) -> str:
    line = line.strip()
    return repr(line if len(line) <= _SHOWN else line[:_SHOWN] + "…")


def _kinds(field: Schema, schema: Schema) -> set[str]:
    """The JSON types that the schema of a field allows."""
    if "$ref" in field:
        field = schema.get("$defs", {}).get(str(field["$ref"]).rpartition("/")[2], {})
    kinds: set[str] = set()
    for option in field.get("anyOf", ()):
        kinds |= _kinds(option, schema)
    kind = field.get("type")
    return kinds | (set(kind) if isinstance(kind, list) else {kind} if kind else set())


def _value(cell: str, kinds: set[str], *, decimal_comma: bool = False) -> Any:  # noqa: ANN401 - whatever the schema asks for
    text = cell.strip()
    if "null" in kinds and (text == "" or (text == "null" and "string" not in kinds)):
        return None
    if text in {"true", "false"} and "boolean" in kinds:
        return text == "true"
    if decimal_comma and kinds & {"integer", "number"} and _DECIMAL_COMMA.match(text):
        text = text.replace(".", "").replace(",", ".")
    if kinds & {"integer", "number"}:
        try:
            return int(text)
        except ValueError:
            pass
    if "number" in kinds:
        try:
            return float(text)
        except ValueError:
            pass
    if text[:1] in {"[", "{"} and kinds & {"array", "object"}:
        try:
            return parse_json(text)
        except (ValueError, RecursionError):
            pass
    return cell
