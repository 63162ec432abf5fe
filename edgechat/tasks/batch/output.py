"""Writes results as JSON, JSON lines, CSV, a format that the task renders, or a document with rewritten units.

Writers get the results in order and keep none in memory.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
from typing import TYPE_CHECKING, Any, Protocol

from edgechat.errors import StateError
from edgechat.files import sync_directory
from edgechat.ownership import open_own

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO, TextIO

    from edgechat.tasks.batch.document import RewritesDocuments
    from edgechat.tasks.batch.records import Record, UnitRecords
    from edgechat.tasks.contract import Task
    from edgechat.tasks.result import TaskResult

_BEFORE = ("id", "task", "task_version", "status")
_AFTER = ("errors", "model", "quant", "model_sha256", "edgechat_version", "seed", "input_sha256", "created_at")

_SURROGATE = re.compile("[\ud800-\udfff]")
_PART = ".part"


@contextlib.contextmanager
def sink(out: Path | None, stdout: BinaryIO, encoding: str) -> Iterator[TextIO]:
    """The stream for results: standard output, left open, or a temporary file that is renamed when it is complete.

    Raises:
        StateError: the file cannot be written; the temporary file is removed.
    """
    # UTF-8 cannot encode a lone surrogate, which JSON input may contain as an id.
    errors = "backslashreplace" if encoding == "utf-8" else "strict"
    if out is None:
        stream = io.TextIOWrapper(stdout, encoding=encoding, errors=errors, newline="", write_through=True)
        try:
            yield stream
            stream.flush()
        finally:
            with contextlib.suppress(OSError, ValueError):
                stream.detach()
        return
    part = out.with_name(out.name + _PART)
    try:
        with os.fdopen(
            open_own(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode=0o666),
            "w",
            encoding=encoding,
            errors=errors,
            newline="",
        ) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(out)
        sync_directory(out.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink()
        if isinstance(error, OSError):
            raise StateError(
                f"Cannot write {out}: {error.strerror or error}.", hint="Free some space there, or name another --out."
            ) from error
        raise


class Writer(Protocol):
    """Writes one result after another."""

    def write(self, record: Record, done: TaskResult) -> None:
        """Write one result."""

    def finish(self) -> None:
        """Write what follows the last result."""


class JsonLines:
    """One JSON object per line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, _record: Record, done: TaskResult) -> None:
        """Write one line."""
        self._stream.write(json_text(done.to_json()) + "\n")
        self._stream.flush()

    def finish(self) -> None:
        """Write nothing."""


class Json:
    """One indented object, or a list of them when there may be many."""

    def __init__(self, stream: TextIO, task: Task[Any, Any], *, many: bool) -> None:
        self._stream, self._task, self._many = stream, task, many
        self._count = 0

    def write(self, _record: Record, done: TaskResult) -> None:
        """Write the object, or the next element of the list."""
        body = _encodable(self._task.render(done, "json"))
        if self._many:
            self._stream.write(("[\n" if not self._count else ",\n") + body.rstrip("\n"))
        else:
            self._stream.write(body)
        self._count += 1

    def finish(self) -> None:
        """Close the list."""
        if self._many:
            self._stream.write("\n]\n" if self._count else "[]\n")


class Csv:
    """One row per record, one column per field of the result; lists and objects are written as JSON."""

    def __init__(self, stream: TextIO, task: Task[Any, Any]) -> None:
        self._rows = csv.writer(stream, lineterminator="\n")
        # A result field with the name of a fixed column gets a prefix.
        taken = {*_BEFORE, *_AFTER}
        self._fields = {name: f"result.{name}" if name in taken else name for name in task.output_model.model_fields}
        self._rows.writerow([*_BEFORE, *self._fields.values(), *_AFTER])

    def write(self, _record: Record, done: TaskResult) -> None:
        """Write one row."""
        record = done.to_json()
        result = record["result"] or {}
        self._rows.writerow(
            [
                *(_cell(record[name]) for name in _BEFORE),
                *(_cell(result.get(name)) for name in self._fields),
                *(_cell(record[name]) for name in _AFTER),
            ]
        )

    def finish(self) -> None:
        """Write nothing."""


class Rendered:
    """Records in a format that the task renders."""

    def __init__(self, stream: TextIO, task: Task[Any, Any], fmt: str) -> None:
        self._stream, self._task, self._format = stream, task, fmt
        self._is_first = True

    def write(self, _record: Record, done: TaskResult) -> None:
        """Write the next record, after an empty line."""
        self._stream.write(("" if self._is_first else "\n") + self._task.render(done, self._format))
        self._stream.flush()
        self._is_first = False

    def finish(self) -> None:
        """Write nothing."""


class RewrittenDocument:
    """A document with its units rewritten."""

    def __init__(self, stream: TextIO, task: RewritesDocuments, units: UnitRecords) -> None:
        self._stream, self._task, self._units = stream, task, units
        self.flags: dict[str, int] = {}
        """How often each flag was raised."""
        self.unwritable = 0
        """Number of units left unchanged because the file's encoding cannot spell their new text."""

    def write(self, record: Record, done: TaskResult) -> None:
        """Write the next unit; it stays unchanged when its record is not ``ok``."""
        assert record.unit is not None  # noqa: S101 - the records of a document have units
        new = self._task.replacement(done.result) if done.result is not None and done.status == "ok" else None
        text = record.unit.rewritten(new)
        try:
            text.encode(self._stream.encoding or "utf-8")
        except UnicodeEncodeError:
            self.unwritable += 1
            text = record.unit.raw
        self._stream.write(record.before + text)
        for flag in (done.result or {}).get("flags", ()):
            self.flags[str(flag)] = self.flags.get(str(flag), 0) + 1

    def finish(self) -> None:
        """Write what follows the last unit."""
        self._stream.write(self._units.tail)


def json_text(value: object) -> str:
    """``value`` as one line of JSON that UTF-8 can encode."""
    return _encodable(json.dumps(value, ensure_ascii=False))


def _cell(value: Any) -> Any:  # noqa: ANN401 - whatever a result holds
    if value is None:
        return ""
    return value if isinstance(value, (str, int, float)) and not isinstance(value, bool) else _json(value)


def _encodable(text: str) -> str:
    """JSON text with lone surrogates escaped, which UTF-8 cannot encode."""
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _json(value: Any) -> str:  # noqa: ANN401
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
