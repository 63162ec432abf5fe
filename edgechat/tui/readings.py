"""What the board screen shows, read now: memory, CPU, temperature, clocks, throttling, and the resident engine.

What a machine does not tell is None. Reads files and asks the engine's socket: call it in a worker thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from edgechat.board.probe import probe
from edgechat.engine import client
from edgechat.models.candidate import FitWish
from edgechat.models.planner import plan_model

if TYPE_CHECKING:
    from edgechat.board.board import Board
    from edgechat.config import Config
    from edgechat.engine.protocol import Frame
    from edgechat.models.plan import Plan
    from edgechat.paths import Paths

_THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
"""The Raspberry Pi firmware's word: bits 0 to 3 say what holds now."""
_BITS = ((0, "under-voltage"), (1, "clock capped"), (2, "throttled"), (3, "near the temperature limit"))


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


def read(paths: Paths) -> Reading:
    """Look once. The CPU's share is that since the look before.

    Raises:
        EdgechatError: the engine's state cannot be read.
    """
    clocks = psutil.cpu_freq()
    engines = client.status(paths)
    return Reading(
        board=probe(),
        cpu_percent=psutil.cpu_percent(),
        mhz=clocks.current if clocks else None,
        celsius=_celsius(),
        troubles=troubles(_THROTTLED),
        engine=engines[0] if engines else None,
    )


def resident_plan(paths: Paths, config: Config, reading: Reading) -> Plan | None:
    """What the resident model takes, as its plan predicts it; None when none is resident.

    Raises:
        EdgechatError: the model cannot be planned for (any more).
    """
    if reading.engine is None or not reading.engine.get("model"):
        return None
    label = f"{reading.engine['model']}:{reading.engine['quant']}" if reading.engine.get("quant") else None
    wish = FitWish(n_ctx=reading.engine.get("n_ctx") or config.n_ctx, threads=config.threads)
    return plan_model(paths, reading.board, label or str(reading.engine["model"]), wish, is_here=True)


def troubles(throttled: Path) -> tuple[str, ...]:
    """What the firmware says holds the machine back; empty where it says nothing."""
    try:
        flags = int(throttled.read_text(encoding="ascii").strip(), 16)
    except (OSError, ValueError):
        return ()
    return tuple(words for bit, words in _BITS if flags >> bit & 1)


def _celsius() -> float | None:
    """The hottest sensor of the processor, or of the machine."""
    look = getattr(psutil, "sensors_temperatures", None)  # Linux alone has it
    sensors = look() if look is not None else {}
    every = [(name, entry.current) for name, entries in sensors.items() for entry in entries]
    near = [degrees for name, degrees in every if "cpu" in name or "core" in name]
    return max(near or [degrees for _, degrees in every], default=None)
