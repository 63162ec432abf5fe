"""Where the records of a run come from: JSON, JSON lines, CSV, fields given by hand.

Streams: a million lines take no more memory than ten. A line that is no record is handed on as such and costs only
itself; bytes that are no text end the run, because everything behind them would be a guess.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from edgechat.errors import InvalidInputError, UsageError
from edgechat.tasks.batch.text_encoding import decoded, lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from edgechat.tasks.batch.document import Unit
    from edgechat.tasks.contract import Schema, Task

BOM = "\ufeff"
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was read."""

    number: int
    """Its place in the input, from 1."""
    id: str | int
    """Used where the record has none of its own: its line number."""
    raw: object
    fault: str = ""
    """Why this is no record; then ``raw`` is the text that was found."""
    unit: Unit | None = None
    """The place in a document that the record was cut from."""
    before: str = ""
    """The document's text between the unit before and this one."""


_JSON_HINT = "Mend it there, or say what it is with --from: jsonl, csv, text."


def json_value(text: str, name: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """The value of a JSON text.

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
    """Values that were read at once, as records."""
    return (Record(number, number, value) for number, value in enumerate(values, 1))


def json_stream_records(pieces: Iterable[bytes], encoding: str, name: str) -> Iterator[Record]:
    """Lines of JSON from a pipe, or one value over several lines: what the first line says decides."""
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
    """One record a line; empty lines count as lines and are no records."""
    return _line_records(lines(_without_bom(decoded(pieces, encoding, name)), name))


def _line_records(found: Iterable[str]) -> Iterator[Record]:
    number = 0
    for at, line in enumerate(found, 1):
        if not line.strip():
            continue
        number += 1
        try:
            yield Record(number, at, json.loads(line))
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            yield Record(number, at, line.rstrip("\n"), f"Line {at} is not JSON: {reason}; got {_shown(line)}.")


def csv_records(pieces: Iterable[bytes], encoding: str, name: str, *, schema: Schema) -> Iterator[Record]:
    """One record a row; the first row names the fields, and cells are read by the types in ``schema``.

    Raises:
        InvalidInputError: there is no header, or it names a field twice.
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
    """Text as it stands in a table or after ``--field``, turned into what the input schema asks for.

    An empty cell of a field that is no text is null where null is allowed, as ``null`` is, else it counts as left out.
    What does not convert stays text, so that the task itself says what is wrong with it.
    """
    found = {}
    for name, cell in cells.items():
        kinds = _kinds(schema.get("properties", {}).get(name, {}), schema)
        if cell == "" and name not in schema.get("required", ()):
            continue
        found[name] = _value(cell, kinds)
    return found


def given_fields(pairs: Iterable[str], schema: Schema) -> dict[str, Any]:
    """The values of ``--field NAME=VALUE``.

    Raises:
        UsageError: not of that form.
    """
    cells = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--field {pair} is not NAME=VALUE.", hint="For example: --field target=ja")
        cells[name.strip()] = value
    return typed(cells, schema)


def with_fields(records: Iterable[Record], fields: Mapping[str, Any]) -> Iterator[Record]:
    """The records with the given fields over their own."""
    for record in records:
        if fields and isinstance(record.raw, dict) and not record.fault:
            yield replace(record, raw={**record.raw, **fields})
        else:
            yield record


def payload(record: Record, task: Task[Any, Any]) -> object:
    """What of the record the task sees: all but the id, unless the task has one itself."""
    if isinstance(record.raw, dict) and "id" not in task.input_model.model_fields:
        return {name: value for name, value in record.raw.items() if name != "id"}
    return record.raw


def own_id(record: Record) -> str | int:
    """The id that the record's result carries."""
    own = record.raw.get("id") if isinstance(record.raw, dict) else None
    return own if isinstance(own, (str, int)) and not isinstance(own, bool) else record.id


def _without_bom(texts: Iterable[str]) -> Iterator[str]:
    is_first = True
    for text in texts:
        yield text.removeprefix(BOM) if is_first else text
        is_first = False


def _shown(line: str) -> str:
    line = line.strip()
    return repr(line if len(line) <= _SHOWN else line[:_SHOWN] + "…")


def _kinds(field: Schema, schema: Schema) -> set[str]:
    """The JSON types that a field's schema allows."""
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
