"""Run tasks in worker threads: one record from a form, or a file of records as ``edgechat run`` does it.

Progress goes to plain callbacks.
"""

from __future__ import annotations

import io
import shlex
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgechat.engine.protocol.events import Loading, Prefill, Queued, Text
from edgechat.engine.protocol.request import Wish
from edgechat.errors import EdgechatError, NoModelError, StateError, UsageError
from edgechat.tasks.batch.batch_run import StoppedError
from edgechat.tasks.batch.formats import output_format
from edgechat.tasks.batch.job import Job, JobCallbacks, run_job
from edgechat.tasks.batch.journal import SUFFIX
from edgechat.tasks.batch.output import Csv, json_text
from edgechat.tasks.batch.records import Record, given_fields
from edgechat.tasks.contract import Context, published_schema
from edgechat.tasks.generator import EngineGenerator
from edgechat.tasks.language import locale_language
from edgechat.tasks.runner import run_in_stages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edgechat.config import Config
    from edgechat.engine.protocol.events import Event
    from edgechat.engine.protocol.request import Request
    from edgechat.paths import Paths
    from edgechat.tasks.batch.batch_run import Tally
    from edgechat.tasks.batch.job import JobReport
    from edgechat.tasks.contract import Task
    from edgechat.tasks.result import TaskResult

_PROGRESS_EVERY_S = 0.1


class _Generator(EngineGenerator):
    """Reports the progress of each answer."""

    report: Callable[[str], None]
    _tokens = 0
    _reported_at = 0.0

    def events(self, request: Request) -> Iterator[Event]:
        for event in super().events(request):
            if isinstance(event, Loading):
                self.report(event.note)
            elif isinstance(event, Queued):
                self.report(event.reason)
            elif isinstance(event, Prefill):
                self.report(event.note)
            elif isinstance(event, Text):
                self._tokens += len(event.tokens)
                if time.monotonic() - self._reported_at >= _PROGRESS_EVERY_S:
                    self._reported_at = time.monotonic()
                    self.report(f"writing, {self._tokens} tokens so far")
            yield event


class TaskWorker:
    """Runs a task over one record. :meth:`cancel` may be called from another thread.

    Args:
        paths: whose engine.
        config: settings for every question.
        model: the model to answer with; None leaves the choice to the plan.
        report: gets a few words about the current step.
        show_partial: gets the result of the rules while the model still writes its part.
    """

    def __init__(
        self,
        paths: Paths,
        config: Config,
        model: str | None,
        report: Callable[[str], None],
        show_partial: Callable[[TaskResult], None],
    ) -> None:
        self._report, self._show_partial = report, show_partial
        self._generator = _Generator(paths, Wish.of(model or config.model, config.n_ctx), on_note=report)
        self._generator.report = report
        self.is_cancelled = False

    def run(self, task: Task[Any, Any], record: dict[str, Any]) -> TaskResult | None:
        """Run it; returns the last result: when it was cancelled, that of the rules, or None before there is one.

        Without a model only the rules run.

        Raises:
            EdgechatError: the engine failed.
        """
        generator: _Generator | None = self._generator
        context = Context(language=locale_language())
        last: TaskResult | None = None
        rules: TaskResult | None = None
        try:
            self._report("looking for the model")
            try:
                context = self._generator.identify().context(locale_language())
            except NoModelError as error:
                generator = None
                self._report(str(error))
            for last in run_in_stages(task, record, generator=generator, context=context):
                if self.is_cancelled:
                    return rules
                if not last.is_final:
                    rules = last
                    self._show_partial(last)
        except EdgechatError:
            if self.is_cancelled:
                return rules
            raise
        finally:
            self._generator.close()
        return rules if self.is_cancelled else last

    def cancel(self) -> None:
        """Stop the run and interrupt the model."""
        self.is_cancelled = True
        self._generator.interrupt()


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A file of records to run a task over, and where the results go."""

    source: Path
    out: Path
    fields: str = ""
    """``NAME=VALUE`` pairs that are set in every record, split as in a shell."""
    is_resumed: bool = False

    @property
    def journal(self) -> Path:
        """The journal file of an interrupted run."""
        return self.out.with_name(self.out.name + SUFFIX)


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """Progress of a batch, in records."""

    done: int
    total: int | None
    """None while it is not known."""
    not_ok: int


class BatchRun:
    """Runs a task over a file of records, with the journal, resume and output of ``edgechat run``."""

    def __init__(
        self,
        paths: Paths,
        config: Config,
        model: str | None,
        report: Callable[[BatchProgress], None],
        note: Callable[[str], None],
    ) -> None:
        self._paths, self._report, self._note = paths, report, note
        self._wish = Wish.of(model or config.model, config.n_ctx)
        self._stop = threading.Event()
        self._total: int | None = None
        self._reported_at = 0.0

    def run(self, task: Task[Any, Any], request: BatchRequest) -> JobReport | None:
        """Run all records; returns None when it was cancelled and can be resumed.

        Raises:
            EdgechatError: the run failed; the journal holds the finished records.
        """
        job = Job(
            source=str(request.source),
            fields=_fields(task, request.fields),
            out=request.out,
            resume=request.is_resumed,
            language=locale_language(),
        )
        callbacks = JobCallbacks(note=self._note, begin=self._begin, advance=self._advance)
        nothing = io.BytesIO()
        try:
            return run_job(
                job, task, self._paths, self._wish, stdin=nothing, stdout=nothing, callbacks=callbacks, stop=self._stop
            )
        except StoppedError:
            return None

    def cancel(self) -> None:
        """Stop at once; the journal holds the finished records."""
        self._stop.set()

    def _begin(self, total: int | None, done: int) -> None:
        self._total = total
        self._report(BatchProgress(done, total, 0))

    def _advance(self, tally: Tally) -> None:
        now = time.monotonic()
        if now - self._reported_at >= _PROGRESS_EVERY_S or tally.total == self._total:
            self._reported_at = now
            self._report(BatchProgress(tally.total, self._total, tally.not_ok))


def save_result(task: Task[Any, Any], done: TaskResult, path: Path) -> None:
    """Write a result to a new file, in the format of the file name's extension.

    Raises:
        UsageError: the task has no such format, or the file exists.
        StateError: the file cannot be written.
    """
    fmt = output_format(task, "json", option=None, out=path.name, is_document=False)
    if fmt == "jsonl":
        text = json_text(done.to_json()) + "\n"
    elif fmt == "csv":
        stream = io.StringIO(newline="")
        Csv(stream, task).write(Record(1, 1, {}), done)
        text = stream.getvalue()
    else:
        text = task.render(done, fmt)
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already.", hint="Choose another name.") from error
    except OSError as error:
        raise StateError(f"Cannot write {path}: {error.strerror}.") from error


def _fields(task: Task[Any, Any], pairs: str) -> dict[str, Any]:
    try:
        split = shlex.split(pairs)
    except ValueError as error:
        raise UsageError(f"The fields cannot be read: {error}.", hint="For example: target=ja source=en") from error
    return given_fields(split, published_schema(task, "input"))
