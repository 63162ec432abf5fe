"""The assistant whose calls return when the answer is there. Safe to use from several threads.

A deadline covers a call from first to last, waiting for a free slot included; when it passes, the engine has the slot
back.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar, overload

from edgechat import config as settings
from edgechat.assistant.slots import Slots
from edgechat.engine.protocol.events import Done, Embedded, Started, Text, Trimmed
from edgechat.engine.protocol.request import Message, Request, Wish
from edgechat.engine.protocol.vector import shortened, unpack
from edgechat.errors import AnswerError, DeadlineError, EngineError, NoModelError
from edgechat.paths import Paths
from edgechat.tasks.generator import EngineGenerator

if TYPE_CHECKING:
    from collections.abc import Generator as Coroutine
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic import BaseModel
    from typing_extensions import Self

    from edgechat.engine.protocol.events import Event
    from edgechat.tasks.contract import Schema
    from edgechat.tasks.language import Language
    from edgechat.tasks.result import TaskResult

Model = TypeVar("Model", bound="BaseModel")

OnStart = Callable[[Callable[[], None]], None]
"""Gets, when a question has its connection, what cuts the answer off."""
PARALLEL = 4
"""Questions an assistant asks at once; the engine decodes them together as far as its memory allows."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    text: str
    model: str
    quant: str
    finish_reason: str
    """``stop``, or ``length`` when it reached ``max_tokens``."""
    seed: int
    usage: Mapping[str, int] = field(default_factory=dict)
    """Tokens: ``prompt_tokens``, ``cached_tokens``, ``completion_tokens``, ``forced_tokens``, …"""
    timing: Mapping[str, float] = field(default_factory=dict)
    """Seconds and rates as the engine measured them."""
    unread_messages: int = 0
    """Earlier messages of the conversation that the model did not read, because they did not fit (``overflow``)."""
    summary: str = ""
    """What it read in their place."""

    def __str__(self) -> str:
        return self.text


class Assistant:
    """Answers with the model of this machine. Use it as a context manager, or call :meth:`close`.

    >>> with Assistant.open() as assistant:  # doctest: +SKIP
    ...     print(assistant.ask("Name one colour.", max_tokens=8))
    """

    def __init__(
        self, paths: Paths, wish: Wish, *, parallel: int = PARALLEL, keep_alive_s: float | None = None
    ) -> None:
        self._wish = wish
        self._slots = Slots(parallel, lambda: EngineGenerator(paths, wish, keep_alive_s=keep_alive_s))

    @classmethod
    def open(
        cls,
        model: str | None = None,
        *,
        n_ctx: int | None = None,
        parallel: int = PARALLEL,
        keep_alive: str | None = None,
        allow_step_down: bool = False,
    ) -> Self:
        """An assistant for the model of this user's machine. The engine starts with the first question.

        Args:
            model: a name, ``NAME:QUANT``, or the path of a GGUF file; None takes what ``edgechat ask`` would.
            n_ctx: context in tokens; None leaves it to the plan.
            parallel: questions asked at once; more wait.
            keep_alive: how long the engine stays afterwards (``30m``, ``0``, ``-1``).
            allow_step_down: let the context and KV type of a model fixed by ``edgechat models use`` give way when
                memory is short; otherwise questions then raise NoModelError.

        Raises:
            UsageError: the configuration or a duration cannot be understood.
            StateError: the configuration cannot be read.
        """
        paths = Paths.from_env(os.environ)
        config = settings.load(paths.config)
        return cls(
            paths,
            Wish.of(model or config.model, n_ctx or config.n_ctx, exact=not allow_step_down),
            parallel=parallel,
            keep_alive_s=None if keep_alive is None else settings.seconds(keep_alive),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up. Answers that other threads still wait for end with an error."""
        self._slots.close()

    def ask(self, prompt: str | Sequence[Message], **options: Any) -> Answer:  # noqa: ANN401 - stream's
        """One whole answer; options as in :meth:`stream`.

        Raises:
            NoModelError: there is no model, or none that fits.
            InvalidInputError: the prompt does not fit, or an option is out of range.
            DeadlineError: ``timeout`` passed first.
            EngineError: the engine died over this question twice.
        """
        return _folded(self.stream(prompt, **options))

    def stream(
        self,
        prompt: str | Sequence[Message],
        *,
        system: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        stop: Sequence[str] = (),
        think: bool = False,
        timeout: float | None = None,
        priority: int = 0,
        overflow: str = "refuse",
        on_start: OnStart | None = None,
    ) -> Coroutine[Event, None, None]:
        """One answer as it comes. Closing the iterator cancels it.

        Args:
            prompt: the user's message, or a conversation.
            system: what comes before it.
            max_tokens: longest answer.
            temperature: 0 is greedy; None is the model's own.
            seed: makes sampling repeatable.
            stop: texts that end the answer.
            think: let a model that can think do so.
            timeout: seconds for all of it.
            priority: higher goes first among this assistant's waiting questions.
            overflow: what happens when a conversation has outgrown the context: ``refuse`` raises
                ContextOverflowError, ``trim`` leaves its oldest messages out, ``summarize`` has the model sum them up
                first. A :class:`~edgechat.engine.protocol.events.Trimmed` says what was left out; it is the same
                for the next questions that continue this conversation, until a quarter of the context has filled up
                again.
            on_start: gets a function that cuts this answer off from another thread.

        Raises:
            EdgechatError: as in :meth:`ask`; a deadline that passes in mid-answer ends the events with a
                :class:`Done` whose ``finish_reason`` is ``timeout``.
        """
        request = Request(
            messages=_messages(prompt, system),
            sampling=_sampling(temperature, seed),
            max_tokens=max_tokens,
            stop=tuple(stop),
            think=think,
            overflow=overflow,
        )
        return self._events(request, timeout, priority, on_start)

    @overload
    def generate(self, prompt: str | Sequence[Message], *, schema: type[Model], **options: Any) -> Model: ...  # noqa: ANN401

    @overload
    def generate(self, prompt: str | Sequence[Message], *, schema: Schema, **options: Any) -> Any: ...  # noqa: ANN401

    def generate(self, prompt: str | Sequence[Message], *, schema: Schema | type[BaseModel], **options: Any) -> Any:
        """JSON that fits ``schema``, or an error; never something near it.

        Args:
            prompt: the user's message, or a conversation. The schema need not be described in it.
            schema: JSON Schema, or a pydantic model, whose instance is returned.
            options: ``system``, ``max_tokens``, ``temperature``, ``seed``, ``timeout``, ``priority`` and ``on_start``
                as in :meth:`stream`. Greedy unless a temperature is given.

        Raises:
            SchemaError: the schema asks for what decoding cannot enforce; nothing was generated.
            AnswerError: the answer was cut off by ``max_tokens`` (DeadlineError: by ``timeout``).
            EdgechatError: as in :meth:`ask`.
        """
        if not isinstance(schema, type):
            return _validated(self._json(prompt, schema, **options), schema)
        text = self._json(prompt, schema.model_json_schema(), **options)
        from pydantic import ValidationError  # noqa: PLC0415 - there already, since a model is

        try:
            return schema.model_validate_json(text)
        except ValidationError as error:
            # Validators of the model's own know more than its schema says.
            raise AnswerError(f"The answer fits the schema, but not {schema.__name__}: {error}.") from error

    def _json(
        self,
        prompt: str | Sequence[Message],
        schema: Schema,
        *,
        system: str | None = None,
        max_tokens: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        timeout: float | None = None,
        priority: int = 0,
        on_start: OnStart | None = None,
    ) -> str:
        request = Request(
            messages=_messages(prompt, system),
            sampling=_sampling(temperature, seed),
            max_tokens=max_tokens,
            constraint={"json_schema": schema},
        )
        answer = _folded(self._events(request, timeout, priority, on_start))
        if answer.finish_reason != "stop":
            raise AnswerError("The answer was cut before the JSON was complete.", hint="Allow a larger max_tokens.")
        return answer.text

    def embed(
        self,
        texts: str | Sequence[str],
        *,
        dimensions: int | None = None,
        timeout: float | None = None,
        priority: int = 0,
        on_start: OnStart | None = None,
    ) -> list[list[float]]:
        """The vectors of texts, in their order, each of length 1. The model must be an embedding model.

        Args:
            texts: one or several, each no longer than the model reads at once.
            dimensions: only so many of each vector's first values, at length 1 again; for models trained for it.
            timeout: seconds for all of it.
            priority: higher goes first among this assistant's waiting questions.
            on_start: gets a function that cuts the work off from another thread.

        Raises:
            WrongModelError: the model writes text and makes no vectors.
            ContextOverflowError: a text is too long.
            EdgechatError: as in :meth:`ask`.
        """
        request = Request((), texts=(texts,) if isinstance(texts, str) else tuple(texts))
        vectors: list[list[float]] = [[] for _ in request.texts]
        for event in self._events(request, timeout, priority, on_start):
            if isinstance(event, Embedded):
                vectors[event.index] = list(unpack(shortened(event.vector, dimensions)))
        if not all(vectors):
            raise EngineError("The engine ended without a vector for every text.")
        return vectors

    def run(
        self,
        task: str,
        record: Mapping[str, Any],
        *,
        timeout: float | None = None,
        priority: int = 0,
        language: Language | None = None,
        seed: int | None = None,
        on_start: OnStart | None = None,
    ) -> TaskResult:
        """One record through a task; the same as ``edgechat run`` does with it.

        A record that is not valid, or an answer that was cut off, is a result with that status, not an error.

        Args:
            task: its name.
            record: its input.
            timeout: seconds for all of it.
            priority: higher goes first among this assistant's waiting questions.
            language: used where the record names none; the locale's when None.
            seed: kept with the result.
            on_start: gets a function that cuts the answer off from another thread.

        Raises:
            UsageError: there is no such task.
            NoModelError: there is no model, and rules alone have nothing to say.
            DeadlineError: no slot became free in time.
            EngineError: the engine did not come back.
        """
        until_s = None if timeout is None else time.monotonic() + timeout
        # pydantic and the task: 0.4 s that asking need not pay.
        from edgechat.tasks.contract import Context  # noqa: PLC0415
        from edgechat.tasks.language import locale_language  # noqa: PLC0415
        from edgechat.tasks.registry import load  # noqa: PLC0415
        from edgechat.tasks.runner import run_task  # noqa: PLC0415

        loaded = load(task)
        with self._slots.taken(priority, until_s) as generator:
            if on_start is not None:
                on_start(generator.interrupt)
            missing: NoModelError | None = None
            context = Context(language=language or locale_language())
            try:
                known = generator.identify(_left(until_s))
                context = replace(context, vision=known.vision, prompts=known.prompts, parameters=known.parameters)
            except NoModelError as error:
                if type(error) is not NoModelError:
                    raise  # one was named or fixed, and is not there
                missing = error
            done = run_task(
                loaded,
                record,
                generator=None if missing else generator,
                context=context,
                seed=seed,
                timeout_s=_left(until_s),
            )
            if done.status not in {"ok", "invalid_input"}:
                if missing is not None:
                    raise missing
                if isinstance(done.cause, (EngineError, NoModelError)):
                    raise done.cause
            elif isinstance(done.cause, NoModelError) and type(done.cause) is not NoModelError:
                raise done.cause  # what somebody chose is not done without, though rules had enough to say
            return done

    def _events(
        self, request: Request, timeout: float | None, priority: int, on_start: OnStart | None
    ) -> Coroutine[Event, None, None]:
        until_s = None if timeout is None else time.monotonic() + timeout
        with self._slots.taken(priority, until_s) as generator:
            if on_start is not None:
                on_start(generator.interrupt)
            yield from generator.events(replace(request, wish=self._wish, timeout_s=_left(until_s)))


def _messages(prompt: str | Sequence[Message], system: str | None) -> tuple[Message, ...]:
    turns = (Message("user", prompt),) if isinstance(prompt, str) else tuple(prompt)
    return (*((Message("system", system),) if system else ()), *turns)


def _sampling(temperature: float | None, seed: int | None) -> dict[str, float | int]:
    return {name: value for name, value in (("temperature", temperature), ("seed", seed)) if value is not None}


def _left(until_s: float | None) -> float | None:
    return None if until_s is None else max(until_s - time.monotonic(), 0.001)


def _folded(events: Iterator[Event]) -> Answer:
    text: list[str] = []
    started: Started | None = None
    trimmed: Trimmed | None = None
    for event in events:
        if isinstance(event, Text) and not event.is_thought:
            text.append(event.text)
        elif isinstance(event, Started):
            started = event
        elif isinstance(event, Trimmed):
            trimmed = event
        elif isinstance(event, Done):
            if event.finish_reason == "timeout":
                raise DeadlineError("The time allowed for the answer ran out.", hint="Allow a longer timeout.")
            return Answer(
                text="".join(text),
                model=started.model if started else "",
                quant=started.quant if started else "",
                finish_reason=event.finish_reason,
                seed=event.seed,
                usage=event.usage,
                timing=event.timing,
                unread_messages=trimmed.messages if trimmed else 0,
                summary=trimmed.summary if trimmed else "",
            )
    raise EngineError("The engine ended an answer without saying so.")


def _validated(text: str, schema: Schema) -> Any:  # noqa: ANN401 - what the schema describes
    import jsonschema  # noqa: PLC0415 - 60 ms that plain answers need not pay

    try:
        value = json.loads(text)
        jsonschema.validate(value, schema)
    except ValueError as error:
        raise AnswerError(f"The answer is not JSON: {error}.") from error
    except jsonschema.ValidationError as error:
        raise AnswerError(f"The answer does not satisfy the schema at {error.json_path}: {error.message}.") from error
    return value
