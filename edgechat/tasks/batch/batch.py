"""Runs a task over many records: several at once, results in the order of the input, memory for a few.

Finished records go to the journal first and are handed out when the disk has them. Equal inputs are answered once.
Knows no file format and no terminal; the engine is whatever generator it is given.
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
from edgechat.tasks.batch.records import own_id, payload
from edgechat.tasks.contract import Context, Problem
from edgechat.tasks.result import TaskResult, timestamp
from edgechat.tasks.runner import input_sha256, perform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from edgechat.tasks.batch.answer_cache import Answers
    from edgechat.tasks.batch.journal import Journal
    from edgechat.tasks.batch.records import Record
    from edgechat.tasks.contract import Generator, Task

WINDOW = 64
"""Records read ahead at least: so many small ones share one sync of the journal."""
MAX_ENGINE_FAILURES = 3
"""Records in a row that an engine may die over before the run stops: it is not the records then."""
_LOOKS_EVERY_S = 0.1


class StoppedError(EdgechatError):
    """Whoever had started the run stopped it; the journal has what was done."""


@dataclass(slots=True)
class _Slot:
    record: Record
    sha256: str
    key: bytes | None = None
    """Under which the answer is kept; None where it is not."""
    future: Future[TaskResult] | None = None
    done: TaskResult | None = None
    """Set when it is safe to hand out."""


@dataclass(slots=True)
class Tally:
    """What became of the records."""

    by_status: dict[str, int] = field(default_factory=dict)
    resumed: int = 0
    """Taken from the journal."""
    repeated: int = 0
    """Equal to an earlier input, and not asked again."""
    answered: int = 0
    """Those that a model has said something about, in this run."""

    @property
    def total(self) -> int:
        """Records handed out."""
        return sum(self.by_status.values())

    @property
    def not_ok(self) -> int:
        """Records with any other status than ``ok``."""
        return self.total - self.by_status.get("ok", 0)


class Batch:
    """One run over many records.

    Args:
        task: shared by all threads; its records are not live, so it remembers nothing between them.
        connect: makes a generator; called once in each thread that works. Returning None lets rules speak alone.
        context: what surrounds every record.
        seed: what the model is asked to sample with.
        timeout_s: seconds for each record.
        parallel: records worked on at once.
        journal: where finished records go before they are handed out.
        answers: where answers are kept from run to run; None asks for every record.
        model_sha256: the model that will answer, as far as it is known before it has.
        variant: what else an answer depends on (the model's own prompts, say).
        no_model: why ``connect`` returns None; raised where rules alone have nothing to say.
        stop: set by another thread to end the run; what was being answered is cut off.
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
        journal: Journal | None = None,
        answers: Answers | None = None,
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
        self._pending: deque[_Slot] = deque()
        self._asked: dict[bytes, Future[TaskResult]] = {}
        self._local = threading.local()
        self._generators: list[Generator] = []
        self._engine_failures = 0
        self.tally = Tally()

    def run(self, records: Iterator[Record]) -> Iterator[tuple[Record, TaskResult]]:
        """Every record with its final result, in the order of the input.

        Raises:
            NoModelError: there is no model, and rules alone have nothing to say.
            EngineError: the engine died over :data:`MAX_ENGINE_FAILURES` records in a row.
            StateError: the journal cannot be written.
            InvalidInputError: the input is not what the journal was written for.
            StoppedError: ``stop`` was set.
        """
        pool = ThreadPoolExecutor(self._parallel, thread_name_prefix="record")
        try:
            is_more = True
            while is_more or self._pending:
                self._end_if_stopped()
                while is_more and len(self._pending) < self._window:
                    record = next(records, None)
                    if record is None:
                        is_more = False
                    else:
                        self._pending.append(self._slot(record, pool))
                self._settle()
                while self._pending and (done := self._pending[0].done) is not None:
                    slot = self._pending.popleft()
                    record = slot.record
                    if slot.future is not None and done.model is not None and done.timing.get("model_s"):
                        self.tally.answered += 1
                    self.tally.by_status[done.status] = self.tally.by_status.get(done.status, 0) + 1
                    yield record, done
            pool.shutdown()
        finally:
            # Interrupted: what runs is cut off by hanging up, and the journal has the rest.
            pool.shutdown(wait=False, cancel_futures=True)
            self._close()

    def _slot(self, record: Record, pool: ThreadPoolExecutor) -> _Slot:
        body = payload(record, self._task)
        slot = _Slot(record, input_sha256(body))
        if self._journal is not None and record.number in self._journal:
            slot.done = self._from_journal(self._journal, slot)
            self.tally.resumed += 1
            return slot
        if record.fault:
            slot.future = Future()
            slot.future.set_result(self._refused(slot))
            return slot
        if self._answers is not None and self._model_sha256 is not None:
            slot.key = self._key(slot.sha256, self._model_sha256)
            began = time.monotonic()
            if (known := self._answers.get(slot.key)) is not None:
                slot.future = Future()
                slot.future.set_result(self._relabelled(restored(known), slot, time.monotonic() - began))
                self.tally.repeated += 1
                return slot
            if (asked := self._asked.get(slot.key)) is not None:
                slot.future = asked
                self.tally.repeated += 1
                return slot
        slot.future = pool.submit(self._perform, record)
        if slot.key is not None:
            self._asked[slot.key] = slot.future
        return slot

    def _settle(self) -> None:
        """Wait until something more has finished, and make it durable."""
        waiting = [slot for slot in self._pending if slot.done is None]
        if not waiting:
            return
        futures = {slot.future for slot in waiting if slot.future is not None}
        while not wait(futures, None if self._stop is None else _LOOKS_EVERY_S, FIRST_COMPLETED).done:
            self._end_if_stopped()
        ended = [(slot, slot.future) for slot in waiting if slot.future is not None and slot.future.done()]
        broken = [error for _, future in ended if (error := future.exception()) is not None]
        fresh = [(slot, self._labelled(future.result(), slot)) for slot, future in ended if future.exception() is None]
        if self._journal is not None:
            # What the engine could not answer is not done: --resume asks again. What others answered meanwhile is.
            self._journal.append((slot.record.number, done.to_json()) for slot, done in fresh if _is_settled(done))
        for error in broken:
            raise error
        for slot, done in fresh:
            self._stop_if_hopeless(done)
            slot.done = done
            self._keep(slot, done)

    def _end_if_stopped(self) -> None:
        if self._stop is not None and self._stop.is_set():
            raise StoppedError("The run was stopped.")

    def _perform(self, record: Record) -> TaskResult:
        generator = self._generator()
        # The engine spares the board: it says how long a batch, for which nobody waits, lets it rest between records.
        time.sleep(getattr(generator, "pause_s", 0.0))
        return perform(
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

    def _stop_if_hopeless(self, result: TaskResult) -> None:
        cause = result.cause
        if cause is None and self._no_model is not None and result.status not in {"ok", "invalid_input"}:
            cause = self._no_model
        self._engine_failures = self._engine_failures + 1 if isinstance(cause, EngineError) else 0
        # What nobody has may be done without where rules have enough to say; what somebody chose may not.
        is_mute = isinstance(cause, NoModelError) and (result.status != "ok" or type(cause) is not NoModelError)
        if isinstance(cause, StateError) or is_mute or self._engine_failures >= MAX_ENGINE_FAILURES:
            assert cause is not None  # noqa: S101 - each of the three has one
            raise cause

    def _keep(self, slot: _Slot, done: TaskResult) -> None:
        if slot.key is not None:
            self._asked.pop(slot.key, None)
        if done.model_sha256 is not None:
            self._model_sha256 = done.model_sha256
        if self._answers is None or done.status != "ok" or done.model_sha256 is None or "model_s" not in done.timing:
            return
        if not done.is_repeatable:
            return  # with more time the next run will say more
        if done.timing["model_s"] > 0:
            self._answers.put(self._key(slot.sha256, done.model_sha256), done.to_json())

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

    def _labelled(self, result: TaskResult, slot: _Slot) -> TaskResult:
        """The result under this record's id: several records may share one answer."""
        own = own_id(slot.record)
        return result if result.id == own else replace(result, id=own)

    def _relabelled(self, result: TaskResult, slot: _Slot, took_s: float) -> TaskResult:
        """An answer from an earlier run: when and by whom it was made stays, the time is this run's."""
        return replace(
            result, id=own_id(slot.record), timing={"rules_s": 0.0, "model_s": 0.0, "total_s": took_s}, cause=None
        )

    def _refused(self, slot: _Slot) -> TaskResult:
        return TaskResult(
            id=slot.record.id,
            task=self._task.name,
            task_version=self._task.version,
            status="invalid_input",
            result=None,
            errors=(Problem("", slot.record.fault),),
            input_sha256=slot.sha256,
            created_at=timestamp(time.time()),
        )

    def _from_journal(self, journal: Journal, slot: _Slot) -> TaskResult:
        done = restored(journal.take(slot.record.number))
        if done.input_sha256 != slot.sha256:
            raise InvalidInputError(
                f"Record {slot.record.id} is not the one that {journal.path.name} was written for: the input changed.",
                hint=f"Remove {journal.path} to start anew.",
            )
        return done

    def _close(self) -> None:
        for generator in self._generators:
            # Closing alone would let what is still being answered take the loss for the engine's death, and ask again.
            for end in (getattr(generator, "interrupt", None), getattr(generator, "close", None)):
                if end is not None:
                    with contextlib.suppress(OSError, EdgechatError):
                        end()


def restored(record: Mapping[str, Any]) -> TaskResult:
    """The result that :meth:`TaskResult.to_json` made this from."""
    known = {each.name for each in fields(TaskResult)}
    values = {name: value for name, value in record.items() if name in known}
    values["errors"] = tuple(Problem(**problem) for problem in values["errors"])
    return TaskResult(**values)


def _is_settled(done: TaskResult) -> bool:
    return not isinstance(done.cause, (EngineError, NoModelError, StateError))
