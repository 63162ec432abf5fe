"""Runs one record through a task: validate it, run the rules, ask the model, check the answer, build the result.

:class:`TaskRun` does no input or output and never blocks, so a scheduler may hold hundreds of them.
:func:`run_in_stages` drives one with a generator; :func:`run_task` returns its final result.
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
from edgechat.tasks.contract import Ask, Context, GeneratedJson, Generator, In, Out, Outcome, Steps, Task
from edgechat.tasks.result import Problem, Status, TaskResult, timestamp

_SHOWN_VALUE = 60
"""Characters of a refused value that its error message quotes."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The two clocks; tests replace them."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


SYSTEM_CLOCK = Clock()


class TaskRun(Generic[In, Out]):
    """The state of one record that runs through one task.

    Args:
        task: the task; all records of a live stream need the same instance.
        raw: the record as read; its ``id`` is removed unless the task's input has that field.
        record_id: the id of the result when the record has none.
        context: the conditions of the record.
        seed: the sampling seed for the model.
        clock: replaces the system clocks.
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
        self._question_s = 0.0
        self._answer: GeneratedJson | None = None
        self._cause: EdgechatError | None = None
        self._is_repeatable = True
        self._steps: Steps[Out] | None = None
        self._outcome: Outcome[Out] = Outcome(None, "failed")
        self.ask: Ask[Out] | None = None
        """The open question, to be answered with :meth:`receive`; None at the end."""
        payload, self._id = split_id(raw, task, record_id)
        self._sha256 = input_sha256(payload)
        try:
            record = payload if isinstance(payload, task.input_model) else task.input_model.model_validate(payload)
        except ValidationError as error:
            self._outcome = Outcome(None, "invalid_input", _problems(error))
            return
        self._steps = task.steps(record, context or Context())
        self._advance(next)

    def receive(self, answer: GeneratedJson, cause: EdgechatError | None = None) -> None:
        """Answer :attr:`ask`; ``cause`` is the error when there is no answer."""
        if self.ask is None:
            raise EdgechatError("TaskRun.receive was called without an open question.")
        self._model_s += self._clock.monotonic() - self._question_s
        if cause is not None:
            self._cause = cause
        self._is_repeatable &= answer.finish_reason in {"stop", "length"}
        if answer.model is not None:
            self._answer = answer
        self._advance(lambda steps: steps.send(answer))

    def result(self) -> TaskResult:
        """The result so far; final once :attr:`ask` is None."""
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
                "rules_s": total_s - self._model_s if self.ask is None else self._question_s - self._began_s,
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

    def _advance(self, resume: Callable[[Steps[Out]], Ask[Out]]) -> None:
        assert self._steps is not None  # noqa: S101 - set before the first call
        try:
            self.ask = resume(self._steps)
            self._question_s = self._clock.monotonic()
        except StopIteration as end:
            self.ask = None
            self._outcome = end.value


def run_in_stages(
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
    """Yield the result of the rules before each question to the model, and at the end the final result.

    The arguments are those of :class:`TaskRun`; ``timeout_s`` None gives a live record the task's own time limit.
    """
    if timeout_s is None and context is not None and context.live:
        timeout_s = task.timeout_s
    began_s = clock.monotonic()
    run = TaskRun(task, raw, record_id=record_id, context=context, seed=seed, clock=clock)
    while run.ask is not None:
        yield run.result()
        left_s = None if timeout_s is None else timeout_s - (clock.monotonic() - began_s)
        run.receive(*generate_answer(run.ask, generator, timeout_s=left_s, seed=seed))
    yield run.result()


def run_task(
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
    """The final result of one record; arguments as in :func:`run_in_stages`."""
    *_, last = run_in_stages(
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
    """The validation errors of a record; empty when it can run. Runs no rule and asks no model."""
    payload, _ = split_id(raw, task, 1)
    try:
        task.input_model.model_validate(payload)
    except ValidationError as error:
        return _problems(error)
    return ()


def empty_result(
    task: Task[In, Out], status: Status, message: str, *, record_id: str | int, input_sha256: str = ""
) -> TaskResult:
    """The result of a record that no rule and no model has seen; ``message`` says why."""
    return TaskResult(
        id=record_id,
        task=task.name,
        task_version=task.version,
        status=status,
        result=None,
        errors=(Problem("", message),),
        input_sha256=input_sha256,
        created_at=timestamp(time.time()),
    )


def input_sha256(payload: object) -> str:
    """SHA-256 of an input as canonical JSON. A value that JSON cannot hold is hashed by its Python ``repr``."""
    if isinstance(payload, BaseModel):
        payload = payload.model_dump(mode="json")
    try:
        text = json.dumps(payload, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        text = _representation(payload)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def generate_answer(
    ask: Ask[Out], generator: Generator | None, *, timeout_s: float | None, seed: int | None = None
) -> tuple[GeneratedJson, EdgechatError | None]:
    """The answer of ``generator`` to ``ask``, and the error when it raised one. None as generator: no model."""
    if generator is None:
        return GeneratedJson(finish_reason="no_model", error="There is no model to ask."), None
    if timeout_s is not None and timeout_s <= 0:
        return GeneratedJson(
            finish_reason="timeout", error="The time allowed ran out before the model was asked."
        ), None
    try:
        return generator.generate(ask, timeout_s=timeout_s, seed=seed), None
    except EdgechatError as error:
        # The result keeps the rules' part when the engine fails; the caller finds the error in `cause`.
        return GeneratedJson(finish_reason="failed", error=str(error)), error


def split_id(raw: object, task: Task[In, Out], default: str | int) -> tuple[object, str | int]:
    """A record without its ``id``, and that id; ``default`` when there is none or the task has its own ``id`` field."""
    if not isinstance(raw, Mapping) or "id" in task.input_model.model_fields:
        return raw, default
    return {name: value for name, value in raw.items() if name != "id"}, id_of(raw.get("id"), default)


def id_of(value: object, default: str | int) -> str | int:
    """``value`` when it may be an id (a string or an integer), else ``default``."""
    return value if isinstance(value, (str, int)) and not isinstance(value, bool) else default


def _problems(error: ValidationError) -> tuple[Problem, ...]:
    """Pydantic's errors with JSON Pointers, readable messages, and the refused values."""
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
