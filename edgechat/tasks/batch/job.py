"""One ``edgechat run`` from input to output: joins formats, journal, answer cache, batch run and writer.

This module reads and writes files and streams; it uses no command line and no terminal.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, cast

from edgechat.errors import InvalidInputError, NoModelError, StateError, UsageError
from edgechat.tasks.batch import output, records
from edgechat.tasks.batch.answer_cache import AnswerCache
from edgechat.tasks.batch.batch_run import BatchRun, Tally
from edgechat.tasks.batch.formats import output_format
from edgechat.tasks.batch.input import open_input
from edgechat.tasks.batch.journal import SUFFIX, BatchJournal
from edgechat.tasks.batch.report import RunReport, record_entry
from edgechat.tasks.batch.rewritten import RewrittenDocument
from edgechat.tasks.batch.settings import Job
from edgechat.tasks.contract import Context
from edgechat.tasks.generator import EngineGenerator
from edgechat.tasks.runner import problems

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from edgechat.engine.protocol.request import Wish
    from edgechat.paths import Paths
    from edgechat.tasks.batch.document import RewritesDocuments
    from edgechat.tasks.batch.input import Input
    from edgechat.tasks.contract import Generator, Task
    from edgechat.tasks.generator import ModelIdentity
    from edgechat.tasks.result import TaskResult

__all__ = ["MAX_FAULTS", "Job", "JobCallbacks", "JobReport", "run_job"]

MAX_FAULTS = 10
_FORMATS_WITH_ERRORS = frozenset(("json", "jsonl", "csv"))
"""Output formats whose records carry their ``errors``."""


@dataclass(slots=True)
class JobReport:
    """The counts and errors of a finished job."""

    tally: Tally
    run: RunReport
    """What became of each record or unit."""
    is_document: bool = False
    """The output is the input with its units rewritten."""
    faults: list[str] = field(default_factory=list)
    """The first :data:`MAX_FAULTS` records that are not ok, with the reason, when the output does not hold errors."""

    @property
    def flags(self) -> Mapping[str, int]:
        """How often each flag was raised."""
        return self.run.flags


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

    ``generator`` makes, once for each thread, what replaces the engine; ``stop`` ends the run with a ``StoppedError``.

    Raises:
        EdgechatError: the run ended early; the journal keeps the finished records.
    """
    callbacks = callbacks or JobCallbacks()
    _require_fields(job, task)
    with contextlib.ExitStack() as stack:
        source = open_input(job, task, stdin, stack, callbacks.note)
        fmt = output_format(
            task,
            source.form,
            option=job.format,
            out=str(job.out) if job.out else None,
            is_document=source.document is not None,
        )
        if job.resume and job.out is None:
            raise UsageError("--resume needs --out: the journal is beside the output file.")
        journal = _journal(job, task, source, wish)
        if journal is not None:
            stack.enter_context(journal)
            _note_resume(journal, job, callbacks)
            stack.push(_Forget(journal).on_exit)
        is_rewritten = source.document is not None and fmt == source.form
        nothing_to_ask = is_rewritten and source.count == 0
        identity, missing = None, None
        if generator is None and not nothing_to_ask:
            identity, missing = _identity(paths, wish, callbacks)
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
            context=identity.context(job.language) if identity else Context(language=job.language),
            seed=job.seed,
            timeout_s=_timeout_s(job, source),
            parallel=job.parallel,
            journal=journal,
            answers=answers,
            model_sha256=identity.sha256 if identity else None,
            variant=_variant(job, task, identity),
            no_model=missing,
            stop=stop,
        )
        callbacks.begin(source.count, journal.count if journal else 0)
        report = JobReport(batch.tally, RunReport(is_kept=job.report is not None), is_rewritten)
        with output.sink(job.out, stdout, "utf-8") as stream:
            writer = _writer(stream, task, source, fmt, report.run)
            fields = {} if source.document else job.fields  # the units of a document have them already
            related = task.history(job.earlier)
            for record, found in batch.run(records.with_fields(source.records, fields)):
                done = related(found)
                writer.write(record, done)
                if not is_rewritten:
                    report.run.add(record_entry(record.unit_line or record.line, done, task.incomplete_flags))
                if done.status != "ok" and fmt not in _FORMATS_WITH_ERRORS and len(report.faults) < MAX_FAULTS:
                    report.faults.append(_fault(done))
                callbacks.advance(batch.tally)
            if not batch.tally.total and source.document is None:
                name = "Standard input" if job.source == "-" else job.source
                raise InvalidInputError(f"{name} holds no record.", hint=f"See: edgechat tasks show {task.name}")
            writer.finish()
        _write_report(job, task, source, report)
        if journal is not None:
            journal.discard()
        return report


class _Forget:
    """Removes the journal of a run that ends without any finished record: there is nothing to resume."""

    def __init__(self, journal: BatchJournal) -> None:
        self._journal = journal

    def on_exit(self, kind: object, *_: object) -> None:
        """End of the run; ``kind`` is the class of the exception, if there is one."""
        if kind is not None and self._journal.is_empty:
            self._journal.discard()


def _require_fields(job: Job, task: Task[Any, Any]) -> None:
    """Refuse a wrong ``--field`` once, before the run, instead of once for each record.

    Raises:
        UsageError: the task does not take the value of a field.
    """
    if job.source is None or not job.fields:
        return
    for problem in problems(task, dict(job.fields)):
        name = problem.path.split("/")[1] if "/" in problem.path else ""
        if name in job.fields:
            raise UsageError(f"--field {name}: {problem.message}")


def _write_report(job: Job, task: Task[Any, Any], source: Input, report: JobReport) -> None:
    if job.report is None:
        return
    facts = {
        "task": task.name,
        "input": job.source,
        "output": str(job.out) if job.out else None,
        "format": source.form,
        "encoding": source.document.options.encoding if source.document else None,
    }
    try:
        report.run.write(job.report, **facts)
    except OSError as error:
        raise StateError(
            f"Cannot write the report {job.report}: {error.strerror or error}.", hint="Name another file with --report."
        ) from error


def _variant(job: Job, task: Task[Any, Any], identity: ModelIdentity | None) -> str:
    """What an answer depends on besides model, task and record: prompts, the task's own state, parallel decoding.

    Records that are decoded together round differently. ``--parallel 1`` repeats exactly, so it must not get their
    answers from the cache.
    """
    prompts = repr(sorted(identity.prompts.items())) if identity else ""
    if state := task.depends_on():
        prompts = f"{prompts} {state}"
    return f"{prompts} together" if job.parallel > 1 else prompts


def _fault(done: TaskResult) -> str:
    reasons = (f"{each.path}: {each.message}" if each.path else each.message for each in done.errors)
    return f"Record {done.id}: {'; '.join(reasons) or done.status}"


def _timeout_s(job: Job, source: Input) -> float | None:
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


def _journal(job: Job, task: Task[Any, Any], source: Input, wish: Wish) -> BatchJournal | None:
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
        "delimiter": job.delimiter,
        "language": job.language,
        "seed": job.seed,
    }
    path = job.out.with_name(job.out.name + SUFFIX)
    return BatchJournal(path, header, resume=job.resume)


def _writer(stream: TextIO, task: Task[Any, Any], source: Input, fmt: str, report: RunReport) -> output.Writer:
    if source.document is not None and fmt == source.form:
        rewriting = cast("RewritesDocuments", task)
        return RewrittenDocument(stream, rewriting, source.document, report, task.incomplete_flags)
    if fmt == "jsonl":
        return output.JsonLines(stream)
    if fmt == "csv":
        return output.Csv(stream, task, source.delimiter)
    if fmt == "json":
        return output.Json(stream, task, many=source.many)
    if fmt == "html" and source.many:
        return output.HtmlPages(stream, task)
    return output.Rendered(stream, task, fmt)
