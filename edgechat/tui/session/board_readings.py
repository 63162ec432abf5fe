"""Current values for the board screen: memory, CPU, temperature, clocks, throttling, and the running engine.

Values that a machine does not report are None. Reads files and asks the engine over its socket: call it in a worker
thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from edgechat.board.probe.probe import probe
from edgechat.board.vitals.vitals import read_vitals
from edgechat.engine.client import client
from edgechat.models.planning.plan import PlanRequest
from edgechat.models.planning.planner import plan_model

if TYPE_CHECKING:
    from edgechat.board.board import Board
    from edgechat.config import Config
    from edgechat.engine.protocol.framing import Frame
    from edgechat.models.planning.plan import Plan
    from edgechat.paths import Paths


@dataclass(frozen=True, slots=True)
class BoardReading:
    """Values of one moment."""

    board: Board
    cpu_percent: float
    mhz: float | None
    celsius: float | None
    throttling: tuple[str, ...]
    """Why the machine runs slower than it can, for example ``under-voltage``."""
    engine: Frame | None
    """The status that the running engine reports; None without an engine."""
    watts: float | None = None
    """Power draw of the machine, where a sensor measures it."""


def read_board(paths: Paths) -> BoardReading:
    """Read all values once. The CPU load is the mean since the previous call.

    Raises:
        EdgechatError: the engine's state cannot be read.
    """
    vitals = read_vitals()
    clocks = psutil.cpu_freq() if vitals.mhz is None else None
    engines = client.status(paths)
    return BoardReading(
        board=probe(),
        cpu_percent=psutil.cpu_percent(),
        mhz=clocks.current if clocks else vitals.mhz,
        celsius=vitals.hottest.celsius if vitals.hottest else None,
        throttling=vitals.throttling.now,
        engine=engines[0] if engines else None,
        watts=vitals.power.watts,
    )


def resident_plan(paths: Paths, config: Config, reading: BoardReading) -> Plan | None:
    """The plan of the loaded model, which predicts its memory; None when no model is loaded.

    Raises:
        EdgechatError: the model cannot be planned, for example because it was removed.
    """
    if reading.engine is None or not reading.engine.get("model"):
        return None
    label = f"{reading.engine['model']}:{reading.engine['quant']}" if reading.engine.get("quant") else None
    wish = PlanRequest(n_ctx=reading.engine.get("n_ctx") or config.n_ctx, threads=config.threads)
    return plan_model(paths, reading.board, label or str(reading.engine["model"]), wish, is_here=True)
