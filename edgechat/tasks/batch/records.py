"""Reads the records of a run from JSON, JSON lines, CSV, ``--field`` options or the units of a document.

The readers stream, so memory does not grow with the number of lines. A line that is not a record becomes a record with
a ``fault``, and the run goes on. Bytes that cannot be decoded end the run, because the text after them is uncertain.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from edgechat.errors import InvalidInputError, UsageError
from edgechat.tasks.batch.text_encoding import decoded, lines
from edgechat.tasks.runner import id_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from edgechat.tasks.batch.document import Piece, TextUnit
    from edgechat.tasks.contract import Schema

BOM = "\ufeff"
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

    def __iter__(self) -> Iterator[Record]:
        number, before = 0, ""
        for piece in self._pieces:
            if isinstance(piece, str):
                before += piece
            else:
                number += 1
                yield Record(number, number, {"text": piece.text, **self._fields}, unit=piece, before=before)
                before = ""
        self.tail = before


_JSON_HINT = "Correct the file, or name its format with --from: jsonl, csv, text."


def json_value(text: str, name: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Parse a JSON text; ``name`` names the input in an error.

    Raises:
        InvalidInputError: the text is not JSON.
    """
    try:
        return json.loads(text.removeprefix(BOM))
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
            yield Record(number, at, json.loads(line))
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            yield Record(number, at, line.rstrip("\n"), f"Line {at} is not JSON: {reason}; got {_shown(line)}.")


def csv_records(pieces: Iterable[bytes], encoding: str, name: str, *, schema: Schema) -> Iterator[Record]:
    """One record per row. The first row names the fields; cells are converted to the types in ``schema``.

    Raises:
        InvalidInputError: the file is not CSV, has no header, or the header repeats a name.
    """
    reader = csv.reader(lines(_without_bom(decoded(pieces, encoding, name)), name), strict=True)
    header: list[str] | None = None
    number = 0
    while True:
        began = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raise InvalidInputError(f"{name} is not CSV at line {reader.line_num}: {error}.") from error
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
            yield Record(number, began, ",".join(row), fault)
            continue
        yield Record(number, began, typed(dict(zip(header, row, strict=True)), schema))
    if header is None:
        raise InvalidInputError(f"{name} is empty.", hint="The first line of a CSV file names its columns.")


def typed(cells: Mapping[str, str], schema: Schema) -> dict[str, Any]:
    """Convert the texts of a table row or of ``--field`` to the types in the input schema.

    An empty cell of an optional field is left out. Otherwise it becomes null where null is allowed, as does ``null``.
    A cell that cannot be converted stays a string, so that the task's validation reports it.
    """
    values = {}
    for name, cell in cells.items():
        kinds = _kinds(schema.get("properties", {}).get(name, {}), schema)
        if cell == "" and name not in schema.get("required", ()):
            continue
        values[name] = _value(cell, kinds)
    return values


def given_fields(pairs: Iterable[str], schema: Schema) -> dict[str, Any]:
    """The values of ``--field NAME=VALUE``.

    Raises:
        UsageError: a pair does not have that form.
    """
    cells = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--field {pair} is not NAME=VALUE.", hint="For example: --field target=ja")
        cells[name.strip()] = value
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


def _value(cell: str, kinds: set[str]) -> Any:  # noqa: ANN401 - whatever the schema asks for
    text = cell.strip()
    if "null" in kinds and (text == "" or (text == "null" and "string" not in kinds)):
        return None
    if text in {"true", "false"} and "boolean" in kinds:
        return text == "true"
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
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
    return cell
