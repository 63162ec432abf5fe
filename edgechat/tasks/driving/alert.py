"""Hysteresis for the alert of a stream: raised at once, released late, so that it does not flicker. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

RELEASE_MARGIN = 0.1
"""The risk must fall this far below the threshold for a release."""
RELEASE_S = 1.0
"""The risk must stay there for this long. An alert is raised without delay."""


@dataclass(frozen=True, slots=True)
class HysteresisState:
    """The state of a stream's alert between two frames."""

    is_on: bool = False
    calm_since_s: float | None = None
    """Time since which the risk has been below threshold minus margin; None while it is not."""


def next_alert(state: HysteresisState, risk: float, now_s: float, threshold: float) -> HysteresisState:
    """The state after one more frame: on when ``risk > threshold``, off after :data:`RELEASE_S` below the margin."""
    if risk > threshold:
        return HysteresisState(is_on=True)
    if not state.is_on:
        return state
    if risk > threshold - RELEASE_MARGIN:
        return HysteresisState(is_on=True)
    since_s = now_s if state.calm_since_s is None else state.calm_since_s
    return HysteresisState() if now_s - since_s >= RELEASE_S else HysteresisState(is_on=True, calm_since_s=since_s)
