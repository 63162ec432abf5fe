"""``POST /v1/embeddings``: vectors of texts, if the server's model is an embedding model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edgechat.engine.protocol.events import Done, Embedded, Started
from edgechat.engine.protocol.vector import shortened, unpack
from edgechat.errors import EngineError
from edgechat.serve.http.exchange import JSON
from edgechat.serve.openai.request import EmbeddingRequest
from edgechat.serve.openai.unknown_fields import ignored_header, unknown_fields

if TYPE_CHECKING:
    from edgechat.engine.protocol.request import Request
    from edgechat.serve.engine_clients import EngineClients
    from edgechat.serve.http.exchange import Exchange


class Embeddings:
    """The endpoint."""

    def __init__(self, clients: EngineClients) -> None:
        self._clients = clients

    async def create(self, exchange: Exchange) -> None:
        """``POST /v1/embeddings``."""
        body = await exchange.read_as(EmbeddingRequest)
        exchange.extra_headers |= ignored_header(unknown_fields(body))
        settings = self._clients.settings
        self._clients.check_model(body.model, self._clients.resident)
        request = body.to_request(settings.wish, settings.timeout_s)
        vectors, tail = await exchange.unless_disconnected(self._vectors(body, request))
        # Sent one by one: two thousand vectors as numbers take 40 MB, and other answers go out between two of them.
        await exchange.start_response(200, JSON)
        await exchange.write(b'{"object":"list","data":[')
        for index, vector in enumerate(vectors):
            value: Any = vector if body.encoding_format == "base64" else list(unpack(vector))
            item = json.dumps({"object": "embedding", "index": index, "embedding": value}, separators=(",", ":"))
            await exchange.write((("," if index else "") + item).encode())
        await exchange.write(b"]," + json.dumps(tail, separators=(",", ":")).encode()[1:])
        await exchange.end()

    async def _vectors(self, body: EmbeddingRequest, request: Request) -> tuple[list[str], dict[str, Any]]:
        """The vectors in the order of the texts, and the fields that follow them in the answer."""
        vectors = [""] * len(request.texts)
        model, n_tokens = "", 0
        async with self._clients.answering(request) as events:
            async for event in events:
                if isinstance(event, Started):
                    self._clients.check_model(body.model, event)
                    model = f"{event.model}:{event.quant}"
                elif isinstance(event, Embedded):
                    vectors[event.index] = shortened(event.vector, body.dimensions)
                elif isinstance(event, Done):
                    n_tokens = event.usage["prompt_tokens"]
        if not all(vectors):
            raise EngineError("The engine ended without a vector for every text.")
        return vectors, {"model": model, "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens}}
