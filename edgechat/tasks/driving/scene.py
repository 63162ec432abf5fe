"""One moment of driving in SI units, and the vehicle ahead: which distance and closing speed to use.

``risk.py`` computes the risk from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from edgechat.tasks.driving.closing import ClosingSpeed, closing_speed

if TYPE_CHECKING:
    from edgechat.tasks.driving.conditions import Conditions

STALE_S = 0.5
"""A frame that is older is not used."""
MAX_FRAMES = 30
_SLACK_S = 1e-6
"""Tolerance for times, so that binary rounding does not make 0.5 s stale."""
_DISAGREEMENT_MPS = 2.0
_JUMP_M = 5.0
_JUMP_MPS = 70.0
"""A distance that jumps by more than this between two frames, and stays, belongs to another vehicle: two vehicles in
one lane do not close at 250 km/h."""
_STAYS_FRAMES = 3

Basis = Literal["lead_speed", "history", "gap_only", "no_lead"]
Assumption = Literal[
    "no_lead_reported", "distance_held", "closing_unknown", "history_assumed_current", "history_stale", "history_gap",
    "target_changed", "low_confidence", "sources_disagree", "lane_width_default", "vehicle_width_default",
    "friction_from_weather", "reaction_from_light", "uncalibrated",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Frame:
    """One earlier moment."""

    t_s: float
    distance_m: float | None
    """None when no vehicle was seen ahead."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One moment, validated."""

    speed_mps: float
    distance_m: float | None
    offset_m: float
    lane_width_m: float
    vehicle_width_m: float
    conditions: Conditions
    lead_speed_mps: float | None = None
    t_s: float | None = None
    """Time of this moment on the history's clock; None means: the newest frame's."""
    history: tuple[Frame, ...] = ()
    """Strictly ascending in time, none after ``t_s``."""


@dataclass(frozen=True, slots=True)
class Lead:
    """The distance and closing speed of the lead vehicle, and where they come from."""

    basis: Basis
    distance_m: float | None
    closing_mps: float | None
    """None when unknown, which is not zero."""
    closing: ClosingSpeed | None
    """The estimate from the history, even when another source was used."""
    assumptions: tuple[Assumption, ...]


def lead_vehicle(scene: Scene) -> Lead:
    """Choose distance and closing speed. Unknown values stay None; every choice is listed as an assumption."""
    assumptions: list[Assumption] = []
    frames = _current(scene, assumptions)
    distance = scene.distance_m
    if distance is None and frames and frames[-1].distance_m is not None:
        # When the detector loses the target for one frame, the last distance still holds.
        distance = frames[-1].distance_m
        assumptions.append("distance_held")
    if distance is None:
        assumptions.append("no_lead_reported")
        return Lead("no_lead", None, None, None, tuple(assumptions))
    estimate = closing_speed(_points(scene, frames, assumptions))
    known = None if scene.lead_speed_mps is None else scene.speed_mps - scene.lead_speed_mps
    if estimate is not None and estimate.confidence == "low":
        assumptions.append("low_confidence")
    if known is not None and estimate is not None and abs(known - estimate.speed_mps) > _DISAGREEMENT_MPS:
        assumptions.append("sources_disagree")
    # Of two sources the faster closing one is used: a false alert costs less than a missed one.
    if estimate is not None and (known is None or estimate.speed_mps > known):
        return Lead("history", distance, estimate.speed_mps, estimate, tuple(assumptions))
    if known is not None:
        return Lead("lead_speed", distance, known, estimate, tuple(assumptions))
    assumptions.append("closing_unknown")
    return Lead("gap_only", distance, None, None, tuple(assumptions))


def _current(scene: Scene, assumptions: list[Assumption]) -> tuple[Frame, ...]:
    """The history, or nothing when its newest frame is stale."""
    if not scene.history:
        return ()
    if scene.t_s is None:
        assumptions.append("history_assumed_current")
    elif scene.t_s - scene.history[-1].t_s > STALE_S + _SLACK_S:
        assumptions.append("history_stale")
        return ()
    return scene.history


def _points(scene: Scene, frames: tuple[Frame, ...], assumptions: list[Assumption]) -> list[tuple[float, float]]:
    points = [(frame.t_s, frame.distance_m) for frame in frames if frame.distance_m is not None]
    if scene.t_s is not None and scene.distance_m is not None:
        if points and points[-1][0] == scene.t_s:
            points.pop()  # the history's newest frame is this moment; the record's own value replaces it
        points.append((scene.t_s, scene.distance_m))
    points = points[-MAX_FRAMES:]
    breaks = [i for i, (a, b) in enumerate(pairwise(points), 1) if b[0] - a[0] > STALE_S + _SLACK_S]
    if breaks:
        assumptions.append("history_gap")
        if len(points) - breaks[-1] >= _STAYS_FRAMES:
            points = points[breaks[-1] :]
    if start := _new_target(points):
        assumptions.append("target_changed")
        points = points[start:]
    return points


def _new_target(points: list[tuple[float, float]]) -> int:
    """Index of the first frame of the present lead vehicle; 0 when it never changed.

    One or two outlier frames are not a new vehicle; the robust slope ignores them.
    """
    for i in range(len(points) - _STAYS_FRAMES, 0, -1):
        (t0, before), (t1, after) = points[i - 1], points[i]
        if abs(after - before) > max(_JUMP_M, _JUMP_MPS * (t1 - t0)) and all(
            abs(distance - after) < abs(distance - before) for _, distance in points[i:]
        ):
            return i
    return 0
