"""``/v1/embeddings``: vectors of texts, where the model that answers is an embedding model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edgechat.engine.protocol.events import Done, Embedded, Started
from edgechat.engine.protocol.vector import shortened, unpack
from edgechat.errors import EngineError
from edgechat.serve.http.exchange import JSON
from edgechat.serve.openai.request import EmbeddingRequest

if TYPE_CHECKING:
    from edgechat.engine.protocol.request import Request
    from edgechat.serve.engine_clients import Service
    from edgechat.serve.http.exchange import Exchange


class Embeddings:
    """The endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def create(self, exchange: Exchange) -> None:
        """``POST /v1/embeddings``."""
        asked = await exchange.model(EmbeddingRequest)
        settings = self._service.settings
        self._service.check_model(asked.model, self._service.resident)
        request = asked.to_request(settings.wish, settings.timeout_s)
        vectors, tail = await exchange.unless_gone(self._made(asked, request))
        # Piece by piece: two thousand vectors of numbers take 40 MB, and other clients' answers pass between two.
        await exchange.begin(200, JSON)
        await exchange.write(b'{"object":"list","data":[')
        for index, vector in enumerate(vectors):
            value: Any = vector if asked.encoding_format == "base64" else list(unpack(vector))
            item = json.dumps({"object": "embedding", "index": index, "embedding": value}, separators=(",", ":"))
            await exchange.write((("," if index else "") + item).encode())
        await exchange.write(b"]," + json.dumps(tail, separators=(",", ":")).encode()[1:])
        await exchange.end()

    async def _made(self, asked: EmbeddingRequest, request: Request) -> tuple[list[str], dict[str, Any]]:
        """The vectors in the order of the texts, and what stands behind them in the answer."""
        vectors = [""] * len(request.texts)
        model, n_tokens = "", 0
        async with self._service.answering(request) as events:
            async for event in events:
                if isinstance(event, Started):
                    self._service.check_model(asked.model, event)
                    model = f"{event.model}:{event.quant}"
                elif isinstance(event, Embedded):
                    vectors[event.index] = shortened(event.vector, asked.dimensions)
                elif isinstance(event, Done):
                    n_tokens = event.usage["prompt_tokens"]
        if not all(vectors):
            raise EngineError("The engine ended without a vector for every text.")
        return vectors, {"model": model, "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens}}
