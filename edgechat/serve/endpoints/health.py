"""``/health`` and ``/metrics``: how the server is, in one word and its reason."""

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
    from edgechat.serve.engine_clients import Service
    from edgechat.serve.http.exchange import Exchange

Word = Literal["ready", "loading", "degraded"]


class Health:
    """Both endpoints."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def health(self, exchange: Exchange) -> None:
        """``GET /health``: 200 while requests are answered, 503 while they are not."""
        word, reason, answers, engine = await self.state()
        admission, resident = self._service.admission, self._service.resident
        content: dict[str, Any] = {
            "status": word,
            "reason": reason,
            "model": f"{resident.model}:{resident.quant}" if resident else None,
            "n_ctx": resident.n_ctx if resident else None,
            "running": admission.running,
            "waiting": admission.waiting,
            "places": admission.places,
            "queue": admission.queue,
            "engine": {name: engine[name] for name in ("pid", "rss_bytes", "stage", "idle_s")} if engine else None,
            "version": __version__,
        }
        if answers:
            await exchange.answer(200, content)
        else:
            await exchange.answer(503, content, {"Retry-After": "5"})

    async def metrics(self, exchange: Exchange) -> None:
        """``GET /metrics``."""
        word, *_, engine = await self.state()
        metrics, admission = self._service.metrics, self._service.admission
        metrics.ready.set(word == "ready")
        metrics.running.set(admission.running)
        metrics.waiting.set(admission.waiting)
        metrics.server_rss.set(psutil.Process().memory_info().rss)
        metrics.board.note(await asyncio.to_thread(read_vitals, ask_programs=False), engine)
        await exchange.answer_bytes(200, metrics.text(), CONTENT_TYPE)

    async def state(self) -> tuple[Word, str | None, bool, Frame | None]:
        """The word, the reason, whether requests are answered, and what the engine says."""
        service = self._service
        try:
            engine = await service.engine()
        except EdgechatError as error:
            return "degraded", str(error), False, None
        if not service.has_tried or (engine and engine["stage"] == "load"):
            return "loading", "The model is being loaded.", False, engine
        if service.trouble is not None:
            return "degraded", service.trouble, False, engine
        if service.admission.is_full:
            return "degraded", "The queue is full.", False, engine
        if service.resident is not None and service.resident.step_down:
            return "degraded", service.resident.step_down, True, engine
        care = (engine or {}).get("care", {})
        if care.get("level", 0):
            return "degraded", f"The board is spared: {care['reason']}.", True, engine
        if care.get("memory_tight"):
            return "degraded", f"Memory is short: {care['memory_reason']}.", True, engine
        return "ready", None, True, engine
