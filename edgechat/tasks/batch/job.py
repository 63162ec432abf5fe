"""One ``edgechat run`` from input to output: joins formats, journal, answer cache, batch run and writer.

This module reads and writes files and streams; it uses no command line and no terminal.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, cast

from edgechat.errors import InvalidInputError, NoModelError, UsageError
from edgechat.files import replaceable
from edgechat.tasks.batch import output, records
from edgechat.tasks.batch.answer_cache import AnswerCache
from edgechat.tasks.batch.batch_run import BatchRun, Tally
from edgechat.tasks.batch.document import RewritesDocuments
from edgechat.tasks.batch.formats import MANY, input_form, output_format
from edgechat.tasks.batch.journal import SUFFIX, BatchJournal
from edgechat.tasks.batch.text_encoding import chunks, decoded, require_encoding
from edgechat.tasks.contract import Context, published_schema
from edgechat.tasks.generator import EngineGenerator

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping

    from edgechat.engine.protocol.request import Wish
    from edgechat.paths import Paths
    from edgechat.tasks.batch.records import Record, UnitRecords
    from edgechat.tasks.contract import Generator, Task
    from edgechat.tasks.generator import ModelIdentity
    from edgechat.tasks.language import Language
    from edgechat.tasks.result import TaskResult

MAX_FAULTS = 10
_FORMATS_WITH_ERRORS = frozenset(("json", "jsonl", "csv"))
"""Output formats whose records carry their ``errors``."""


@dataclass(frozen=True, slots=True)
class Job:
    """The input, output and settings of one run.

    Raises:
        UsageError: ``out`` exists and is not a regular file.
    """

    source: str | None
    """A file, ``-`` for standard input, one JSON object as text, or None: ``fields`` are then the only record."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields that replace those of every record."""
    out: Path | None = None
    """The output file, with symbolic links resolved; None writes to standard output, which cannot be resumed."""
    form: str | None = None
    """The format of the input; None derives it from the file's name."""
    format: str | None = None
    """The format of the output; None derives it from the file's name, then from the input."""
    encoding: str = "utf-8"
    """The encoding of the input, and of a document that is written back."""
    columns: tuple[str, ...] = ()
    """The columns or keys of a table to rewrite; a CSV or JSON lines file is then a document."""
    resume: bool = False
    parallel: int = 1
    timeout_s: float | None = None
    """Seconds for each record."""
    began_s: float | None = None
    """Start of the command (monotonic clock); the timeout of a single record counts from here."""
    seed: int | None = None
    language: Language = "en"
    keeps_answers: bool = True
    earlier: tuple[Mapping[str, Any], ...] = ()
    """Results of earlier runs, oldest first, with which the task compares those of this run."""

    def __post_init__(self) -> None:
        if self.out is not None:
            object.__setattr__(self, "out", replaceable(self.out))


@dataclass(slots=True)
class JobReport:
    """The counts and errors of a finished job."""

    tally: Tally
    flags: Mapping[str, int] = field(default_factory=dict)
    """For a document: how often each flag was raised."""
    unwritable: int = 0
    """For a document: units whose new text the file's encoding cannot spell."""
    faults: list[str] = field(default_factory=list)
    """The first :data:`MAX_FAULTS` records that are not ok, with the reason, when the output does not hold errors."""


@dataclass(frozen=True, slots=True)
class _Input:
    records: Iterator[Record]
    count: int | None
    """Approximate number of records; None when unknown."""
    form: str
    many: bool = True
    is_document: bool = False
    units: UnitRecords | None = None
    encoding: str = "utf-8"


@dataclass(frozen=True, slots=True)
class JobCallbacks:
    """Functions that a job calls to report its progress."""

    note: Callable[[str], None] = lambda _text: None
    """Receives a sentence for the user."""
    begin: Callable[[int | None, int], None] = lambda _total, _done: None
    """Receives the approximate number of records (None: unknown) and the number already finished."""
    advance: Callable[[Tally], None] = lambda _tally: None
    """Called after each finished record."""
    model: Callable[[ModelIdentity], None] = lambda _identity: None
    """Receives the model that will answer."""


def run_job(
    job: Job,
    task: Task[Any, Any],
    paths: Paths,
    wish: Wish,
    *,
    stdin: BinaryIO,
    stdout: BinaryIO,
    callbacks: JobCallbacks | None = None,
    generator: Callable[[], Generator] | None = None,
    stop: threading.Event | None = None,
) -> JobReport:
    """Run a job.

    Args:
        job: the input, output and settings.
        task: the task.
        paths: the user's directories, which select the engine and the caches.
        wish: the model to answer with.
        stdin: read when the job's source is ``-``.
        stdout: written when there is no output file; left open.
        callbacks: called with the progress.
        generator: makes a generator that replaces the engine, once per thread.
        stop: set by another thread to end the run with a ``StoppedError``; the journal keeps the finished records.

    Raises:
        EdgechatError: the run ended early; the journal keeps the finished records.
    """
    callbacks = callbacks or JobCallbacks()
    with contextlib.ExitStack() as stack:
        source = _input(job, task, stdin, stack)
        fmt = output_format(
            task, source.form, option=job.format, out=str(job.out) if job.out else None, is_document=source.is_document
        )
        if fmt == "html" and source.many:
            raise UsageError(
                "An HTML page holds one record.", hint="Run one record, or write --format jsonl, csv or md."
            )
        if job.resume and job.out is None:
            raise UsageError("--resume needs --out: the journal is beside the output file.")
        journal = _journal(job, task, source, wish)
        if journal is not None:
            stack.enter_context(journal)
            _note_resume(journal, job, callbacks)
        identity, missing = _identity(paths, wish, callbacks) if generator is None else (None, None)
        answers = stack.enter_context(AnswerCache(paths.cache)) if job.keeps_answers else None

        def connect() -> Generator | None:
            if generator is not None:
                return generator()
            if identity is None:
                return None
            return EngineGenerator(paths, wish, known=identity, on_note=callbacks.note, is_batch=source.many)

        batch = BatchRun(
            task,
            connect,
            context=Context(
                language=job.language,
                vision=identity is not None and identity.vision,
                prompts=identity.prompts if identity else {},
                parameters=identity.parameters if identity else None,
            ),
            seed=job.seed,
            timeout_s=_timeout_s(job, source),
            parallel=job.parallel,
            journal=journal,
            answers=answers,
            model_sha256=identity.sha256 if identity else None,
            variant=_variant(job, identity),
            no_model=missing,
            stop=stop,
        )
        callbacks.begin(source.count, journal.count if journal else 0)
        report = JobReport(batch.tally)
        encoding = source.encoding if source.is_document and fmt == source.form else "utf-8"
        with output.sink(job.out, stdout, encoding) as stream:
            writer = _writer(stream, task, source, fmt)
            fields = {} if source.is_document else job.fields  # the units of a document have them already
            related = task.history(job.earlier)
            for record, found in batch.run(records.with_fields(source.records, fields)):
                done = related(found)
                writer.write(record, done)
                if done.status != "ok" and fmt not in _FORMATS_WITH_ERRORS and len(report.faults) < MAX_FAULTS:
                    report.faults.append(_fault(done))
                callbacks.advance(batch.tally)
            if not batch.tally.total and not source.is_document:
                name = "Standard input" if job.source == "-" else job.source
                raise InvalidInputError(f"{name} holds no record.", hint=f"See: edgechat tasks show {task.name}")
            writer.finish()
        if isinstance(writer, output.RewrittenDocument):
            report.flags, report.unwritable = writer.flags, writer.unwritable
        if journal is not None:
            journal.discard()
        return report


def _variant(job: Job, identity: ModelIdentity | None) -> str:
    """What an answer depends on besides model, task and record: the model's prompts, and parallel decoding.

    Records that are decoded together round differently. ``--parallel 1`` repeats exactly, so it must not get their
    answers from the cache.
    """
    prompts = repr(sorted(identity.prompts.items())) if identity else ""
    return f"{prompts} together" if job.parallel > 1 else prompts


def _fault(done: TaskResult) -> str:
    reasons = (f"{each.path}: {each.message}" if each.path else each.message for each in done.errors)
    return f"Record {done.id}: {'; '.join(reasons) or done.status}"


def _timeout_s(job: Job, source: _Input) -> float | None:
    """Seconds for each record; for a single record, less the time since the start of the command."""
    if job.timeout_s is None or job.began_s is None or source.many:
        return job.timeout_s
    return max(job.timeout_s - (time.monotonic() - job.began_s), 0.0)


def _identity(paths: Paths, wish: Wish, callbacks: JobCallbacks) -> tuple[ModelIdentity | None, NoModelError | None]:
    """The model that will answer, or the error when no model is installed."""
    probe = EngineGenerator(paths, wish, on_note=callbacks.note)
    try:
        identity = probe.identify()
    except NoModelError as error:
        if type(error) is not NoModelError:
            raise  # a named or pinned model is missing
        # No model is installed. The rules may suffice; the batch run stops where they do not.
        return None, error
    finally:
        probe.close()
    callbacks.model(identity)
    return identity, None


def _note_resume(journal: BatchJournal, job: Job, callbacks: JobCallbacks) -> None:
    if not job.resume:
        return
    if journal.count:
        callbacks.note(
            f"Resuming: {journal.count} records are done and will not be asked again. Records not yet on disk when "
            f"the run stopped are asked again, among them at most {job.parallel} that were being answered."
        )
    else:
        callbacks.note("There is no journal to resume: starting from the first record.")
    if journal.dropped_bytes:
        callbacks.note(f"The last {journal.dropped_bytes} bytes of the journal were damaged and have been removed.")


def _journal(job: Job, task: Task[Any, Any], source: _Input, wish: Wish) -> BatchJournal | None:
    if job.out is None or not source.many:
        return None
    header = {
        "task": task.name,
        "task_version": task.version,
        "model": wish.model,
        "n_ctx": wish.n_ctx,
        "fields": dict(job.fields),
        "form": source.form,
        "columns": list(job.columns),
        "language": job.language,
        "seed": job.seed,
    }
    path = job.out.with_name(job.out.name + SUFFIX)
    return BatchJournal(path, header, resume=job.resume)


def _input(job: Job, task: Task[Any, Any], stdin: BinaryIO, stack: contextlib.ExitStack) -> _Input:
    encoding = require_encoding(job.encoding)
    if job.source is None:
        return _Input(iter([records.Record(1, 1, {})]), 1, "json", many=False)
    if job.source.lstrip().startswith("{"):
        return _json(job.source, "INPUT")
    is_pipe = job.source == "-"
    name = "Standard input" if is_pipe else job.source
    form = input_form(task, None if is_pipe else job.source, job.form)
    stream = stdin if is_pipe else stack.enter_context(_opened(Path(job.source)))
    count = None if is_pipe else _checked(Path(job.source), encoding, form)
    is_table = form in {"csv", "jsonl"}
    if job.columns and not (is_table and isinstance(task, RewritesDocuments)):
        hint = "It names a column or key for `edgechat run translate` to rewrite in a CSV or JSON lines file."
        raise UsageError(f"--column does not go with task {task.name} and {form}.", hint=hint)
    if isinstance(task, RewritesDocuments) and form in task.document_forms and _is_document(job, form, is_table):
        return _document(stream.read(), task, job, name=name, form=form, encoding=encoding)
    if form == "json":
        return _json("".join(decoded(chunks(stream), encoding, name)), name)
    if form == "jsonl":
        read = records.json_stream_records if is_pipe and job.form is None else records.json_line_records
        return _Input(read(chunks(stream), encoding, name), count, form)
    if form == "csv":
        schema = published_schema(task, "input")
        return _Input(records.csv_records(chunks(stream), encoding, name, schema=schema), count, form)
    text = "".join(decoded(chunks(stream), encoding, name)).removeprefix(records.BOM)
    return _Input(iter([records.Record(1, 1, {"text": text})]), 1, "json", many=False)


def _json(text: str, name: str) -> _Input:
    value = records.json_value(text, name)
    if isinstance(value, list):
        return _Input(records.value_records(value), len(value), "json")
    return _Input(records.value_records([value]), 1, "json", many=False)


def _is_document(job: Job, form: str, is_table: bool) -> bool:
    """True when the input is written back in its own format; False when its output is a list of results."""
    if is_table:
        wanted = job.format or ("csv" if job.out and job.out.suffix.lower() == ".csv" else None)
        return bool(job.columns) or (form == "csv" and wanted == "csv")
    return form != "text" or job.format in {None, "text"}


def _document(data: bytes, task: RewritesDocuments, job: Job, *, name: str, form: str, encoding: str) -> _Input:
    encoding = _exact(encoding, data)
    text = "".join(decoded([data], encoding, name))
    if text.encode(encoding) != data:
        raise InvalidInputError(
            f"{name} cannot be written back byte for byte in {encoding}: it encodes one character in two ways.",
            hint="Convert it to UTF-8 first, for example: iconv -f cp932 -t utf-8 FILE",
        )
    pieces = list(task.document(text, form, job.columns))
    texts = [piece.text for piece in pieces if not isinstance(piece, str)]
    units = records.UnitRecords(pieces, {**job.fields, **task.document_fields(texts, job.fields)})
    return _Input(iter(units), len(texts), form, is_document=True, units=units, encoding=encoding)


def _exact(encoding: str, data: bytes) -> str:
    """The encoding with this file's byte order, so that decoding keeps its byte-order mark as a character."""
    for mark, order in ((b"\xff\xfe\x00\x00", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if encoding == order and data.startswith(mark):
            return f"{order}-{'le' if mark[0] == 0xFF else 'be'}"
    return "utf-8" if encoding == "utf-8-sig" else encoding


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

    Returns its approximate number of records, or None for a single record or a pipe.
    """
    if form not in MANY or not path.is_file():
        return None
    with _opened(path) as stream:
        count, last = 0, "\n"
        for text in decoded(chunks(stream), encoding, str(path)):
            count += text.count("\n")
            last = text[-1]
    return max(count + (last != "\n") - (form == "csv"), 0)


def _writer(stream: TextIO, task: Task[Any, Any], source: _Input, fmt: str) -> output.Writer:
    if source.units is not None and fmt == source.form:
        return output.RewrittenDocument(stream, cast("RewritesDocuments", task), source.units)
    if fmt == "jsonl":
        return output.JsonLines(stream)
    if fmt == "csv":
        return output.Csv(stream, task)
    if fmt == "json":
        return output.Json(stream, task, many=source.many)
    return output.Rendered(stream, task, fmt)
