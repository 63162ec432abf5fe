"""When a defect raises an alert: a gate on the detector's confidence, and a pause after each alert.

The pause suppresses the alert, never the record. Time is a monotonic clock's reading that is passed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgechat.tasks.rootcause.record import AlertState

GATE = 0.7
"""A detection counts above this confidence, not at it."""
COOL_DOWN_S = 5.0
_MAX_PLACES = 1024
"""Places whose last alert is remembered; far more stations than one board watches."""


class Alerts:
    """The alerts of one stream, by place and kind of defect: trouble at one station must not silence another."""

    def __init__(self, cool_down_s: float = COOL_DOWN_S) -> None:
        self._cool_down_s = cool_down_s
        self._raised_s: dict[tuple[str | None, ...], float] = {}

    def decide(self, confidence: float, key: tuple[str | None, ...], now_s: float) -> AlertState:
        """Whether this detection raises an alert; one that does starts a new pause for its ``key``."""
        if not passes_gate(confidence):
            return "below_gate"
        last_s = self._raised_s.get(key)
        if last_s is not None and now_s - last_s < self._cool_down_s:
            return "cooling_down"
        self._raised_s.pop(key, None)
        self._raised_s[key] = now_s
        if len(self._raised_s) > _MAX_PLACES:
            del self._raised_s[next(iter(self._raised_s))]  # the one that has been quiet longest
        return "raised"


def passes_gate(confidence: float) -> bool:
    """True for a detection that is worth an alert and an analysis."""
    return confidence > GATE
