"""``GET /health`` and ``GET /metrics``: the server's status with its reason, and its metrics."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

import psutil

from edgechat.board.vitals.vitals import read_vitals
from edgechat.errors import EdgechatError
from edgechat.serve.endpoints.metrics import CONTENT_TYPE
from edgechat.version import __version__

if TYPE_CHECKING:
    from edgechat.engine.protocol.framing import Frame
    from edgechat.serve.engine_clients import EngineClients
    from edgechat.serve.http.exchange import Exchange

Status = Literal["ready", "loading", "degraded"]


class Health:
    """The endpoints."""

    def __init__(self, clients: EngineClients) -> None:
        self._clients = clients

    async def health(self, exchange: Exchange) -> None:
        """``GET /health``: 200 while requests are answered, 503 while they are not."""
        status, reason, answers, engine = await self.state()
        queue, resident = self._clients.queue, self._clients.resident
        content: dict[str, Any] = {
            "status": status,
            "reason": reason,
            "model": f"{resident.model}:{resident.quant}" if resident else None,
            "n_ctx": resident.n_ctx if resident else None,
            "running": queue.running,
            "waiting": queue.waiting,
            "places": queue.max_running,
            "queue": queue.max_waiting,
            "engine": {name: engine[name] for name in ("pid", "rss_bytes", "stage", "idle_s")} if engine else None,
            "version": __version__,
        }
        if answers:
            await exchange.send_json(200, content)
        else:
            await exchange.send_json(503, content, {"Retry-After": "5"})

    async def metrics(self, exchange: Exchange) -> None:
        """``GET /metrics``."""
        status, *_, engine = await self.state()
        metrics, queue = self._clients.metrics, self._clients.queue
        metrics.ready.set(status == "ready")
        metrics.running.set(queue.running)
        metrics.waiting.set(queue.waiting)
        metrics.server_rss.set(psutil.Process().memory_info().rss)
        metrics.board.update(await asyncio.to_thread(read_vitals, ask_programs=False), engine)
        await exchange.send_bytes(200, metrics.text(), CONTENT_TYPE)

    async def state(self) -> tuple[Status, str | None, bool, Frame | None]:
        """The status, its reason, whether requests are answered, and the engine's status frame."""
        clients = self._clients
        try:
            engine = await clients.engine()
        except EdgechatError as error:
            return "degraded", str(error), False, None
        if not clients.is_warmed_up or (engine and engine["stage"] == "load"):
            return "loading", "The model is being loaded.", False, engine
        if clients.last_error is not None:
            return "degraded", clients.last_error, False, engine
        if clients.queue.is_full:
            return "degraded", "The queue is full.", False, engine
        if clients.resident is not None and clients.resident.step_down:
            return "degraded", clients.resident.step_down, True, engine
        care = (engine or {}).get("care", {})
        if care.get("level", 0):
            return "degraded", f"The engine runs slower to protect the board: {care['reason']}.", True, engine
        if care.get("memory_tight"):
            return "degraded", f"Memory is short: {care['memory_reason']}.", True, engine
        return "ready", None, True, engine
