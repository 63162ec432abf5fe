"""Opens the input of a run: its format, its encoding, its records, or the units of a document."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from edgechat.encoding_detection import detect_encoding, marked_encoding
from edgechat.errors import InvalidInputError, UsageError
from edgechat.tasks.batch import records
from edgechat.tasks.batch.delimiter import COMMA, NAMES
from edgechat.tasks.batch.document import DocumentOptions, RewritesDocuments, TextUnit
from edgechat.tasks.batch.formats import JSON_STRINGS, MANY, input_form
from edgechat.tasks.batch.text_encoding import UTF8, chunks, decoded, find_encoding, require_encoding
from edgechat.tasks.contract import published_schema

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterable, Iterator

    from edgechat.tasks.batch.records import Record, UnitRecords
    from edgechat.tasks.batch.settings import Job
    from edgechat.tasks.contract import Task


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it was read."""

    text: str
    form: str
    options: DocumentOptions
    units: UnitRecords


@dataclass(frozen=True, slots=True)
class Input:
    """The records of a run."""

    records: Iterator[Record]
    count: int | None
    """Approximate number of records; None when unknown."""
    form: str
    many: bool = True
    document: Document | None = None
    delimiter: str = COMMA
    """The separator that a CSV file has; set for a file that is no pipe."""


class _Reader:
    """Opens one source for one task."""

    def __init__(
        self,
        job: Job,
        task: Task[Any, Any],
        stdin: BinaryIO,
        stack: contextlib.ExitStack,
        note: Callable[[str], None],
    ) -> None:
        self._job, self._task, self._stdin, self._stack, self._note = job, task, stdin, stack, note
        self._is_pipe = job.source == "-"
        self._name = "Standard input" if self._is_pipe else str(job.source)

    def open(self) -> Input:
        job, task = self._job, self._task
        if job.source is None:
            return Input(iter([records.Record(1, 1, {})]), 1, "json", many=False)
        given = None if job.encoding is None else require_encoding(job.encoding)
        if job.is_inline:
            return self._json(job.source, "INPUT")
        form = input_form(task, None if self._is_pipe else job.source, job.form)
        stream = self._stdin if self._is_pipe else self._stack.enter_context(_opened(Path(job.source)))
        is_table = form in {"csv", "jsonl"}
        if job.columns and not (is_table and isinstance(task, RewritesDocuments)):
            hint = "It names a column or key for `edgechat run translate` to rewrite in a CSV or JSON lines file."
            raise UsageError(f"--column does not go with task {task.name} and {form}.", hint=hint)
        if job.delimiter and form != "csv":
            raise UsageError(f"--delimiter does not go with {form}.", hint="It is the separator of a CSV file.")
        if isinstance(task, RewritesDocuments) and form in task.document_forms and _is_document(job, form, is_table):
            return self._document(task, stream.read(), form, given)
        if not self._is_pipe and Path(job.source).is_file():
            return self._file(Path(job.source), stream, form, given)
        first = next(chunks(stream), b"")
        encoding = given or self._found(detect_encoding(first) or UTF8)
        return self._records(_chain(first, chunks(stream)), form, encoding, None)

    def _file(self, path: Path, stream: BinaryIO, form: str, given: str | None) -> Input:
        encoding = given
        if encoding is None:
            encoding = self._found(find_encoding(stream) or UTF8)
            stream.seek(0)
        count = _checked(path, encoding, form)
        return self._records(chunks(stream), form, encoding, count)

    def _records(self, pieces: Iterable[bytes], form: str, encoding: str, count: int | None) -> Input:
        name = self._name
        if form == "json":
            data = b"".join(pieces)
            text = "".join(decoded([data], encoding, name))
            if (strings := self._strings(text, data, encoding)) is not None:
                return strings
            return self._json(text, name)
        if form == "jsonl":
            read = records.json_line_records
            if self._is_pipe and self._job.form is None:
                read = records.json_stream_records
            return Input(read(pieces, encoding, name), count, form)
        if form == "csv":
            signs: list[str] = []
            found = records.csv_records(
                pieces,
                encoding,
                name,
                schema=published_schema(self._task, "input"),
                delimiter=self._job.delimiter,
                on_delimiter=lambda sign: self._tell_delimiter(sign, signs),
            )
            first = next(found, None)
            start = [] if first is None else [first]
            return Input(_chain_records(start, found), count, form, delimiter=signs[0] if signs else COMMA)
        text = "".join(decoded(pieces, encoding, name)).removeprefix(records.BOM)
        return Input(iter([records.Record(1, 1, {"text": text})]), 1, "json", many=False)

    def _tell_delimiter(self, sign: str, signs: list[str]) -> None:
        signs.append(sign)
        if sign != COMMA and not self._job.delimiter:
            self._note(
                f"{self._name}: columns are separated by {NAMES.get(sign, sign)} and numbers may have a decimal comma "
                "(another separator: --delimiter)."
            )

    @staticmethod
    def _json(text: str, name: str) -> Input:
        value = records.json_value(text, name)
        if isinstance(value, list):
            return Input(records.value_records(value), len(value), "json")
        return Input(records.value_records([value]), 1, "json", many=False)

    def _strings(self, text: str, data: bytes, encoding: str) -> Input | None:
        """A JSON file of texts under keys as a document; None when it holds records.

        An object that has no key of the task's input cannot be a record, so it is taken as texts.
        """
        job, task = self._job, self._task
        if not isinstance(task, RewritesDocuments) or JSON_STRINGS not in task.document_forms:
            return None
        if job.form is not None or job.format is not None or self._is_pipe:
            return None
        if job.out is not None and job.out.suffix.lower() not in {".json", Path(self._name).suffix.lower()}:
            return None
        value = records.json_value(text, self._name)
        if not isinstance(value, dict) or not value or {"id", *task.input_model.model_fields} & set(value):
            return None
        self._note(f"{self._name} is read as texts under keys; the keys stay (records instead: --from json).")
        return self._document(task, data, JSON_STRINGS, encoding)

    def _document(self, task: RewritesDocuments, data: bytes, form: str, given: str | None) -> Input:
        job, name = self._job, self._name
        encoding = _exact(given or self._document_encoding(task, data, form), data)
        text = "".join(decoded([data], encoding, name))
        if text.encode(encoding) != data:
            raise InvalidInputError(
                f"{name} cannot be written back byte for byte in {encoding}: it encodes one character in two ways.",
                hint="Convert it to UTF-8 first, for example: iconv -f cp932 -t utf-8 FILE",
            )
        options = DocumentOptions(job.columns, job.delimiter, encoding)
        pieces = list(task.document(text, form, options))
        texts = [piece.text for piece in pieces if isinstance(piece, TextUnit)]
        if not texts:
            self._note(_nothing_to_do(name, form))
        fields = {**job.fields, **(task.document_fields(texts, job.fields) if texts else {})}
        units = records.UnitRecords(pieces, fields)
        return Input(iter(units), len(texts), form, document=Document(text, form, options, units))

    def _document_encoding(self, task: RewritesDocuments, data: bytes, form: str) -> str:
        """The encoding by byte-order mark, by the document's own declaration, or by its content."""
        declared = None if marked_encoding(data) else task.declared_encoding(data, form)
        if declared is not None:
            try:
                encoding = require_encoding(declared)
                data.decode(encoding)
                return encoding
            except (UsageError, UnicodeDecodeError) as error:
                found = find_encoding(io.BytesIO(data))
                if found is None:
                    raise InvalidInputError(
                        f"{self._name} declares the encoding {declared}, and is not in it.",
                        hint="Name its encoding with --encoding NAME.",
                    ) from error
                self._note(f"{self._name} declares the encoding {declared}, and is in {found}.")
                return found
        return self._found(find_encoding(io.BytesIO(data)) or UTF8)

    def _found(self, encoding: str) -> str:
        if encoding != UTF8:
            self._note(f"{self._name} is read as {encoding} (another encoding: --encoding).")
        return encoding


def open_input(
    job: Job, task: Task[Any, Any], stdin: BinaryIO, stack: contextlib.ExitStack, note: Callable[[str], None]
) -> Input:
    """The records of a job.

    ``note`` receives a sentence for the user, such as the encoding that was recognised.

    Raises:
        InvalidInputError: the input does not exist, or has not the form or the encoding that it should have.
        UsageError: the task does not read it.
    """
    return _Reader(job, task, stdin, stack, note).open()


def _nothing_to_do(name: str, form: str) -> str:
    if form in {"po", "xliff"}:
        return f"{name} has nothing to do: every text has a translation (empty ones, and new copies, are filled)."
    return f"{name} has nothing to do: no text was found in it."


def _is_document(job: Job, form: str, is_table: bool) -> bool:
    """True when the input is written back in its own format; False when its output is a list of results."""
    if is_table:
        wanted = job.format or ("csv" if job.out and job.out.suffix.lower() == ".csv" else None)
        return bool(job.columns) or (form == "csv" and wanted == "csv")
    return form != "text" or job.format in {None, "text"}


def _exact(encoding: str, data: bytes) -> str:
    """The encoding with this file's byte order, so that decoding keeps its byte-order mark as a character."""
    for mark, order in ((b"\xff\xfe\x00\x00", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if encoding == order and data.startswith(mark):
            return f"{order}-{'le' if mark[0] == 0xFF else 'be'}"
    return UTF8 if encoding == "utf-8-sig" else encoding


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise InvalidInputError(
            f"There is no file {path}.", hint="Name a file, - for standard input, or give --field NAME=VALUE."
        ) from error
    except OSError as error:
        raise InvalidInputError(f"Cannot read {path}: {error.strerror}.") from error


def _checked(path: Path, encoding: str, form: str) -> int | None:
    """Decode a file before the run, so that a bad byte at its end is found now and not after hours.

    Returns its approximate number of records, or None for a single record.
    """
    if form not in MANY:
        return None
    with _opened(path) as stream:
        count, last = 0, "\n"
        for text in decoded(chunks(stream), encoding, str(path)):
            count += text.count("\n")
            last = text[-1]
    return max(count + (last != "\n") - (form == "csv"), 0)


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _chain_records(start: list[Record], rest: Iterator[Record]) -> Iterator[Record]:
    yield from start
    yield from rest
