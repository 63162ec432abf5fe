"""What the board screen shows, read now: memory, CPU, temperature, clocks, throttling, and the resident engine.

What a machine does not tell is None. Reads files and asks the engine's socket: call it in a worker thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from edgechat.board.probe.probe import probe
from edgechat.board.vitals.vitals import read_vitals
from edgechat.engine.client import client
from edgechat.models.planning.candidate import PlanRequest
from edgechat.models.planning.planner import plan_model

if TYPE_CHECKING:
    from edgechat.board.board import Board
    from edgechat.config import Config
    from edgechat.engine.protocol.framing import Frame
    from edgechat.models.planning.plan import Plan
    from edgechat.paths import Paths


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the machine."""

    board: Board
    cpu_percent: float
    mhz: float | None
    celsius: float | None
    troubles: tuple[str, ...]
    """What holds the machine back now."""
    engine: Frame | None
    """What the resident engine says of itself."""
    watts: float | None = None
    """What the machine takes, where a sensor says so."""


def read(paths: Paths) -> Reading:
    """Look once. The CPU's share is that since the look before.

    Raises:
        EdgechatError: the engine's state cannot be read.
    """
    felt = read_vitals()
    clocks = psutil.cpu_freq() if felt.mhz is None else None
    engines = client.status(paths)
    return Reading(
        board=probe(),
        cpu_percent=psutil.cpu_percent(),
        mhz=clocks.current if clocks else felt.mhz,
        celsius=felt.hottest.celsius if felt.hottest else None,
        troubles=felt.throttling.now,
        engine=engines[0] if engines else None,
        watts=felt.power.watts,
    )


def resident_plan(paths: Paths, config: Config, reading: Reading) -> Plan | None:
    """What the resident model takes, as its plan predicts it; None when none is resident.

    Raises:
        EdgechatError: the model cannot be planned for (any more).
    """
    if reading.engine is None or not reading.engine.get("model"):
        return None
    label = f"{reading.engine['model']}:{reading.engine['quant']}" if reading.engine.get("quant") else None
    wish = PlanRequest(n_ctx=reading.engine.get("n_ctx") or config.n_ctx, threads=config.threads)
    return plan_model(paths, reading.board, label or str(reading.engine["model"]), wish, is_here=True)
