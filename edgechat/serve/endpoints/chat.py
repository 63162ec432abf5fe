"""``/v1/chat/completions``, ``/v1/completions`` and ``/v1/models``."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from edgechat.engine.protocol.events import Started, Text
from edgechat.errors import DeadlineError, EdgechatError
from edgechat.serve.http.errors import ApiError, api_error
from edgechat.serve.openai.reply import Reply
from edgechat.serve.openai.request import ChatRequest, CompletionRequest
from edgechat.serve.openai.tools import ToolCallParser

if TYPE_CHECKING:
    from edgechat.engine.protocol.request import Request
    from edgechat.serve.engine_clients import AnswerEvents, EngineClients
    from edgechat.serve.http.exchange import Exchange

SSE = "text/event-stream; charset=utf-8"
_HEARTBEAT_S = 10.0
"""Interval of the comments sent while a long prompt is processed, so that no proxy closes the stream."""


class Chat:
    """The endpoints."""

    def __init__(self, clients: EngineClients) -> None:
        self._clients = clients
        self._created = int(time.time())

    async def chat(self, exchange: Exchange) -> None:
        """``POST /v1/chat/completions``."""
        body = await exchange.read_as(ChatRequest)
        settings = self._clients.settings
        reply = Reply("chat", body.wants_usage, tool_parser=ToolCallParser() if body.offered_tools else None)
        await self._answer(exchange, body, body.to_request(settings.wish, settings.timeout_s), reply)

    async def completion(self, exchange: Exchange) -> None:
        """``POST /v1/completions``."""
        body = await exchange.read_as(CompletionRequest)
        settings = self._clients.settings
        reply = Reply("completion", body.wants_usage)
        await self._answer(exchange, body, body.to_request(settings.wish, settings.timeout_s), reply)

    async def models(self, exchange: Exchange) -> None:
        """``GET /v1/models``: the server's model."""
        await exchange.send_json(200, {"object": "list", "data": [self._model()]})

    async def model(self, exchange: Exchange) -> None:
        """``GET /v1/models/{model}``."""
        self._clients.check_model(exchange.scope["path_params"]["model"], self._clients.resident)
        await exchange.send_json(200, self._model())

    def _model(self) -> dict[str, Any]:
        resident = self._clients.resident
        details = {"context_length": resident.n_ctx, "languages": resident.languages} if resident else {}
        name = f"{resident.model}:{resident.quant}" if resident else "default"
        return {"id": name, "object": "model", "created": self._created, "owned_by": "edgechat", **details}

    async def _answer(
        self, exchange: Exchange, body: ChatRequest | CompletionRequest, request: Request, reply: Reply
    ) -> None:
        self._clients.check_model(body.model, self._clients.resident)
        if body.stream:
            await exchange.unless_disconnected(self._stream(exchange, body.model, request, reply))
            return
        await exchange.unless_disconnected(self._collect(body.model, request, reply))
        await exchange.send_json(200, reply.complete())

    async def _collect(self, model: str | None, request: Request, reply: Reply) -> None:
        try:
            async with self._clients.answering(request) as events:
                async for event in events:
                    if isinstance(event, Started):
                        self._clients.check_model(model, event)
                    reply.feed(event)
        except DeadlineError:
            if not reply.n_tokens:
                raise

    async def _stream(self, exchange: Exchange, model: str | None, request: Request, reply: Reply) -> None:
        """Send the answer as it is made. Until the engine has accepted the prompt, an error has a status of its own."""
        try:
            async with self._clients.answering(request) as events:
                await self._send_events(exchange, model, events, reply)
        except (EdgechatError, ApiError) as error:
            if not exchange.status:
                raise
            if not (isinstance(error, DeadlineError) and reply.n_tokens):
                failure = error if isinstance(error, ApiError) else api_error(error)
                await exchange.write(_sse_event(failure.body()))
                await exchange.end()
                return
        for chunk in reply.last_chunks():
            await exchange.write(_sse_event(chunk))
        await exchange.write(b"data: [DONE]\n\n")
        await exchange.end()

    async def _send_events(self, exchange: Exchange, model: str | None, events: AnswerEvents, reply: Reply) -> None:
        while True:
            try:
                event = await events.next(_HEARTBEAT_S)
            except StopAsyncIteration:
                return
            if event is None:
                if exchange.status:
                    await exchange.write(b": still working\n\n")
                continue
            reply.feed(event)
            if isinstance(event, Started):
                self._clients.check_model(model, event)
                if not exchange.status:  # a second one follows after a restart of the engine
                    await exchange.start_response(200, SSE, {"X-Accel-Buffering": "no"})
                    if (opening := reply.first_chunk()) is not None:
                        await exchange.write(_sse_event(opening))
            elif isinstance(event, Text) and (chunk := reply.chunk(event)) is not None:
                await exchange.write(_sse_event(chunk))


def _sse_event(content: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n\n"
