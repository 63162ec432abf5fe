"""The assistant for asyncio programs: the same calls, awaited. Cancelling a call frees its slot in the engine.

Each call runs the blocking one in a thread pool.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from edgechat.assistant.blocking import PARALLEL, Assistant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from pydantic import BaseModel
    from typing_extensions import Self, Unpack

    from edgechat.assistant.answer import Answer
    from edgechat.assistant.options import AskOptions, EmbedOptions, JsonOptions, OpenOptions, Prompt, RunOptions
    from edgechat.assistant.tools import ToolCall
    from edgechat.engine.protocol.events import Event
    from edgechat.tasks.contract import Schema
    from edgechat.tasks.result import TaskResult

Model = TypeVar("Model", bound="BaseModel")
Result = TypeVar("Result")

_MAX_WAITING = 28
"""Calls that may wait for a slot beside those that run; each takes a thread."""


class AsyncAssistant:
    """:class:`Assistant` for event loops; arguments, results and errors are the same.

    >>> async with AsyncAssistant.open() as assistant:  # doctest: +SKIP
    ...     answer = await assistant.ask("Name one colour.", max_tokens=8)
    """

    def __init__(self, assistant: Assistant, *, parallel: int = PARALLEL) -> None:
        self._assistant = assistant
        self._threads = ThreadPoolExecutor(parallel + _MAX_WAITING, thread_name_prefix="assistant")

    @classmethod
    def open(cls, model: str | None = None, *, parallel: int = PARALLEL, **options: Unpack[OpenOptions]) -> Self:
        """See :meth:`Assistant.open`."""
        return cls(Assistant.open(model, parallel=parallel, **options), parallel=parallel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; calls that still wait end with an error."""
        self._assistant.close()
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)

    async def ask(self, prompt: Prompt, **options: Unpack[AskOptions]) -> Answer:
        """See :meth:`Assistant.ask`."""
        return await self._call(partial(self._assistant.ask, prompt, **options))

    async def stream(self, prompt: Prompt, **options: Unpack[AskOptions]) -> AsyncIterator[Event | ToolCall]:
        """See :meth:`Assistant.stream`. Closing the iterator cancels the answer."""
        interrupts: list[Callable[[], None]] = []
        own: AskOptions = {**options, "on_start": interrupts.append}
        events = self._assistant.stream(prompt, **own)
        loop = asyncio.get_running_loop()
        step = None
        try:
            while True:
                step = loop.run_in_executor(self._threads, next, events, None)
                event = await asyncio.shield(step)
                if event is None:
                    return
                yield event
        finally:
            if step is not None and not step.done():
                # The thread still waits for the next event. Interrupt it: a running generator cannot be closed.
                step.add_done_callback(_consume_error)
                for interrupt in interrupts:
                    interrupt()
            else:
                events.close()

    @overload
    async def generate(self, prompt: Prompt, *, schema: type[Model], **options: Unpack[JsonOptions]) -> Model: ...

    @overload
    async def generate(self, prompt: Prompt, *, schema: Schema, **options: Unpack[JsonOptions]) -> Any: ...  # noqa: ANN401

    async def generate(self, prompt: Prompt, *, schema: Any, **options: Unpack[JsonOptions]) -> Any:
        """See :meth:`Assistant.generate`."""
        return await self._call(partial(self._assistant.generate, prompt, schema=schema, **options))

    async def embed(self, texts: str | Sequence[str], **options: Unpack[EmbedOptions]) -> list[list[float]]:
        """See :meth:`Assistant.embed`."""
        return await self._call(partial(self._assistant.embed, texts, **options))

    async def run(self, task: str, record: Mapping[str, Any], **options: Unpack[RunOptions]) -> TaskResult:
        """See :meth:`Assistant.run`."""
        return await self._call(partial(self._assistant.run, task, record, **options))

    async def _call(self, call: Callable[..., Result]) -> Result:
        interrupts: list[Callable[[], None]] = []
        is_cancelled = False

        def on_start(interrupt: Callable[[], None]) -> None:
            interrupts.append(interrupt)
            if is_cancelled:
                interrupt()

        future = asyncio.get_running_loop().run_in_executor(self._threads, partial(call, on_start=on_start))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            is_cancelled = True
            future.add_done_callback(_consume_error)
            for interrupt in interrupts:
                interrupt()
            raise


def _consume_error(future: asyncio.Future[Any]) -> None:
    """Read the error of a cancelled call, so that asyncio does not log it as never retrieved."""
    if not future.cancelled():
        future.exception()
