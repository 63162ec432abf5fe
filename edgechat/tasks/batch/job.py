"""One ``edgechat run`` from input to output: forms, journal, kept answers, batch and writer, put together.

Knows files and streams, and no command line and no terminal.
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
from edgechat.tasks.batch.answer_cache import Answers
from edgechat.tasks.batch.batch import Batch, Tally
from edgechat.tasks.batch.document import RewritesDocuments, Units
from edgechat.tasks.batch.formats import MANY, input_form, output_format
from edgechat.tasks.batch.journal import SUFFIX, Journal
from edgechat.tasks.batch.text_encoding import chunks, decoded, require_encoding
from edgechat.tasks.contract import Context
from edgechat.tasks.generator import EngineGenerator
from edgechat.tasks.published_schema import published_schema

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping

    from edgechat.engine.protocol.request import Wish
    from edgechat.paths import Paths
    from edgechat.tasks.batch.records import Record
    from edgechat.tasks.contract import Generator, Task
    from edgechat.tasks.generator import Identity
    from edgechat.tasks.language import Language
    from edgechat.tasks.result import TaskResult

MAX_FAULTS = 10
_SAYS_WHY = frozenset(("json", "jsonl", "csv"))
"""Outputs whose records carry their ``errors``."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be run over what.

    Raises:
        UsageError: ``out`` is no file that could be replaced.
    """

    source: str | None
    """A file, ``-`` for standard input, one JSON object as text, or None: the fields are the record."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Over each record's own."""
    out: Path | None = None
    """None writes to standard output, and then nothing can be resumed. Where a link leads, once it is made."""
    form: str | None = None
    """The input's form; None goes by its name."""
    format: str | None = None
    """The output's; None goes by its name, then by the input."""
    encoding: str = "utf-8"
    """Of the input, and of a document that is written back."""
    columns: tuple[str, ...] = ()
    """Which columns or keys of a table to rewrite; with them CSV and JSON lines are documents."""
    resume: bool = False
    parallel: int = 1
    timeout_s: float | None = None
    """Seconds for each record."""
    began_s: float | None = None
    """When the command began (monotonic clock): the deadline of a single record counts from there."""
    seed: int | None = None
    language: Language = "en"
    keeps_answers: bool = True

    def __post_init__(self) -> None:
        if self.out is not None:
            object.__setattr__(self, "out", replaceable(self.out))


@dataclass(slots=True)
class Report:
    """How a job went."""

    tally: Tally
    flags: Mapping[str, int] = field(default_factory=dict)
    """In documents: how often each flag was raised."""
    unwritable: int = 0
    faults: list[str] = field(default_factory=list)
    """Which records are not ok and why, where the output has no place for it: the first few."""


@dataclass(frozen=True, slots=True)
class _Input:
    records: Iterator[Record]
    count: int | None
    """About how many; None when nobody knows."""
    form: str
    many: bool = True
    is_document: bool = False
    units: Units | None = None
    encoding: str = "utf-8"


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who hears how a job goes."""

    note: Callable[[str], None] = lambda _text: None
    """A sentence for the person who waits."""
    begin: Callable[[int | None, int], None] = lambda _total, _done: None
    """How many records there are, about, and how many are done already."""
    advance: Callable[[Tally], None] = lambda _tally: None
    """One more record is done."""
    model: Callable[[Identity], None] = lambda _identity: None
    """Which model will answer."""


def run_job(
    job: Job,
    task: Task[Any, Any],
    paths: Paths,
    wish: Wish,
    *,
    stdin: BinaryIO,
    stdout: BinaryIO,
    listeners: Listeners | None = None,
    generator: Callable[[], Generator] | None = None,
    stop: threading.Event | None = None,
) -> Report:
    """Run it.

    Args:
        job: what to do.
        task: the task.
        paths: whose engine and caches.
        wish: the model to answer with.
        stdin: read when the job says so.
        stdout: written when there is no output file; left open.
        listeners: who hears how it goes.
        generator: makes what answers instead of the engine, for one thread at a time.
        stop: set by another thread to end the run with a ``StoppedError``; the journal then says how far it came.

    Raises:
        EdgechatError: whatever stopped the run; the journal then says how far it came.
    """
    tell = listeners or Listeners()
    with contextlib.ExitStack() as stack:
        source = _input(job, task, stdin, stack)
        fmt = output_format(
            task, source.form, said=job.format, out=str(job.out) if job.out else None, is_document=source.is_document
        )
        if fmt == "html" and source.many:
            raise UsageError(
                "An HTML page holds one record.", hint="Run one record, or write --format jsonl, csv or md."
            )
        if job.resume and job.out is None:
            raise UsageError("--resume needs --out: the journal lies beside the output file.")
        journal = _journal(job, task, source, wish)
        if journal is not None:
            stack.enter_context(journal)
            _tell_resumed(journal, job, tell)
        identity, missing = _identity(paths, wish, tell) if generator is None else (None, None)
        answers = stack.enter_context(Answers(paths.cache)) if job.keeps_answers else None

        def connect() -> Generator | None:
            if generator is not None:
                return generator()
            if identity is None:
                return None
            return EngineGenerator(paths, wish, known=identity, on_note=tell.note, is_batch=source.many)

        batch = Batch(
            task,
            connect,
            context=Context(
                language=job.language,
                vision=identity is not None and identity.vision,
                prompts=identity.prompts if identity else {},
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
        tell.begin(source.count, journal.count if journal else 0)
        report = Report(batch.tally)
        encoding = source.encoding if source.is_document and fmt == source.form else "utf-8"
        with output.sink(job.out, stdout, encoding) as stream:
            writer = _writer(stream, task, source, fmt)
            fields = {} if source.is_document else job.fields  # a document's units have them already
            for record, done in batch.run(records.with_fields(source.records, fields)):
                writer.write(record, done)
                if done.status != "ok" and fmt not in _SAYS_WHY and len(report.faults) < MAX_FAULTS:
                    report.faults.append(_fault(done))
                tell.advance(batch.tally)
            if not batch.tally.total and not source.is_document:
                name = "Standard input" if job.source == "-" else job.source
                raise InvalidInputError(f"{name} holds no record.", hint=f"See: edgechat tasks show {task.name}")
            writer.finish()
        if isinstance(writer, output.Rewritten):
            report.flags, report.unwritable = writer.flags, writer.unwritable
        if journal is not None:
            journal.discard()
        return report


def _variant(job: Job, identity: Identity | None) -> str:
    """What an answer depends on besides model, task and record: the model's prompts, and whether others ran beside it.

    What was decoded together is rounded otherwise, so ``--parallel 1``, which repeats exactly, must not be given it.
    """
    prompts = repr(sorted(identity.prompts.items())) if identity else ""
    return f"{prompts} together" if job.parallel > 1 else prompts


def _fault(done: TaskResult) -> str:
    why = "; ".join(
        f"{problem.path}: {problem.message}" if problem.path else problem.message for problem in done.errors
    )
    return f"Record {done.id}: {why or done.status}"


def _timeout_s(job: Job, source: _Input) -> float | None:
    """Seconds for each record; of a single one, what the start of the command has left of them."""
    if job.timeout_s is None or job.began_s is None or source.many:
        return job.timeout_s
    return max(job.timeout_s - (time.monotonic() - job.began_s), 0.0)


def _identity(paths: Paths, wish: Wish, tell: Listeners) -> tuple[Identity | None, NoModelError | None]:
    probe = EngineGenerator(paths, wish, on_note=tell.note)
    try:
        identity = probe.identify()
    except NoModelError as error:
        if type(error) is not NoModelError:
            raise  # one was named or fixed, and is not there
        # Nothing is installed. Rules may have enough to say by themselves; the batch stops where they do not.
        return None, error
    finally:
        probe.close()
    tell.model(identity)
    return identity, None


def _tell_resumed(journal: Journal, job: Job, tell: Listeners) -> None:
    if not job.resume:
        return
    if journal.count:
        tell.note(
            f"Resuming: {journal.count} records are done and will not be asked again. Those that were in flight when "
            f"the run stopped are: at most {job.parallel} being answered and what was not yet on the disk."
        )
    else:
        tell.note("There is no journal to resume: starting from the first record.")
    if journal.dropped_bytes:
        tell.note(f"The journal's last {journal.dropped_bytes} bytes were torn, and were dropped.")


def _journal(job: Job, task: Task[Any, Any], source: _Input, wish: Wish) -> Journal | None:
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
    return Journal(path, header, resume=job.resume)


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
        hint = "It names what `edgechat run translate` rewrites in a CSV or JSON lines file."
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
    """Whether the input is written back in its own form, or becomes results."""
    if is_table:
        wanted = job.format or ("csv" if job.out and job.out.suffix.lower() == ".csv" else None)
        return bool(job.columns) or (form == "csv" and wanted == "csv")
    return form != "text" or job.format in {None, "text"}


def _document(data: bytes, task: RewritesDocuments, job: Job, *, name: str, form: str, encoding: str) -> _Input:
    encoding = _exact(encoding, data)
    text = "".join(decoded([data], encoding, name))
    if text.encode(encoding) != data:
        raise InvalidInputError(
            f"{name} cannot be written back byte for byte in {encoding}: it spells a character in two ways.",
            hint="Convert it to UTF-8 first, for example: iconv -f cp932 -t utf-8 FILE",
        )
    pieces = list(task.document(text, form, job.columns))
    texts = [piece.text for piece in pieces if not isinstance(piece, str)]
    units = Units(pieces, {**job.fields, **task.document_fields(texts, job.fields)})
    return _Input(iter(units), len(texts), form, is_document=True, units=units, encoding=encoding)


def _exact(encoding: str, data: bytes) -> str:
    """The same encoding with the byte order that this file has, so that its mark is kept as a character."""
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
    """Read a file once before anything is asked, so that a bad byte at its end is found now and not after hours."""
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
        return output.Rewritten(stream, cast("RewritesDocuments", task), source.units)
    if fmt == "jsonl":
        return output.JsonLines(stream)
    if fmt == "csv":
        return output.Csv(stream, task)
    if fmt == "json":
        return output.Json(stream, task, many=source.many)
    return output.Rendered(stream, task, fmt)
