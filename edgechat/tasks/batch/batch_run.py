"""Runs a task over many records: several at once, results in input order, in bounded memory.

A finished record is written to the journal first and returned once it is on disk. Equal inputs are answered once.
This module uses no file format and no terminal; the caller supplies the generators.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from edgechat.errors import EdgechatError, EngineError, InvalidInputError, NoModelError, StateError
from edgechat.tasks.batch.answer_cache import answer_key
from edgechat.tasks.contract import Context
from edgechat.tasks.result import Problem, TaskResult
from edgechat.tasks.runner import empty_result, input_sha256, run_task, split_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from edgechat.tasks.batch.answer_cache import AnswerCache
    from edgechat.tasks.batch.journal import BatchJournal
    from edgechat.tasks.batch.records import Record
    from edgechat.tasks.contract import Generator, Task

WINDOW = 64
"""Minimum number of records read ahead; up to this many small records share one sync of the journal."""
MAX_ENGINE_FAILURES = 3
"""The run stops when the engine fails at this many records in a row: the cause is then not the records."""
_STOP_POLL_S = 0.1


class StoppedError(EdgechatError):
    """The caller stopped the run with ``stop``; the journal holds the finished records."""


@dataclass(slots=True)
class _PendingRecord:
    record: Record
    sha256: str
    key: bytes | None = None
    """Key in the answer cache; None when the cache is not used."""
    future: Future[TaskResult] | None = None
    done: TaskResult | None = None
    """Set when the result is in the journal and may be returned."""


@dataclass(slots=True)
class Tally:
    """Counts of finished records."""

    by_status: dict[str, int] = field(default_factory=dict)
    resumed: int = 0
    """Records taken from the journal."""
    repeated: int = 0
    """Records answered from the cache or from an equal input of this run."""
    answered: int = 0
    """Records that a model answered in this run."""

    @property
    def total(self) -> int:
        """All finished records."""
        return sum(self.by_status.values())

    @property
    def not_ok(self) -> int:
        """Records with a status other than ``ok``."""
        return self.total - self.by_status.get("ok", 0)


class BatchRun:
    """One run of a task over many records.

    Args:
        task: shared by all threads; its records are not live, so it keeps no state between them.
        connect: makes a generator; called once in each worker thread. None as its result runs the rules only.
        context: the conditions of every record.
        seed: the sampling seed for the model.
        timeout_s: seconds for each record.
        parallel: number of records that run at once.
        journal: receives every finished record before it is returned.
        answers: the answer cache; None asks the model about every record.
        model_sha256: the model that will answer, when known in advance.
        variant: further text that the answers depend on, such as the model's own prompts.
        no_model: why ``connect`` returns None; raised when the rules alone give no result.
        stop: set by another thread to end the run; running answers are cancelled.
    """

    def __init__(
        self,
        task: Task[Any, Any],
        connect: Callable[[], Generator | None],
        *,
        context: Context | None = None,
        seed: int | None = None,
        timeout_s: float | None = None,
        parallel: int = 1,
        journal: BatchJournal | None = None,
        answers: AnswerCache | None = None,
        model_sha256: str | None = None,
        variant: str = "",
        no_model: NoModelError | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self._stop = stop
        self._task, self._connect, self._context = task, connect, context or Context()
        self._seed, self._timeout_s, self._parallel = seed, timeout_s, parallel
        self._journal, self._answers = journal, answers
        self._model_sha256, self._variant = model_sha256, variant
        self._no_model = no_model
        self._window = max(WINDOW, 4 * parallel)
        self._pending: deque[_PendingRecord] = deque()
        self._in_flight: dict[bytes, Future[TaskResult]] = {}
        self._local = threading.local()
        self._generators: list[Generator] = []
        self._engine_failures = 0
        self.tally = Tally()

    def run(self, records: Iterator[Record]) -> Iterator[tuple[Record, TaskResult]]:
        """Yield every record with its final result, in input order.

        Raises:
            NoModelError: there is no model, and the rules alone give no result.
            EngineError: the engine failed at :data:`MAX_ENGINE_FAILURES` records in a row.
            StateError: the journal cannot be written.
            InvalidInputError: the input changed since the journal was written.
            StoppedError: ``stop`` was set.
        """
        pool = ThreadPoolExecutor(self._parallel, thread_name_prefix="record")
        try:
            is_more = True
            while is_more or self._pending:
                self._raise_if_stopped()
                while is_more and len(self._pending) < self._window:
                    record = next(records, None)
                    if record is None:
                        is_more = False
                    else:
                        self._pending.append(self._start(record, pool))
                self._finish_some()
                while self._pending and (done := self._pending[0].done) is not None:
                    first = self._pending.popleft()
                    record = first.record
                    if first.future is not None and done.model is not None and done.timing.get("model_s"):
                        self.tally.answered += 1
                    self.tally.by_status[done.status] = self.tally.by_status.get(done.status, 0) + 1
                    yield record, done
            pool.shutdown()
        finally:
            # After an interruption, closing the connections cancels the running answers.
            pool.shutdown(wait=False, cancel_futures=True)
            self._close()

    def _start(self, record: Record, pool: ThreadPoolExecutor) -> _PendingRecord:
        """Take the result from the journal, the cache or an equal running input; else submit the record to the pool."""
        pending = _PendingRecord(record, input_sha256(split_id(record.raw, self._task, record.line)[0]))
        if self._journal is not None and record.number in self._journal:
            pending.done = self._from_journal(self._journal, pending)
            self.tally.resumed += 1
            return pending
        if record.fault:
            pending.future = Future()
            pending.future.set_result(
                empty_result(
                    self._task, "invalid_input", record.fault, record_id=record.id, input_sha256=pending.sha256
                )
            )
            return pending
        if self._answers is not None and self._model_sha256 is not None:
            pending.key = self._key(pending.sha256, self._model_sha256)
            began_s = time.monotonic()
            if (cached := self._answers.get(pending.key)) is not None:
                # Date and model stay those of the cached answer; the timing is this run's.
                timing = {"rules_s": 0.0, "model_s": 0.0, "total_s": time.monotonic() - began_s}
                pending.future = Future()
                pending.future.set_result(replace(result_from_json(cached), timing=timing))
                self.tally.repeated += 1
                return pending
            if (running := self._in_flight.get(pending.key)) is not None:
                pending.future = running
                self.tally.repeated += 1
                return pending
        pending.future = pool.submit(self._run_record, record)
        if pending.key is not None:
            self._in_flight[pending.key] = pending.future
        return pending

    def _finish_some(self) -> None:
        """Wait until at least one more record has finished, and write the finished ones to the journal."""
        waiting = [pending for pending in self._pending if pending.done is None]
        if not waiting:
            return
        futures = {pending.future for pending in waiting if pending.future is not None}
        while not wait(futures, None if self._stop is None else _STOP_POLL_S, FIRST_COMPLETED).done:
            self._raise_if_stopped()
        ended = [(each, each.future) for each in waiting if each.future is not None and each.future.done()]
        errors = [error for _, future in ended if (error := future.exception()) is not None]
        # Records with equal inputs share one result, under different ids.
        finished = [
            (each, replace(future.result(), id=each.record.id)) for each, future in ended if future.exception() is None
        ]
        if self._journal is not None:
            # A record that the engine could not answer is left out, so that --resume asks again.
            self._journal.append((each.record.number, done.to_json()) for each, done in finished if _is_settled(done))
        for error in errors:
            raise error
        for each, done in finished:
            self._raise_if_hopeless(done)
            each.done = done
            self._cache(each, done)

    def _raise_if_stopped(self) -> None:
        if self._stop is not None and self._stop.is_set():
            raise StoppedError("The run was stopped.")

    def _run_record(self, record: Record) -> TaskResult:
        generator = self._generator()
        # A throttling engine asks batch clients to pause between records.
        time.sleep(getattr(generator, "pause_s", 0.0))
        return run_task(
            self._task,
            record.raw,
            generator=generator,
            record_id=record.id,
            context=self._context,
            seed=self._seed,
            timeout_s=self._timeout_s,
        )

    def _generator(self) -> Generator | None:
        if not hasattr(self._local, "generator"):
            self._local.generator = self._connect()
            if self._local.generator is not None:
                self._generators.append(self._local.generator)
        found: Generator | None = self._local.generator
        return found

    def _raise_if_hopeless(self, result: TaskResult) -> None:
        """Raise the cause of ``result`` when the records after it would fail in the same way."""
        cause = result.cause
        if cause is None and self._no_model is not None and result.status not in {"ok", "invalid_input"}:
            cause = self._no_model
        self._engine_failures = self._engine_failures + 1 if isinstance(cause, EngineError) else 0
        # Without any installed model the rules may suffice. A subclass of NoModelError means that the model which the
        # user chose is missing: that is always an error.
        lacks_model = isinstance(cause, NoModelError) and (result.status != "ok" or type(cause) is not NoModelError)
        if isinstance(cause, StateError) or lacks_model or self._engine_failures >= MAX_ENGINE_FAILURES:
            assert cause is not None  # noqa: S101 - each of the three has one
            raise cause

    def _cache(self, pending: _PendingRecord, done: TaskResult) -> None:
        """Put an answer of the model into the answer cache."""
        if pending.key is not None:
            self._in_flight.pop(pending.key, None)
        if done.model_sha256 is not None:
            self._model_sha256 = done.model_sha256
        if self._answers is None or done.status != "ok" or done.model_sha256 is None or "model_s" not in done.timing:
            return
        if not done.is_repeatable:
            return  # with more time the next run may give a longer answer
        if done.timing["model_s"] > 0:
            self._answers.put(self._key(pending.sha256, done.model_sha256), done.to_json())

    def _key(self, sha256: str, model_sha256: str) -> bytes:
        return answer_key(
            model=model_sha256,
            task=self._task.name,
            version=self._task.version,
            input=sha256,
            language=self._context.language,
            seed=self._seed,
            variant=self._variant,
        )

    def _from_journal(self, journal: BatchJournal, pending: _PendingRecord) -> TaskResult:
        done = result_from_json(journal.read_entry(pending.record.number))
        if done.input_sha256 != pending.sha256:
            raise InvalidInputError(
                f"Record {pending.record.id} differs from the one in {journal.path.name}: the input changed.",
                hint=f"Remove {journal.path} to start again.",
            )
        return done

    def _close(self) -> None:
        for generator in self._generators:
            # Interrupt first: a running answer would take a closed connection for an engine crash, and ask again.
            for end in (getattr(generator, "interrupt", None), getattr(generator, "close", None)):
                if end is not None:
                    with contextlib.suppress(OSError, EdgechatError):
                        end()


def result_from_json(record: Mapping[str, Any]) -> TaskResult:
    """The inverse of :meth:`TaskResult.to_json`."""
    known = {each.name for each in fields(TaskResult)}
    values = {name: value for name, value in record.items() if name in known}
    values["errors"] = tuple(Problem(**problem) for problem in values["errors"])
    return TaskResult(**values)


def _is_settled(done: TaskResult) -> bool:
    """False when the cause lies outside the record, so that a later run may succeed."""
    return not isinstance(done.cause, (EngineError, NoModelError, StateError))
