"""Records that memory was short while a model was loaded, so that the next load takes a smaller context.

One small JSON file in the state directory, valid for an hour of this boot, measured on the kernel's boot clock because
a board's wall clock may be wrong. A context size that the user asked for is never reduced.
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
"""Tokens; a smaller context holds no conversation."""


@dataclass(frozen=True, slots=True)
class RecentPressure:
    """Memory pressure in the last hour."""

    n_ctx: int
    """The longest context to load by default, in tokens."""
    reason: str = ""
    """What showed that memory was short, in words."""

    @property
    def description(self) -> str:
        """What happened, as the beginning of a sentence."""
        return f"Memory was tight in the hour before loading{f' ({self.reason})' if self.reason else ''}"


def boot_s() -> float:
    """Seconds since this machine started; of the monotonic clock where the system has no boot clock (macOS)."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def record(state: Path, n_ctx: int, reason: str = "", now: float | None = None) -> None:
    """Record that memory became short with a context of ``n_ctx`` tokens loaded.

    Raises:
        StateError: the file cannot be written.
    """
    capped = max(int(n_ctx * SHARE), LEAST_N_CTX)
    data = {"n_ctx": capped, "boot_s": boot_s() if now is None else now, "reason": reason}
    with reporting("write", state / FILE):
        write_json(state / FILE, data, sync=False)


def read(state: Path, now: float | None = None) -> RecentPressure | None:
    """The last hour's memory pressure, or None."""
    now = boot_s() if now is None else now
    try:
        data = json.loads((state / FILE).read_text())
        # A time in the future was recorded before a reboot.
        if not 0 <= now - float(data["boot_s"]) < LASTS_S:
            return None
        return RecentPressure(int(data["n_ctx"]), str(data.get("reason", "")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
