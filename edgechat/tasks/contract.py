"""The plugin contract: what a task is, what it asks of a model, and which answers it gets.

A task has an input model, an output model, rules that run before the model, prompts with the form of the answer (JSON
that fits a schema, or plain text), checks of the answer, and rendering. :meth:`Task.steps` is a generator that yields
questions and receives answers. The caller may therefore run one record at a time, decode many together, or feed fixed
answers in a test. This module uses no engine, no clock and no file.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Generator as Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeVar

from edgechat.engine.protocol.request import Message
from edgechat.errors import EdgechatError, UsageError
from edgechat.tasks.result import Problem, Status, TaskResult

if TYPE_CHECKING:
    from pydantic import BaseModel

    from edgechat.tasks.language import Language
    from edgechat.tasks.measured import Design

__all__ = [
    "Ask", "Context", "FinishReason", "GeneratedJson", "Generator", "In", "Message", "Out", "Outcome", "Problem",
    "Schema", "Side", "Status", "Steps", "Task", "TaskResult", "published_schema",
]  # fmt: skip

FinishReason = Literal["stop", "length", "timeout", "cancelled", "failed", "no_model"]
Schema = dict[str, Any]
Side = Literal["input", "output"]
"""Which of a task's two schemas."""

In = TypeVar("In", bound="BaseModel")
Out = TypeVar("Out", bound="BaseModel")
Out_co = TypeVar("Out_co", bound="BaseModel", covariant=True)


@dataclass(frozen=True, slots=True)
class GeneratedJson:
    """The answer to one question.

    There is a value only when ``finish_reason`` is ``"stop"``: an answer that was cut off need not fit its schema.
    """

    value: Any = None
    """The parsed answer, which fits the schema of the question, or the text where the question asks for text; None when
    there is none."""
    text: str = ""
    """The decoded text, also when it was cut off."""
    finish_reason: FinishReason = "stop"
    error: str = ""
    """Why there is no value, in one sentence."""
    model: str | None = None
    quant: str | None = None
    model_sha256: str | None = None
    seed: int | None = None
    timing: Mapping[str, float] = field(default_factory=dict)
    """Seconds and rates measured by the engine, under the engine's names."""


@dataclass(frozen=True, slots=True)
class Context:
    """The conditions under which one record runs."""

    language: Language = "en"
    """Used when the record names no language."""
    now_s: float = 0.0
    """Reading of a monotonic clock when the record arrived."""
    live: bool = False
    """True when the records are moments of one stream. Only then may a task keep state between records."""
    vision: bool = False
    """True when the model can read images."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """The prompts that the model was trained on, by job (``translate``), from the catalog."""
    design: Design = "large"
    """Which of its designs a task should use, by the size of the model; see :mod:`edgechat.tasks.measured`."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Out_co]):
    """The result of a record so far, or at its end."""

    result: Out_co | None
    status: Status = "ok"
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask(Generic[Out_co]):
    """One question to the model.

    The answer is JSON that fits ``schema``, or plain text when ``schema`` is None.

    Raises:
        EdgechatError: ``regex`` or ``stop`` is given beside a schema.
    """

    messages: tuple[Message, ...]
    schema: Schema | None
    max_tokens: int
    so_far: Outcome[Out_co]
    """The outcome from the rules alone, used when no answer comes. It can be shown at once."""
    images: tuple[str, ...] = ()
    regex: str = ""
    """For plain text: a regular expression that the whole answer matches; empty for none."""
    stop: tuple[str, ...] = ()
    """For plain text: the answer ends before the first of these strings."""

    def __post_init__(self) -> None:
        if self.schema is not None and (self.regex or self.stop):
            raise EdgechatError("A question asks for JSON by a schema or for plain text by regex and stop, not both.")


Steps = Coroutine[Ask[Out], GeneratedJson, Outcome[Out]]


class Generator(Protocol):
    """Answers questions with JSON or text: the client of the engine, or a script in a test."""

    def generate(self, ask: Ask[Any], *, timeout_s: float | None, seed: int | None) -> GeneratedJson:
        """Answer ``ask`` in the form that it asks for.

        When the deadline or the token limit is reached, return a :class:`GeneratedJson` without a value; do not raise.

        Raises:
            EdgechatError: the engine, the model or the schema does not allow an answer.
        """
        ...


class Task(ABC, Generic[In, Out]):
    """Base class of every task; an entry point in the group ``edgechat.tasks`` names the subclass.

    One instance serves one stream of records. Only records with :attr:`Context.live` may use or change state that the
    instance keeps between records; their steps start in the order of the stream.
    """

    name: ClassVar[str]
    """The name of the entry point."""
    version: ClassVar[str]
    """Raise it when a change of prompt, schemas or rules changes what a result means; every result carries it."""
    example: ClassVar[Mapping[str, Any]]
    """A valid input."""
    formats: ClassVar[tuple[str, ...]] = ("json",)
    """The formats of :meth:`render`."""
    incomplete_flags: ClassVar[frozenset[str]] = frozenset()
    """The ``flags`` of a result which say that a part of the input was left as it is; a run names their places."""
    timeout_s: ClassVar[float | None] = None
    """Seconds for a live record when the caller gives no timeout."""
    input_model: type[In]
    """Validates records. Names of measured fields end in their unit."""
    output_model: type[Out]
    """Every ``result`` fits its JSON Schema."""

    @abstractmethod
    def steps(self, record: In, context: Context) -> Steps[Out]:
        """Yield the questions, receive the answers, return the outcome.

        An answer may have no value (time-out, no model, cut off). The outcome must be complete even then.
        """

    def history(self, earlier: Iterable[Mapping[str, Any]] = ()) -> Callable[[TaskResult], TaskResult]:
        """A function that adds to a result what it has in common with earlier ones; called in input order.

        By default it returns each result unchanged. A result must not depend on later ones.
        """
        del earlier
        return lambda done: done

    def depends_on(self) -> str:
        """What results depend on besides the record and the model: answers of earlier runs are used only for the same.

        By default nothing.
        """
        return ""

    def render(self, done: TaskResult, fmt: str) -> str:
        """``done`` as text in one of :attr:`formats`.

        Raises:
            UsageError: this task does not have the format ``fmt``.
        """
        if fmt == "json":
            return json.dumps(done.to_json(), ensure_ascii=False, indent=2) + "\n"
        raise UsageError(
            f"Task {self.name} cannot be written as {fmt}.", hint=f"Its formats: {', '.join(self.formats)}."
        )


def published_schema(task: Task[Any, Any], side: Side) -> Schema:
    """JSON Schema (2020-12) of the input or the result of ``task``; its ``$id`` carries the task's version."""
    model = task.input_model if side == "input" else task.output_model
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:edgechat:task:{task.name}:{task.version}:{side}",
        **model.model_json_schema(mode="validation" if side == "input" else "serialization"),
    }
