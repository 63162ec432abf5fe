"""Tells the supervisor that the server lives, as long as the event loop turns and the engine answers when asked.

An engine that hangs makes no answer; nothing is said then, and the supervisor starts everything anew.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgechat.errors import EdgechatError

if TYPE_CHECKING:
    from edgechat.serve.endpoints.health import Health
    from edgechat.serve.engine_clients import Service
    from edgechat.service.notify import Notifier

_USUAL_S = 20.0
"""Between one status line and the next where nobody watches."""


async def beat(notifier: Notifier, service: Service, health: Health) -> None:
    """Say how it goes, three times in the time after which silence means death. Never ends."""
    pause_s = notifier.watchdog_s / 3 if notifier.watchdog_s else _USUAL_S
    while True:
        try:
            await service.engine()
        except EdgechatError as error:
            notifier.status(f"The engine hangs: {error}")
        else:
            word, reason, *_ = await health.state()
            admission = service.admission
            said = f"{word}, {admission.running} running, {admission.waiting} waiting"
            notifier.alive(f"{said}. {reason}" if reason else said)
        await asyncio.sleep(pause_s)
