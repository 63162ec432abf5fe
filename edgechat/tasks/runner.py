"""Takes one record through a task: validate, run the rules, ask, check, and fill in the record of what happened.

:class:`Performance` does no input or output and waits for nobody, so a scheduler may hold hundreds of them;
:func:`stages` drives one with a generator, and :func:`perform` folds that into the final result.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic

from pydantic import BaseModel, ValidationError

from edgechat.errors import EdgechatError
from edgechat.tasks.contract import Ask, Context, GeneratedJson, Generator, In, Out, Outcome, Problem, Steps, Task
from edgechat.tasks.result import TaskResult, timestamp

_SHOWN_VALUE = 60
"""Characters of a refused value that an error repeats."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Where time comes from."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


SYSTEM_CLOCK = Clock()


class Performance(Generic[In, Out]):
    """One record on its way through one task.

    Args:
        task: the task; live records need the same instance from first to last.
        raw: the record as it came; its ``id`` is taken off unless the task's input has one.
        record_id: used where the record has no id of its own.
        context: what surrounds the record.
        seed: what the model is asked to sample with.
        clock: where time comes from.
    """

    def __init__(
        self,
        task: Task[In, Out],
        raw: object,
        *,
        record_id: str | int = 1,
        context: Context | None = None,
        seed: int | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._task, self._seed, self._clock = task, seed, clock
        self._began_s = clock.monotonic()
        self._model_s = 0.0
        self._asked_s = 0.0
        self._answer: GeneratedJson | None = None
        self._cause: EdgechatError | None = None
        self._is_repeatable = True
        self._steps: Steps[Out] | None = None
        self._outcome: Outcome[Out] = Outcome(None, "failed")
        self.ask: Ask[Out] | None = None
        """The question that waits for :meth:`receive`; None at the end."""
        payload, self._id = _without_id(raw, task, record_id)
        self._sha256 = input_sha256(payload)
        try:
            record = payload if isinstance(payload, task.input_model) else task.input_model.model_validate(payload)
        except ValidationError as error:
            self._outcome = Outcome(None, "invalid_input", _problems(error))
            return
        self._steps = task.steps(record, context or Context())
        self._advance(next)

    def receive(self, answer: GeneratedJson, cause: EdgechatError | None = None) -> None:
        """Hand over the answer to :attr:`ask`; ``cause`` is the error when there is none."""
        if self.ask is None:
            raise EdgechatError("An answer arrived that no task had asked for.")
        self._model_s += self._clock.monotonic() - self._asked_s
        if cause is not None:
            self._cause = cause
        self._is_repeatable &= answer.finish_reason in {"stop", "length"}
        if answer.model is not None:
            self._answer = answer
        self._advance(lambda steps: steps.send(answer))

    def result(self) -> TaskResult:
        """The record as it stands: final once :attr:`ask` is None."""
        outcome = self._outcome if self.ask is None else self.ask.so_far
        total_s = self._clock.monotonic() - self._began_s
        answer = self._answer
        return TaskResult(
            id=self._id,
            task=self._task.name,
            task_version=self._task.version,
            status=outcome.status,
            result=None if outcome.result is None else outcome.result.model_dump(mode="json"),
            errors=outcome.problems,
            timing={
                **(answer.timing if answer else {}),
                "rules_s": total_s - self._model_s if self.ask is None else self._asked_s - self._began_s,
                "model_s": self._model_s,
                "total_s": total_s,
            },
            model=answer.model if answer else None,
            quant=answer.quant if answer else None,
            model_sha256=answer.model_sha256 if answer else None,
            seed=answer.seed if answer and answer.seed is not None else self._seed,
            input_sha256=self._sha256,
            created_at=timestamp(self._clock.wall()),
            is_final=self.ask is None,
            cause=self._cause,
            is_repeatable=self._is_repeatable,
        )

    def _advance(self, move: Callable[[Steps[Out]], Ask[Out]]) -> None:
        assert self._steps is not None  # noqa: S101 - set before the first move
        try:
            self.ask = move(self._steps)
            self._asked_s = self._clock.monotonic()
        except StopIteration as end:
            self.ask = None
            self._outcome = end.value


def stages(
    task: Task[In, Out],
    raw: object,
    *,
    generator: Generator | None,
    record_id: str | int = 1,
    context: Context | None = None,
    seed: int | None = None,
    timeout_s: float | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Iterator[TaskResult]:
    """Yield what rules alone can say as soon as they have said it, and last the final result.

    Args:
        task: the task.
        raw: the record as it came.
        generator: the model; None when there is none, and then rules speak alone.
        record_id: used where the record has no id of its own.
        context: what surrounds the record.
        seed: what the model is asked to sample with.
        timeout_s: seconds for the whole record. A live record without it gets the task's own budget.
        clock: where time comes from.
    """
    if timeout_s is None and context is not None and context.live:
        timeout_s = task.budget_s
    began_s = clock.monotonic()
    run = Performance(task, raw, record_id=record_id, context=context, seed=seed, clock=clock)
    while run.ask is not None:
        yield run.result()
        left_s = None if timeout_s is None else timeout_s - (clock.monotonic() - began_s)
        run.receive(*_answer(run.ask, generator, left_s, seed))
    yield run.result()


def perform(
    task: Task[In, Out],
    raw: object,
    *,
    generator: Generator | None,
    record_id: str | int = 1,
    context: Context | None = None,
    seed: int | None = None,
    timeout_s: float | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> TaskResult:
    """The final result of one record; arguments as in :func:`stages`."""
    *_, last = stages(
        task,
        raw,
        generator=generator,
        record_id=record_id,
        context=context,
        seed=seed,
        timeout_s=timeout_s,
        clock=clock,
    )
    return last


def problems(task: Task[In, Out], raw: object) -> tuple[Problem, ...]:
    """What is wrong with a record; empty when it can be run. Runs no rule and asks no model."""
    payload, _ = _without_id(raw, task, 1)
    try:
        task.input_model.model_validate(payload)
    except ValidationError as error:
        return _problems(error)
    return ()


def stale(task: Task[In, Out], *, record_id: str | int, silent_s: float, clock: Clock = SYSTEM_CLOCK) -> TaskResult:
    """What a live stream says while its input is silent: no result at all, for silence must not look safe."""
    problem = Problem("", f"No input for {silent_s:.1f} s: what was said before no longer holds.")
    return TaskResult(
        id=record_id,
        task=task.name,
        task_version=task.version,
        status="stale",
        result=None,
        errors=(problem,),
        created_at=timestamp(clock.wall()),
    )


def input_sha256(payload: object) -> str:
    """SHA-256 of an input as canonical JSON. What JSON cannot hold is hashed by its Python representation."""
    if isinstance(payload, BaseModel):
        payload = payload.model_dump(mode="json")
    try:
        text = json.dumps(payload, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        text = _representation(payload)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _answer(
    ask: Ask[Out], generator: Generator | None, left_s: float | None, seed: int | None
) -> tuple[GeneratedJson, EdgechatError | None]:
    if generator is None:
        return GeneratedJson(finish_reason="no_model", error="There is no model to ask."), None
    if left_s is not None and left_s <= 0:
        return GeneratedJson(
            finish_reason="timeout", error="The time allowed ran out before the model was asked."
        ), None
    try:
        # Images are passed only where there are some, so that a generator without sight need not know the word.
        sight = {"images": ask.images} if ask.images else {}
        answer = generator.generate(
            ask.messages, schema=ask.schema, max_tokens=ask.max_tokens, timeout_s=left_s, seed=seed, **sight
        )
    except EdgechatError as error:
        # The rules' part of the result outlives the engine; the caller finds the error in `cause`.
        return GeneratedJson(finish_reason="failed", error=str(error)), error
    return answer, None


def _without_id(raw: object, task: Task[In, Out], default: str | int) -> tuple[object, str | int]:
    if not isinstance(raw, Mapping) or "id" in task.input_model.model_fields:
        return raw, default
    payload = dict(raw)
    own = payload.pop("id", None)
    return payload, own if isinstance(own, (str, int)) and not isinstance(own, bool) else default


def _problems(error: ValidationError) -> tuple[Problem, ...]:
    """What pydantic found, with JSON Pointers, the words a person needs, and the value that was refused."""
    found = []
    for detail in error.errors(include_url=False, include_context=True):
        kind, place = detail["type"], tuple(detail["loc"])
        path = "".join(f"/{_pointer(step)}" for step in place)
        name = str(place[-1]) if place else "the record"
        if kind == "missing":
            message = f"{name} is missing."
        elif kind == "extra_forbidden":
            message = f"{name} is not a field of this task."
        elif kind == "value_error":
            message = str(detail["ctx"]["error"])
        else:
            message = f"{name}: {detail['msg']}; got {_shown(detail['input'])}."
        found.append(Problem(path, message))
    return tuple(found)


def _pointer(step: Any) -> str:  # noqa: ANN401 - a key or an index
    return str(step).replace("~", "~0").replace("/", "~1")


def _shown(value: object) -> str:
    text = _representation(value)
    return text if len(text) <= _SHOWN_VALUE else f"{text[:_SHOWN_VALUE]}…"


def _representation(value: object) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError):  # an integer of more digits than Python prints, lists a thousand deep
        return f"a {type(value).__name__}"
