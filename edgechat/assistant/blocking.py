"""The assistant whose calls block until the answer is complete. Safe to use from several threads.

A timeout covers the whole call, including the wait for a free slot; when it passes, the engine's slot is freed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from edgechat import config as settings
from edgechat.assistant.answer import Answer, collect_answer
from edgechat.assistant.slots import Slots
from edgechat.assistant.tools import parse_calls, tool_constraint
from edgechat.engine.protocol.events import Embedded
from edgechat.engine.protocol.request import Message, Request, Wish
from edgechat.engine.protocol.vector import shortened, unpack
from edgechat.errors import AnswerError, EngineError, NoModelError, UsageError
from edgechat.paths import Paths
from edgechat.tasks.generator import EngineGenerator

if TYPE_CHECKING:
    from collections.abc import Generator as Coroutine
    from collections.abc import Mapping, Sequence

    from pydantic import BaseModel
    from typing_extensions import Self, Unpack

    from edgechat.assistant.options import AskOptions, JsonOptions, Prompt
    from edgechat.assistant.tools import Tool, ToolCall
    from edgechat.engine.protocol.events import Event
    from edgechat.tasks.contract import Schema
    from edgechat.tasks.language import Language
    from edgechat.tasks.result import TaskResult

Model = TypeVar("Model", bound="BaseModel")

OnStart = Callable[[Callable[[], None]], None]
"""Called when a question gets its connection, with a function that interrupts the answer."""
PARALLEL = 4
"""Questions that an assistant asks at once; the engine decodes them in one batch as far as its memory allows."""


class Assistant:
    """Answers with a model on this machine. Use it as a context manager, or call :meth:`close`.

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
        """Create an assistant with the user's configuration. The engine starts with the first question.

        Args:
            model: a name, ``NAME:QUANT``, or the path of a GGUF file; None chooses as ``edgechat ask`` does.
            n_ctx: context in tokens; None leaves the choice to the plan.
            parallel: questions asked at once; others wait.
            keep_alive: how long the engine runs on after the last question (``30m``, ``0``, ``-1``).
            allow_step_down: when memory is short, use a model pinned by ``edgechat models use`` with a smaller context
                or KV type; otherwise questions then raise NoModelError.

        Raises:
            UsageError: the configuration or the duration is not valid.
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
        """Close the connections. Answers that other threads still wait for end with an error."""
        self._slots.close()

    def ask(self, prompt: Prompt, **options: Unpack[AskOptions]) -> Answer:
        """Ask a question and return the complete answer; options as in :meth:`stream`.

        Raises:
            UsageError: the prompt is empty.
            NoModelError: no model is installed, or none fits.
            InvalidInputError: the prompt does not fit, or an option is out of range.
            AnswerError: the answer was cut within a call of a tool.
            DeadlineError: ``timeout`` passed first.
            EngineError: the engine crashed twice on this question.
        """
        return collect_answer(self.stream(prompt, **options))

    def stream(
        self,
        prompt: Prompt,
        *,
        system: str | None = None,
        images: Sequence[str | Path] = (),
        max_tokens: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        stop: Sequence[str] = (),
        think: bool = False,
        timeout: float | None = None,
        priority: int = 0,
        overflow: str = "refuse",
        tools: Sequence[Tool] = (),
        tool_choice: str = "auto",
        on_start: OnStart | None = None,
    ) -> Coroutine[Event | ToolCall, None, None]:
        """Ask a question and yield the events of its answer. Closing the iterator cancels the answer.

        Args:
            prompt: the user's message, or a conversation.
            system: the system message.
            images: PNG or JPEG files that belong to the last message; needs a vision model.
            max_tokens: longest answer in tokens.
            temperature: 0 is greedy; None uses the model's default.
            seed: makes sampling repeatable.
            stop: texts that end the answer.
            think: let a model that can think do so before it answers.
            timeout: seconds for the whole call.
            priority: a higher one is asked first among this assistant's waiting questions.
            overflow: what happens when a conversation has outgrown the context: ``refuse`` raises
                ContextOverflowError, ``trim`` leaves the oldest messages out, ``summarize`` replaces them with a
                summary by the model. A :class:`~edgechat.engine.protocol.events.Trimmed` event says how many were
                left out; the next questions of this conversation leave out the same ones, until a quarter of the
                context has filled up again.
            tools: functions that the model may ask for; such a call comes as a
                :class:`~edgechat.assistant.tools.ToolCall` before the last event. Needs a model whose chat template
                knows tools.
            tool_choice: ``auto`` lets the model decide, ``required`` or the name of a tool makes the answer a call,
                ``none`` a text.
            on_start: called with a function that interrupts this answer from another thread.

        Raises:
            EdgechatError: as in :meth:`ask`; a timeout after the answer has started ends the events with a
                :class:`Done` whose ``finish_reason`` is ``timeout``.
        """
        request = Request(
            messages=_messages(prompt, system, images),
            sampling=_sampling(temperature, seed),
            max_tokens=max_tokens,
            stop=tuple(stop),
            think=think,
            overflow=overflow,
            constraint=tool_constraint(tools, tool_choice),
            tools=() if tool_choice == "none" else tuple(tool.for_template() for tool in tools),
        )
        events = self._events(request, timeout, priority, on_start)
        return parse_calls(events, tools) if request.tools else events

    @overload
    def generate(self, prompt: Prompt, *, schema: type[Model], **options: Unpack[JsonOptions]) -> Model: ...

    @overload
    def generate(self, prompt: Prompt, *, schema: Schema, **options: Unpack[JsonOptions]) -> Any: ...  # noqa: ANN401

    def generate(self, prompt: Prompt, *, schema: Schema | type[BaseModel], **options: Unpack[JsonOptions]) -> Any:
        """Generate JSON that satisfies ``schema``, or raise an error.

        Args:
            prompt: the user's message, or a conversation. The schema need not be described in it.
            schema: JSON Schema, or a pydantic model, whose instance is returned.
            options: ``system``, ``images``, ``max_tokens``, ``temperature``, ``seed``, ``timeout``, ``priority`` and
                ``on_start`` as in :meth:`stream`. Greedy unless a temperature is given.

        Raises:
            SchemaError: decoding cannot enforce the schema; nothing was generated.
            AnswerError: the answer was cut off by ``max_tokens`` (DeadlineError: by ``timeout``).
            EdgechatError: as in :meth:`ask`.
        """
        if not isinstance(schema, type):
            return _validated(self._json(prompt, schema, **options), schema)
        text = self._json(prompt, schema.model_json_schema(), **options)
        from pydantic import ValidationError  # noqa: PLC0415 - loaded already with the model class

        try:
            return schema.model_validate_json(text)
        except ValidationError as error:
            # Validators of the model class can check more than its JSON Schema.
            raise AnswerError(f"The answer fits the schema, but not {schema.__name__}: {error}.") from error

    def _json(
        self,
        prompt: Prompt,
        schema: Schema,
        *,
        system: str | None = None,
        images: Sequence[str | Path] = (),
        max_tokens: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        timeout: float | None = None,
        priority: int = 0,
        on_start: OnStart | None = None,
    ) -> str:
        request = Request(
            messages=_messages(prompt, system, images),
            sampling=_sampling(temperature, seed),
            max_tokens=max_tokens,
            constraint={"json_schema": schema},
        )
        answer = collect_answer(self._events(request, timeout, priority, on_start))
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
        """Embed texts: one vector of length 1 for each, in order. Needs an embedding model.

        Args:
            texts: one or several, each at most as long as the model's context.
            dimensions: keep only this many first values of each vector, scaled to length 1; for models trained for it.
            timeout: seconds for the whole call.
            priority: a higher one is asked first among this assistant's waiting questions.
            on_start: called with a function that interrupts the work from another thread.

        Raises:
            WrongModelError: the model is no embedding model.
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
        """Run a task over one record, as ``edgechat run`` does.

        An invalid record or an answer that was cut off is a result with that status, not an error.

        Args:
            task: the name of the task.
            record: the input.
            timeout: seconds for the whole call.
            priority: a higher one is asked first among this assistant's waiting questions.
            language: used when the record names none; None uses the locale's language.
            seed: saved with the result.
            on_start: called with a function that interrupts the answer from another thread.

        Raises:
            UsageError: there is no such task.
            NoModelError: no model is installed, and the task's rules alone give no result.
            DeadlineError: no slot became free before the timeout.
            EngineError: the engine crashed and could not be restarted.
        """
        until_s = None if timeout is None else time.monotonic() + timeout
        # pydantic and the task take 0.4 s, which :meth:`ask` does not need.
        from edgechat.tasks.contract import Context  # noqa: PLC0415
        from edgechat.tasks.language import locale_language  # noqa: PLC0415
        from edgechat.tasks.registry import load  # noqa: PLC0415
        from edgechat.tasks.runner import run_task  # noqa: PLC0415

        loaded = load(task)
        with self._slots.acquire(priority, until_s) as generator:
            if on_start is not None:
                on_start(generator.interrupt)
            missing: NoModelError | None = None
            context = Context(language=language or locale_language())
            try:
                known = generator.identify(_remaining(until_s))
                context = known.context(context.language)
            except NoModelError as error:
                if type(error) is not NoModelError:
                    raise  # a model was named or pinned and is not installed
                missing = error
            done = run_task(
                loaded,
                record,
                generator=None if missing else generator,
                context=context,
                seed=seed,
                timeout_s=_remaining(until_s),
            )
            if done.status not in {"ok", "invalid_input"}:
                if missing is not None:
                    raise missing
                if isinstance(done.cause, (EngineError, NoModelError)):
                    raise done.cause
            elif isinstance(done.cause, NoModelError) and type(done.cause) is not NoModelError:
                raise done.cause  # a named or pinned model is missing: an error, although the rules gave a result
            return done

    def _events(
        self, request: Request, timeout: float | None, priority: int, on_start: OnStart | None
    ) -> Coroutine[Event, None, None]:
        until_s = None if timeout is None else time.monotonic() + timeout
        with self._slots.acquire(priority, until_s) as generator:
            if on_start is not None:
                on_start(generator.interrupt)
            yield from generator.events(replace(request, wish=self._wish, timeout_s=_remaining(until_s)))


def _messages(prompt: Prompt, system: str | None, images: Sequence[str | Path] = ()) -> tuple[Message, ...]:
    messages = (Message("user", prompt),) if isinstance(prompt, str) else tuple(prompt)
    if not messages or not (
        messages[-1].content.strip() or images or messages[-1].images or messages[-1].role == "tool"
    ):
        raise UsageError("There is no question.", hint="Pass a text that is not empty.")
    if images:
        from edgechat.engine.protocol.images import read  # noqa: PLC0415 - needed for images only

        messages = (*messages[:-1], replace(messages[-1], images=tuple(read(Path(image)) for image in images)))
    return (*((Message("system", system),) if system else ()), *messages)


def _sampling(temperature: float | None, seed: int | None) -> dict[str, float | int]:
    return {name: value for name, value in (("temperature", temperature), ("seed", seed)) if value is not None}


def _remaining(until_s: float | None) -> float | None:
    return None if until_s is None else max(until_s - time.monotonic(), 0.001)


def _validated(text: str, schema: Schema) -> Any:  # noqa: ANN401 - what the schema describes
    import jsonschema  # noqa: PLC0415 - 60 ms, needed only for JSON

    try:
        value = json.loads(text)
        jsonschema.validate(value, schema)
    except ValueError as error:
        raise AnswerError(f"The answer is not JSON: {error}.") from error
    except jsonschema.ValidationError as error:
        raise AnswerError(f"The answer does not satisfy the schema at {error.json_path}: {error.message}.") from error
    return value
