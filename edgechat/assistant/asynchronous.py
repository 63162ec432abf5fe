"""The assistant for programs with an event loop: the same calls, awaited. Cancelling a call frees its slot.

Each call runs the blocking one in a thread of its own few; only this module of the room knows asyncio.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from edgechat.assistant.blocking import PARALLEL, Answer, Assistant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from pydantic import BaseModel
    from typing_extensions import Self

    from edgechat.engine.protocol.events import Event
    from edgechat.engine.protocol.request import Message
    from edgechat.tasks.contract import Schema
    from edgechat.tasks.result import TaskResult

Model = TypeVar("Model", bound="BaseModel")
Result = TypeVar("Result")

_WAITING = 28
"""Calls that may wait for a slot beside those that run: each holds a thread."""


class AsyncAssistant:
    """:class:`Assistant` for event loops; arguments, results and errors are the same.

    >>> async with AsyncAssistant.open() as assistant:  # doctest: +SKIP
    ...     answer = await assistant.ask("Name one colour.", max_tokens=8)
    """

    def __init__(self, assistant: Assistant, *, parallel: int = PARALLEL) -> None:
        self._assistant = assistant
        self._threads = ThreadPoolExecutor(parallel + _WAITING, thread_name_prefix="assistant")

    @classmethod
    def open(cls, model: str | None = None, *, parallel: int = PARALLEL, **options: Any) -> Self:  # noqa: ANN401
        """As :meth:`Assistant.open`."""
        return cls(Assistant.open(model, parallel=parallel, **options), parallel=parallel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up; calls that still wait end with an error."""
        self._assistant.close()
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)

    async def ask(self, prompt: str | Sequence[Message], **options: Any) -> Answer:  # noqa: ANN401
        """As :meth:`Assistant.ask`."""
        return await self._call(partial(self._assistant.ask, prompt, **options))

    async def stream(self, prompt: str | Sequence[Message], **options: Any) -> AsyncIterator[Event]:  # noqa: ANN401
        """As :meth:`Assistant.stream`. Leaving the loop early cancels the answer when the iterator is closed."""
        cut: list[Callable[[], None]] = []
        events = self._assistant.stream(prompt, on_start=cut.append, **options)
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
                # The thread still waits for the next event: wake it, for a generator that runs cannot be closed.
                step.add_done_callback(_heard)
                for interrupt in cut:
                    interrupt()
            else:
                events.close()

    @overload
    async def generate(self, prompt: str | Sequence[Message], *, schema: type[Model], **options: Any) -> Model: ...  # noqa: ANN401

    @overload
    async def generate(self, prompt: str | Sequence[Message], *, schema: Schema, **options: Any) -> Any: ...  # noqa: ANN401

    async def generate(self, prompt: str | Sequence[Message], *, schema: Any, **options: Any) -> Any:
        """As :meth:`Assistant.generate`."""
        return await self._call(partial(self._assistant.generate, prompt, schema=schema, **options))

    async def embed(self, texts: str | Sequence[str], **options: Any) -> list[list[float]]:  # noqa: ANN401
        """As :meth:`Assistant.embed`."""
        return await self._call(partial(self._assistant.embed, texts, **options))

    async def run(self, task: str, record: Mapping[str, Any], **options: Any) -> TaskResult:  # noqa: ANN401
        """As :meth:`Assistant.run`."""
        return await self._call(partial(self._assistant.run, task, record, **options))

    async def _call(self, call: Callable[..., Result]) -> Result:
        cut: list[Callable[[], None]] = []
        given_up = False

        def on_start(interrupt: Callable[[], None]) -> None:
            cut.append(interrupt)
            if given_up:
                interrupt()

        future = asyncio.get_running_loop().run_in_executor(self._threads, partial(call, on_start=on_start))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            given_up = True
            future.add_done_callback(_heard)
            for interrupt in cut:
                interrupt()
            raise


def _heard(future: asyncio.Future[Any]) -> None:
    """Look at the outcome of a call that nobody awaits any more, so that its error is not reported as forgotten."""
    if not future.cancelled():
        future.exception()
