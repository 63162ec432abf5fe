"""Estimates the closing speed from a short history of distances, robust against outliers, with a confidence.

Theil-Sen estimator: the median of the slopes of all pairs (Sen 1968, also for the confidence interval from Kendall's
score). Up to 29 % of the distances may be arbitrarily wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Confidence = Literal["low", "medium", "high"]

_Z_95 = 1.96
_RECENT_S = 0.7
"""Length of the window that detects a lead vehicle which has just begun to brake."""
_RECENT_FRAMES = 5
_HIGH = (10, 1.0)
_MEDIUM = (5, 3.0)
"""For each confidence: minimum number of frames, and maximum half-width of the 95 % interval in m/s."""


@dataclass(frozen=True, slots=True)
class ClosingSpeed:
    """Closing speed in m/s; negative while the gap grows."""

    speed_mps: float
    low_mps: float
    """Bounds of the 95 % interval of the slope over all frames."""
    high_mps: float
    confidence: Confidence
    frames: int


def closing_speed(points: Sequence[tuple[float, float]]) -> ClosingSpeed | None:
    """Estimate from points (seconds, metres) in ascending time; None for fewer than two points.

    The slope over all points lags behind a lead vehicle that has just begun to brake. The newest 0.7 s are therefore
    fitted alone too; if the *lower* bound of that fit exceeds the long slope, the lower bound is returned. Both are
    order statistics, so the result changes continuously with every distance.
    """
    if len(points) < 2:
        return None
    slopes = _closing_slopes(points)
    low, high = _interval(slopes, len(points))
    speed = _median(slopes)
    recent = [point for point in points if point[0] >= points[-1][0] - _RECENT_S]
    if _RECENT_FRAMES <= len(recent) < len(points):
        speed = max(speed, _interval(_closing_slopes(recent), len(recent))[0])
    return ClosingSpeed(speed, low, high, _confidence(len(points), (high - low) / 2), len(points))


def _closing_slopes(points: Sequence[tuple[float, float]]) -> list[float]:
    return sorted((d0 - d1) / (t1 - t0) for i, (t1, d1) in enumerate(points) for t0, d0 in points[:i])


def _median(ordered: list[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _interval(ordered: list[float], n: int) -> tuple[float, float]:
    count = len(ordered)
    reach = _Z_95 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, math.floor((count - reach) / 2) - 1)
    high = min(count - 1, math.ceil((count + reach) / 2))
    return ordered[low], ordered[high]


def _confidence(frames: int, half_width_mps: float) -> Confidence:
    if frames >= _HIGH[0] and half_width_mps <= _HIGH[1]:
        return "high"
    if frames >= _MEDIUM[0] and half_width_mps <= _MEDIUM[1]:
        return "medium"
    return "low"
