"""The plugin contract: what a task is, what it asks of a model, and what it gets back.

A task is an input model, an output model, rules before, a prompt with its own schema, checks after, and rendering.
Its ``steps`` is a plain generator that yields questions and receives answers, so it can be driven by anything: one
record at a time, many decoded together, or a script of fixed answers. It knows no engine, no clock and no file.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Generator as Coroutine
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeVar

from edgechat.errors import UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from edgechat.engine.protocol.request import Message
    from edgechat.tasks.language import Language
    from edgechat.tasks.result import TaskResult

Status = Literal["ok", "invalid_input", "truncated", "failed", "stale"]
FinishReason = Literal["stop", "length", "timeout", "cancelled", "failed", "no_model"]
Schema = dict[str, Any]

In = TypeVar("In", bound="BaseModel")
Out = TypeVar("Out", bound="BaseModel")
Out_co = TypeVar("Out_co", bound="BaseModel", covariant=True)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a record or its answer."""

    path: str
    """JSON Pointer of the place (``/history/3/t_s``); ``""`` is the record itself."""
    message: str


@dataclass(frozen=True, slots=True)
class GeneratedJson:
    """What came back for one question.

    Anything but ``finish_reason == "stop"`` carries no value: a constraint does not survive truncation.
    """

    value: Any = None
    """The parsed answer, which fits the schema that was asked for; None when there is none."""
    text: str = ""
    """What was decoded, also when it was cut off."""
    finish_reason: FinishReason = "stop"
    error: str = ""
    """Why there is no value, in one sentence."""
    model: str | None = None
    quant: str | None = None
    model_sha256: str | None = None
    seed: int | None = None
    timing: Mapping[str, float] = field(default_factory=dict)
    """Seconds and rates that the engine measured, under its own names."""


class Generator(Protocol):
    """Whoever can turn messages and a schema into JSON: the engine's client, or a script in a test."""

    def generate(
        self,
        messages: Sequence[Message],
        *,
        schema: Schema,
        max_tokens: int,
        timeout_s: float | None,
        seed: int | None,
        images: Sequence[str] = (),
    ) -> GeneratedJson:
        """Answer ``messages`` with JSON that fits ``schema``.

        A deadline or token limit that is reached ends in a :class:`GeneratedJson` without a value, not in an error.

        Raises:
            EdgechatError: the engine, the model or the schema does not allow an answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What surrounds one record."""

    language: Language = "en"
    """Used where the record names none."""
    now_s: float = 0.0
    """A monotonic clock's reading when the record arrived."""
    live: bool = False
    """True when records are moments of one stream: only then may a task remember the ones before."""
    vision: bool = False
    """True when the model can look at images."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """What the model was trained to be asked, by job (``translate``), as the catalog has it."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Out_co]):
    """How a record ended, or stands."""

    result: Out_co | None
    status: Status = "ok"
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask(Generic[Out_co]):
    """One question to the model."""

    messages: tuple[Message, ...]
    schema: Schema
    max_tokens: int
    so_far: Outcome[Out_co]
    """The outcome if no answer ever comes: what rules alone could say. It can be shown at once."""
    images: tuple[str, ...] = ()


Steps = Coroutine[Ask[Out], GeneratedJson, Outcome[Out]]


class Task(ABC, Generic[In, Out]):
    """Base class of every task; an entry point in the group ``edgechat.tasks`` names the subclass.

    One instance serves one stream of records: what it remembers between them (a latch, a cool-down) is its own, and
    only :attr:`Context.live` records may use it. Steps of live records start in the order of the stream.
    """

    name: ClassVar[str]
    """The entry point's name."""
    version: ClassVar[str]
    """Raised whenever prompt, schemas or rules change what a result means; part of every result."""
    example: ClassVar[Mapping[str, Any]]
    """A valid input."""
    formats: ClassVar[tuple[str, ...]] = ("json",)
    """What :meth:`render` can write."""
    budget_s: ClassVar[float | None] = None
    """Seconds a live record may take unless the caller says otherwise."""
    input_model: type[In]
    """Validates records. Names of measured fields end in their unit."""
    output_model: type[Out]
    """Every ``result`` fits its JSON Schema."""

    @abstractmethod
    def steps(self, record: In, context: Context) -> Steps[Out]:
        """Yield what to ask, receive the answers, return the outcome.

        An answer may lack a value (time-out, no model, cut off): the outcome must then still be a whole one.
        """

    def render(self, done: TaskResult, fmt: str) -> str:
        """``done`` for people, in one of :attr:`formats`.

        Raises:
            UsageError: this task has no such format.
        """
        if fmt == "json":
            return json.dumps(done.to_json(), ensure_ascii=False, indent=2) + "\n"
        raise UsageError(
            f"Task {self.name} cannot be written as {fmt}.", hint=f"Its formats: {', '.join(self.formats)}."
        )
