"""Decides whether a defect raises an alert: a minimum confidence of the detector, and a cool-down after each alert.

The cool-down suppresses only the alert, not the record. The caller passes the time of a monotonic clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgechat.tasks.rootcause.result import AlertState

GATE = 0.7
"""A detection counts when its confidence is above this value, not equal to it."""
COOL_DOWN_S = 5.0
_MAX_PLACES = 1024
"""Number of keys whose last alert is stored; far more than the stations that one board watches."""


class AlertLimiter:
    """The cool-downs of one stream, one per place and kind of defect, so that stations do not suppress each other."""

    def __init__(self, cool_down_s: float = COOL_DOWN_S) -> None:
        self._cool_down_s = cool_down_s
        self._raised_s: dict[tuple[str | None, ...], float] = {}

    def decide(self, confidence: float, key: tuple[str | None, ...], now_s: float) -> AlertState:
        """Decide whether this detection raises an alert; a raised alert starts the cool-down of its ``key``."""
        if not passes_gate(confidence):
            return "below_gate"
        last_s = self._raised_s.get(key)
        if last_s is not None and now_s - last_s < self._cool_down_s:
            return "cooling_down"
        self._raised_s.pop(key, None)
        self._raised_s[key] = now_s
        if len(self._raised_s) > _MAX_PLACES:
            del self._raised_s[next(iter(self._raised_s))]  # the key with the oldest alert
        return "raised"


def passes_gate(confidence: float) -> bool:
    """True when a detection is confident enough for an alert and an analysis."""
    return confidence > GATE
