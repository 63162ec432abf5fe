"""``/v1/models``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgechat.serve.engine_clients import EngineClients
    from edgechat.serve.http.exchange import Exchange


class Models:
    """The endpoints."""

    def __init__(self, clients: EngineClients) -> None:
        self._clients = clients
        self._created = int(time.time())

    async def list_models(self, exchange: Exchange) -> None:
        """``GET /v1/models``: the server's model."""
        await exchange.send_json(200, {"object": "list", "data": [self._model()]})

    async def describe(self, exchange: Exchange) -> None:
        """``GET /v1/models/{model}``."""
        self._clients.check_model(exchange.scope["path_params"]["model"], self._clients.resident)
        await exchange.send_json(200, self._model())

    def _model(self) -> dict[str, Any]:
        resident = self._clients.resident
        details = {"context_length": resident.n_ctx, "languages": resident.languages} if resident else {}
        name = f"{resident.model}:{resident.quant}" if resident else "default"
        return {"id": name, "object": "model", "created": self._created, "owned_by": "edgechat", **details}
