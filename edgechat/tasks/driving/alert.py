"""Hysteresis for a stream of risks, so that an alert neither flickers nor comes late. Pure: state in, state out."""

from __future__ import annotations

from dataclasses import dataclass

RELEASE_MARGIN = 0.1
"""How far below the threshold the risk must fall."""
RELEASE_S = 1.0
"""How long it must stay there. Raising waits for nothing."""


@dataclass(frozen=True, slots=True)
class AlertState:
    """What the stream remembers of its alert."""

    is_on: bool = False
    calm_since_s: float | None = None
    """Since when the risk has been below the release line."""


def next_alert(state: AlertState, risk: float, now_s: float, threshold: float) -> AlertState:
    """The alert after one more frame: on as soon as ``risk > threshold``, off after a calm second well below it."""
    if risk > threshold:
        return AlertState(is_on=True)
    if not state.is_on:
        return state
    if risk > threshold - RELEASE_MARGIN:
        return AlertState(is_on=True)
    since_s = now_s if state.calm_since_s is None else state.calm_since_s
    return AlertState() if now_s - since_s >= RELEASE_S else AlertState(is_on=True, calm_since_s=since_s)
