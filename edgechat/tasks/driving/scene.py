"""One moment of driving in SI units, and what is known of the vehicle ahead. Data, and the choice of evidence.

Decides which distance and which closing speed may be believed; how dangerous they are is ``risk.py``'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from edgechat.tasks.driving.closing import Closing, closing_speed

if TYPE_CHECKING:
    from edgechat.tasks.driving.conditions import Conditions

STALE_S = 0.5
"""A frame older than this says nothing about now."""
MAX_FRAMES = 30
_SLACK_S = 1e-6
"""Times arrive as decimal fractions: 0.5 s must not be stale because of binary rounding."""
_DISAGREEMENT_MPS = 2.0
_JUMP_M = 5.0
_JUMP_MPS = 70.0
"""A distance that moves by more than this between two frames, and stays, belongs to another vehicle: two vehicles do
not close at 250 km/h on a road where anybody keeps a lane."""
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
    """What may be believed about the vehicle ahead."""

    basis: Basis
    distance_m: float | None
    closing_mps: float | None
    """None while unknown: that is not zero."""
    closing: Closing | None
    """The estimate from the history, also where another source was believed."""
    assumptions: tuple[Assumption, ...]


def lead_of(scene: Scene) -> Lead:
    """Choose distance and closing speed. What is unknown stays unknown, and each choice is named."""
    said: list[Assumption] = []
    frames = _current(scene, said)
    distance = scene.distance_m
    if distance is None and frames and frames[-1].distance_m is not None:
        # A detector that loses the target for a frame must not make the road look free.
        distance = frames[-1].distance_m
        said.append("distance_held")
    if distance is None:
        said.append("no_lead_reported")
        return Lead("no_lead", None, None, None, tuple(said))
    estimate = closing_speed(_points(scene, frames, said))
    known = None if scene.lead_speed_mps is None else scene.speed_mps - scene.lead_speed_mps
    if estimate is not None and estimate.confidence == "low":
        said.append("low_confidence")
    if known is not None and estimate is not None and abs(known - estimate.speed_mps) > _DISAGREEMENT_MPS:
        said.append("sources_disagree")
    # Of two sources the one that closes faster is believed: a wrong alert costs less than a missing one.
    if estimate is not None and (known is None or estimate.speed_mps > known):
        return Lead("history", distance, estimate.speed_mps, estimate, tuple(said))
    if known is not None:
        return Lead("lead_speed", distance, known, estimate, tuple(said))
    said.append("closing_unknown")
    return Lead("gap_only", distance, None, None, tuple(said))


def _current(scene: Scene, said: list[Assumption]) -> tuple[Frame, ...]:
    """The history, or nothing when its newest frame is stale."""
    if not scene.history:
        return ()
    if scene.t_s is None:
        said.append("history_assumed_current")
    elif scene.t_s - scene.history[-1].t_s > STALE_S + _SLACK_S:
        said.append("history_stale")
        return ()
    return scene.history


def _points(scene: Scene, frames: tuple[Frame, ...], said: list[Assumption]) -> list[tuple[float, float]]:
    points = [(frame.t_s, frame.distance_m) for frame in frames if frame.distance_m is not None]
    if scene.t_s is not None and scene.distance_m is not None:
        if points and points[-1][0] == scene.t_s:
            points.pop()  # the history's newest frame is this very moment: the record itself has the last word
        points.append((scene.t_s, scene.distance_m))
    points = points[-MAX_FRAMES:]
    breaks = [i for i, (a, b) in enumerate(pairwise(points), 1) if b[0] - a[0] > STALE_S + _SLACK_S]
    if breaks:
        said.append("history_gap")
        if len(points) - breaks[-1] >= _STAYS_FRAMES:
            points = points[breaks[-1] :]
    if start := _new_target(points):
        said.append("target_changed")
        points = points[start:]
    return points


def _new_target(points: list[tuple[float, float]]) -> int:
    """Index of the first frame of the vehicle that is ahead now; 0 when it is the same throughout.

    One or two wild frames are not a new vehicle: the robust slope deals with those.
    """
    for i in range(len(points) - _STAYS_FRAMES, 0, -1):
        (t0, before), (t1, after) = points[i - 1], points[i]
        if abs(after - before) > max(_JUMP_M, _JUMP_MPS * (t1 - t0)) and all(
            abs(distance - after) < abs(distance - before) for _, distance in points[i:]
        ):
            return i
    return 0
