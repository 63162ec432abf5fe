"""``/v1/chat/completions``, ``/v1/completions`` and ``/v1/models``."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from edgechat.engine.protocol.events import Started, Text
from edgechat.errors import DeadlineError, EdgechatError
from edgechat.serve.http.errors import Fault, fault_of
from edgechat.serve.openai.reply import Reply
from edgechat.serve.openai.request import ChatRequest, CompletionRequest
from edgechat.serve.openai.tools import Reading

if TYPE_CHECKING:
    from edgechat.engine.protocol.request import Request
    from edgechat.serve.engine_clients import Answering, Service
    from edgechat.serve.http.exchange import Exchange

SSE = "text/event-stream; charset=utf-8"
_HEARTBEAT_S = 10.0
"""A comment is sent this often while a long prompt is read, so that nothing between takes the stream for dead."""


class Chat:
    """The endpoints that answer as OpenAI's do."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._began = int(time.time())

    async def chat(self, exchange: Exchange) -> None:
        """``POST /v1/chat/completions``."""
        asked = await exchange.model(ChatRequest)
        settings = self._service.settings
        reply = Reply("chat", asked.wants_usage, reading=Reading() if asked.offered else None)
        await self._answer(exchange, asked, asked.to_request(settings.wish, settings.timeout_s), reply)

    async def completion(self, exchange: Exchange) -> None:
        """``POST /v1/completions``."""
        asked = await exchange.model(CompletionRequest)
        settings = self._service.settings
        reply = Reply("completion", asked.wants_usage)
        await self._answer(exchange, asked, asked.to_request(settings.wish, settings.timeout_s), reply)

    async def models(self, exchange: Exchange) -> None:
        """``GET /v1/models``: the one that answers."""
        await exchange.answer(200, {"object": "list", "data": [self._model()]})

    async def model(self, exchange: Exchange) -> None:
        """``GET /v1/models/{model}``."""
        self._service.check_model(exchange.scope["path_params"]["model"], self._service.resident)
        await exchange.answer(200, self._model())

    def _model(self) -> dict[str, Any]:
        resident = self._service.resident
        known = {"context_length": resident.n_ctx, "languages": resident.languages} if resident else {}
        name = f"{resident.model}:{resident.quant}" if resident else "default"
        return {"id": name, "object": "model", "created": self._began, "owned_by": "edgechat", **known}

    async def _answer(
        self, exchange: Exchange, asked: ChatRequest | CompletionRequest, request: Request, reply: Reply
    ) -> None:
        self._service.check_model(asked.model, self._service.resident)
        if asked.stream:
            await exchange.unless_gone(self._stream(exchange, asked.model, request, reply))
            return
        await exchange.unless_gone(self._whole(asked.model, request, reply))
        await exchange.answer(200, reply.whole())

    async def _whole(self, model: str | None, request: Request, reply: Reply) -> None:
        try:
            async with self._service.answering(request) as events:
                async for event in events:
                    if isinstance(event, Started):
                        self._service.check_model(model, event)
                    reply.take(event)
        except DeadlineError:
            if not reply.n_tokens:
                raise

    async def _stream(self, exchange: Exchange, model: str | None, request: Request, reply: Reply) -> None:
        """Send the answer as it comes. Until the engine has accepted the prompt, an error still has its own status."""
        try:
            async with self._service.answering(request) as events:
                await self._send_events(exchange, model, events, reply)
        except (EdgechatError, Fault) as error:
            if not exchange.status:
                raise
            if not (isinstance(error, DeadlineError) and reply.n_tokens):
                fault = error if isinstance(error, Fault) else fault_of(error)
                await exchange.write(_event(fault.body()))
                await exchange.end()
                return
        for chunk in reply.closing():
            await exchange.write(_event(chunk))
        await exchange.write(b"data: [DONE]\n\n")
        await exchange.end()

    async def _send_events(self, exchange: Exchange, model: str | None, events: Answering, reply: Reply) -> None:
        while True:
            try:
                event = await events.next(_HEARTBEAT_S)
            except StopAsyncIteration:
                return
            if event is None:
                if exchange.status:
                    await exchange.write(b": still working\n\n")
                continue
            reply.take(event)
            if isinstance(event, Started):
                self._service.check_model(model, event)
                if not exchange.status:  # a second one follows when the engine was brought back
                    await exchange.begin(200, SSE, {"X-Accel-Buffering": "no"})
                    if (opening := reply.opening()) is not None:
                        await exchange.write(_event(opening))
            elif isinstance(event, Text) and (chunk := reply.chunk(event)) is not None:
                await exchange.write(_event(chunk))


def _event(content: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n\n"
