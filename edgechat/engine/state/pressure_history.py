"""That memory was short while a model was loaded, so that the next load takes a smaller context.

One small JSON file in the state directory, good for an hour of this boot; counted on the kernel's boot clock, since a
board's wall clock may be wrong. Only a context that nobody asked for is made smaller.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.files import reporting, write_json

if TYPE_CHECKING:
    from pathlib import Path

FILE = "tightness.json"
LASTS_S = 3600.0
SHARE = 0.5
LEAST_N_CTX = 1024
"""A smaller context holds no conversation; memory is then for the plan to find."""


@dataclass(frozen=True, slots=True)
class Tightness:
    """What was written down in the last hour."""

    n_ctx: int
    """The longest context to load unasked, in tokens."""
    reason: str = ""
    """By what it was seen that memory was short, in words."""

    @property
    def words(self) -> str:
        """What happened, to begin a sentence with; true for as long as what was loaded then is there."""
        return f"Memory was tight in the hour before loading{f' ({self.reason})' if self.reason else ''}"


def boot_s() -> float:
    """Seconds since this machine started, or on the monotonic clock where that is not told (macOS)."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def record(state: Path, n_ctx: int, reason: str = "", now: float | None = None) -> None:
    """Write down that memory became short beside a context of ``n_ctx`` tokens, and by what that was seen.

    Raises:
        StateError: it cannot be written down.
    """
    capped = max(int(n_ctx * SHARE), LEAST_N_CTX)
    data = {"n_ctx": capped, "boot_s": boot_s() if now is None else now, "reason": reason}
    with reporting("write", state / FILE):
        write_json(state / FILE, data, sync=False)


def read(state: Path, now: float | None = None) -> Tightness | None:
    """What was written down; None when memory was not short in the last hour."""
    now = boot_s() if now is None else now
    try:
        data = json.loads((state / FILE).read_text())
        # A moment later than now was written down before the machine started anew.
        if not 0 <= now - float(data["boot_s"]) < LASTS_S:
            return None
        return Tightness(int(data["n_ctx"]), str(data.get("reason", "")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
