"""Runs tasks for the screen, in worker threads: one record from a form, or a file of many as ``edgechat run`` does.

Tells what happens by plain functions; knows no widget.
"""

from __future__ import annotations

import io
import json
import shlex
import threading
import time
from dataclasses import dataclass, replace
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

_TOLD_EVERY_S = 0.1


class _Generator(EngineGenerator):
    """Says how far an answer is."""

    tell: Callable[[str], None]
    _tokens = 0
    _told_at = 0.0

    def events(self, request: Request) -> Iterator[Event]:
        for event in super().events(request):
            if isinstance(event, Loading):
                self.tell(event.note)
            elif isinstance(event, Queued):
                self.tell(event.reason)
            elif isinstance(event, Prefill):
                self.tell(event.note)
            elif isinstance(event, Text):
                self._tokens += len(event.tokens)
                if time.monotonic() - self._told_at >= _TOLD_EVERY_S:
                    self._told_at = time.monotonic()
                    self.tell(f"writing, {self._tokens} tokens so far")
            yield event


class Errand:
    """One record through a task; :meth:`cancel` may come from another thread.

    Args:
        paths: whose engine.
        config: the settings that hold for every question.
        model: the model to answer with; None leaves it to the plan.
        tell: gets in a few words what is being done.
        show: gets what rules alone have said, while the model is still asked.
    """

    def __init__(
        self,
        paths: Paths,
        config: Config,
        model: str | None,
        tell: Callable[[str], None],
        show: Callable[[TaskResult], None],
    ) -> None:
        self._paths, self._tell, self._show = paths, tell, show
        self._wish = Wish.of(model or config.model, config.n_ctx)
        self._generator = _Generator(paths, self._wish, on_note=tell)
        self._generator.tell = tell
        self.is_cancelled = False

    def run(self, task: Task[Any, Any], record: dict[str, Any]) -> TaskResult | None:
        """The final result; None when it was cancelled.

        Raises:
            EdgechatError: the engine could not be asked. Without any model the rules speak alone.
        """
        generator: _Generator | None = self._generator
        context = Context(language=locale_language())
        last: TaskResult | None = None
        try:
            self._tell("looking for the model")
            try:
                known = self._generator.identify()
                context = replace(context, vision=known.vision, prompts=known.prompts, parameters=known.parameters)
            except NoModelError as error:
                generator = None
                self._tell(str(error))
            for last in run_in_stages(task, record, generator=generator, context=context):
                if self.is_cancelled:
                    return None
                if not last.is_final:
                    self._show(last)
        except EdgechatError:
            if self.is_cancelled:
                return None
            raise
        finally:
            self._generator.close()
        return last

    def cancel(self) -> None:
        """Cut the model off."""
        self.is_cancelled = True
        self._generator.interrupt()


@dataclass(frozen=True, slots=True)
class Order:
    """A file of records to run."""

    source: Path
    out: Path
    fields: str = ""
    """``NAME=VALUE`` pairs for every record, as a shell would split them."""
    is_resumed: bool = False

    @property
    def journal(self) -> Path:
        """Where an interrupted run has left what was done."""
        return self.out.with_name(self.out.name + SUFFIX)


@dataclass(frozen=True, slots=True)
class Pace:
    """How far a batch is."""

    done: int
    total: int | None
    """None while nobody knows."""
    not_ok: int


class Batch:
    """A file of records through a task: journal, resume and output are those of ``edgechat run``."""

    def __init__(
        self, paths: Paths, config: Config, model: str | None, tell: Callable[[Pace], None], note: Callable[[str], None]
    ) -> None:
        self._paths, self._tell, self._note = paths, tell, note
        self._wish = Wish.of(model or config.model, config.n_ctx)
        self._stop = threading.Event()
        self._total: int | None = None
        self._told_at = 0.0

    def run(self, task: Task[Any, Any], order: Order) -> JobReport | None:
        """Run it to its end; None when it was stopped, and then it can be resumed.

        Raises:
            EdgechatError: whatever kept it from its end; the journal says how far it came.
        """
        job = Job(
            source=str(order.source),
            fields=_fields(task, order.fields),
            out=order.out,
            resume=order.is_resumed,
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
        """End it at once; what is done is in the journal."""
        self._stop.set()

    def _begin(self, total: int | None, done: int) -> None:
        self._total = total
        self._tell(Pace(done, total, 0))

    def _advance(self, tally: Tally) -> None:
        now = time.monotonic()
        if now - self._told_at >= _TOLD_EVERY_S or tally.total == self._total:
            self._told_at = now
            self._tell(Pace(tally.total, self._total, tally.not_ok))


def save(task: Task[Any, Any], done: TaskResult, path: Path) -> None:
    """Write a result in the format that the file's name asks for; a file that is there already stays.

    Raises:
        UsageError: this task has no such format, or there is such a file.
        StateError: the disk refuses.
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


def rows(done: TaskResult) -> list[tuple[str, str]]:
    """A result as lines of a table: place and value, lists and objects taken apart."""
    found: list[tuple[str, str]] = []
    _flatten("", done.result if done.result is not None else {}, found)
    return found


def _flatten(place: str, value: object, found: list[tuple[str, str]]) -> None:
    if isinstance(value, dict) and value:
        for name, part in value.items():
            _flatten(f"{place}.{name}" if place else str(name), part, found)
    elif isinstance(value, list) and value:
        if all(not isinstance(part, (dict, list)) for part in value):
            found.append((place, ", ".join(map(str, value))))
            return
        for number, part in enumerate(value, 1):
            _flatten(f"{place}.{number}", part, found)
    elif isinstance(value, float):
        found.append((place, f"{value:.4g}"))
    elif value is None or isinstance(value, bool):
        found.append((place, json.dumps(value)))
    else:
        found.append((place, "none" if value in ([], {}) else str(value)))


def _fields(task: Task[Any, Any], pairs: str) -> dict[str, Any]:
    try:
        split = shlex.split(pairs)
    except ValueError as error:
        raise UsageError(f"The fields cannot be read: {error}.", hint="For example: target=ja source=en") from error
    return given_fields(split, published_schema(task, "input"))
