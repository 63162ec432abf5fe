"""``/v1/chat/completions`` and ``/v1/completions``."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from edgechat.engine.client.tool_call_parser import ToolCallParser
from edgechat.engine.protocol.events import Started, Text
from edgechat.errors import EdgechatError
from edgechat.serve.http.errors import ApiError, api_error
from edgechat.serve.openai.reply import Choice, Reply
from edgechat.serve.openai.request import ChatRequest, CompletionRequest
from edgechat.serve.openai.unknown_fields import ignored_header, unknown_fields
from edgechat.serve.parallel_answers import ParallelAnswers

if TYPE_CHECKING:
    from edgechat.serve.engine_clients import EngineClients
    from edgechat.serve.http.exchange import Exchange

SSE = "text/event-stream; charset=utf-8"
_HEARTBEAT_S = 10.0
"""Interval of the comments sent while a long prompt is processed, so that no proxy closes the stream."""


class Chat:
    """The endpoints."""

    def __init__(self, clients: EngineClients) -> None:
        self._clients = clients
        # One thread: Python's interpreter lock gives several no more processor time.
        self._preparing = ThreadPoolExecutor(1, thread_name_prefix="prepare")

    async def chat(self, exchange: Exchange) -> None:
        """``POST /v1/chat/completions``."""
        body = await exchange.read_as(ChatRequest)
        offered = frozenset(each.function.name for each in body.offered_tools)
        choices = [
            Choice(
                "chat",
                index,
                tool_parser=ToolCallParser(offered) if offered else None,
                logprobs=[] if body.logprobs else None,
            )
            for index in range(body.n or 1)
        ]
        await self._answer(exchange, body, Reply("chat", choices, body.wants_usage))

    async def completion(self, exchange: Exchange) -> None:
        """``POST /v1/completions``."""
        body = await exchange.read_as(CompletionRequest)
        logprobs = body.logprobs is not None
        choices = [Choice("completion", index, logprobs=[] if logprobs else None) for index in range(body.n or 1)]
        await self._answer(exchange, body, Reply("completion", choices, body.wants_usage))

    async def _answer(self, exchange: Exchange, body: ChatRequest | CompletionRequest, reply: Reply) -> None:
        exchange.extra_headers |= ignored_header(unknown_fields(body))
        settings = self._clients.settings
        make = partial(body.to_request, settings.wish, settings.timeout_s)
        if body.has_schema:
            # A schema may take a second, in which no other stream would get its text.
            request = await asyncio.get_running_loop().run_in_executor(self._preparing, make)
        else:
            request = make()
        self._clients.check_model(body.model, self._clients.resident)
        answers = ParallelAnswers(
            self._clients, body.choices(request), lambda started: self._clients.check_model(body.model, started)
        )
        if body.stream:
            await exchange.unless_disconnected(self._stream(exchange, answers, reply))
            return
        await exchange.unless_disconnected(_collect(answers, reply))
        await exchange.send_json(200, reply.complete())

    async def _stream(self, exchange: Exchange, answers: ParallelAnswers, reply: Reply) -> None:
        """Send the answers as they are made. Until the engine has accepted a prompt, an error has its own status."""
        try:
            async with answers:
                await _send_events(exchange, answers, reply)
        except (EdgechatError, ApiError) as error:
            if not exchange.status:
                raise
            failure = error if isinstance(error, ApiError) else api_error(error)
            await exchange.write(_sse_event(failure.body()))
            await exchange.end()
            return
        for chunk in reply.last_chunks():
            await exchange.write(_sse_event(chunk))
        await exchange.write(b"data: [DONE]\n\n")
        await exchange.end()


async def _collect(answers: ParallelAnswers, reply: Reply) -> None:
    async with answers:
        while True:
            try:
                found = await answers.next(_HEARTBEAT_S)
            except StopAsyncIteration:
                return
            if found is not None:
                index, event = found
                reply.choices[index].feed(event)


async def _send_events(exchange: Exchange, answers: ParallelAnswers, reply: Reply) -> None:
    while True:
        try:
            found = await answers.next(_HEARTBEAT_S)
        except StopAsyncIteration:
            return
        if found is None:
            if exchange.status:
                await exchange.write(b": still working\n\n")
            continue
        index, event = found
        choice = reply.choices[index]
        choice.feed(event)
        if isinstance(event, Started):
            if not exchange.status:  # others follow: of further choices, and after a restart of the engine
                await exchange.start_response(200, SSE, {"X-Accel-Buffering": "no"})
                for opening in reply.first_chunks():
                    await exchange.write(_sse_event(opening))
        elif isinstance(event, Text) and (chunk := reply.chunk(choice, event)) is not None:
            await exchange.write(_sse_event(chunk))


def _sse_event(content: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n\n"
