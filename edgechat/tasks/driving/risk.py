"""Fuses the measures into one risk between 0 and 1. Pure arithmetic, far below a millisecond; no model is involved.

Each score is piecewise linear, continuous and monotone, so a small error of a sensor makes a small error of the risk.
The nodes are uncalibrated. Where this differs from the plainest form, the reason stands beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from edgechat.tasks.driving import measures
from edgechat.tasks.driving.measures import Nodes, piecewise
from edgechat.tasks.driving.scene import Assumption, Lead, Scene, lead_of

DEFAULT_THRESHOLD = 0.7

Level = Literal["low", "moderate", "high", "critical"]
Factor = Literal["gap", "ttc", "btn", "lane", "none"]

GAP_NODES: Nodes = ((0.1, 1.0), (0.25, 0.7), (0.5, 0.4), (1.0, 0.0))
TTC_NODES: Nodes = ((1.5, 1.0), (3.0, 0.7), (6.0, 0.0))
BTN_NODES: Nodes = ((0.1, 0.0), (0.5, 0.7), (1.0, 1.0))
LANE_NODES: Nodes = ((-0.3, 1.0), (0.0, 0.6), (0.5, 0.0))

# Lane departure counts in full from 60 km/h. A switch there would let the risk jump when the speedometer moves by
# one, so it fades in over the 10 km/h before.
_LANE_SPEED_KMH: Nodes = ((50.0, 0.0), (60.0, 1.0))
# Vehicles in a queue stand two metres apart and nobody is in danger: the gap alone fades out below walking pace. TTC
# and BTN do not, so rolling into the one ahead still counts.
_CREEP_KMH: Nodes = ((0.0, 0.0), (10.0, 1.0))

_LEVELS: tuple[tuple[float, Level], ...] = ((0.9, "critical"), (0.7, "high"), (0.4, "moderate"))
_DECIMALS = 4
"""Risk and alert are both taken from the rounded value: exactly 0.70 is 0.70, whatever binary fractions make of it."""
_LONGEST_TTC_S = 1000.0
"""A gap that would take longer to close is published as one that does not close."""


@dataclass(frozen=True, slots=True)
class Components:
    """The scores, each 0 to 1."""

    gap: float
    ttc: float
    btn: float
    longitudinal: float
    """The largest of the three: they correlate, so adding them would count one danger twice."""
    lane: float


@dataclass(frozen=True, slots=True)
class Assessment:
    """Everything that arithmetic says about one moment. SI units; None where something is unknown or unbounded."""

    risk: float
    level: Level
    alert: bool
    components: Components
    limiting_factor: Factor
    lead: Lead
    ttc_s: float | None
    thw_s: float | None
    drac_mps2: float | None
    btn: float | None
    recommended_gap_m: float
    stopping_distance_m: float
    rss_safe_distance_m: float | None
    wheel_to_line_m: float
    assumptions: tuple[Assumption, ...]


def assess(scene: Scene, threshold: float = DEFAULT_THRESHOLD) -> Assessment:
    """Risk of one validated moment, with its parts and what was assumed.

    Darkness, fog and snow lengthen the reaction time. That shortens the time and the room left for braking in the
    TTC and BTN *scores*; the published measures themselves stay the textbook's, and so does the following-distance
    rule, which knows no light.
    """
    lead, road = lead_of(scene), scene.conditions
    speed_kmh = scene.speed_mps * 3.6
    wanted_m = measures.recommended_gap(speed_kmh) * measures.gap_factor(road.friction)
    line_m = measures.wheel_to_line(scene.offset_m, scene.lane_width_m, scene.vehicle_width_m)
    lane = piecewise(line_m, LANE_NODES) * piecewise(speed_kmh, _LANE_SPEED_KMH)
    gap = ttc_score = btn_score = 0.0
    ttc = thw = drac = btn = rss = None
    if lead.distance_m is not None:
        gap = piecewise(lead.distance_m / wanted_m, GAP_NODES) * piecewise(speed_kmh, _CREEP_KMH)
        thw = _finite(measures.time_headway(lead.distance_m, scene.speed_mps))
        if lead.closing_mps is not None:
            rss = _rss(scene, lead.closing_mps)
            drac = measures.deceleration_to_avoid_crash(lead.distance_m, lead.closing_mps)
            btn = measures.brake_threat_number(drac, road.friction)
            ttc = _bounded(measures.time_to_collision(lead.distance_m, lead.closing_mps), _LONGEST_TTC_S)
            if lead.closing_mps > 0:
                ttc_score, btn_score = _closing_scores(lead.distance_m, lead.closing_mps, road.friction, road.delay_s)
    longitudinal = max(gap, ttc_score, btn_score)
    risk = round(1 - (1 - longitudinal) * (1 - lane), _DECIMALS)
    return Assessment(
        risk=risk,
        level=level_of(risk),
        alert=risk > threshold,
        components=Components(gap, ttc_score, btn_score, longitudinal, lane),
        limiting_factor=_limiting(gap, ttc_score, btn_score, lane),
        lead=lead,
        ttc_s=ttc,
        thw_s=thw,
        drac_mps2=None if drac is None else _finite(drac),
        btn=None if btn is None else _finite(btn),
        recommended_gap_m=wanted_m,
        stopping_distance_m=measures.stopping_distance(scene.speed_mps, road.friction, road.reaction_s),
        rss_safe_distance_m=rss,
        wheel_to_line_m=line_m,
        assumptions=_assumptions(lead, scene),
    )


def level_of(risk: float) -> Level:
    """The word for a risk. The lowest one is ``low``: no level is called safe."""
    return next((level for floor, level in _LEVELS if risk > floor), "low")


def _closing_scores(distance_m: float, closing_mps: float, friction: float, delay_s: float) -> tuple[float, float]:
    ttc_score = piecewise(measures.time_to_collision(distance_m, closing_mps) - delay_s, TTC_NODES)
    room_m = distance_m - closing_mps * delay_s
    drac = measures.deceleration_to_avoid_crash(room_m, closing_mps)
    return ttc_score, piecewise(measures.brake_threat_number(drac, friction), BTN_NODES)


def _rss(scene: Scene, closing_mps: float) -> float:
    # No tyre brakes harder than µg, and a lead on the same ice does not either.
    grip = scene.conditions.friction * measures.GRAVITY_MPS2
    return measures.rss_safe_distance(
        scene.speed_mps,
        max(0.0, scene.speed_mps - closing_mps),
        response_s=measures.RSS_RESPONSE_S + scene.conditions.delay_s,
        brake_min_mps2=min(measures.RSS_BRAKE_MIN_MPS2, grip),
        brake_max_mps2=measures.RSS_BRAKE_MAX_MPS2 * min(1.0, scene.conditions.friction / measures.DRY_FRICTION),
    )


def _limiting(gap: float, ttc: float, btn: float, lane: float) -> Factor:
    scores: tuple[tuple[float, Factor], ...] = ((ttc, "ttc"), (btn, "btn"), (gap, "gap"), (lane, "lane"))
    score, factor = max(scores, key=lambda pair: pair[0])  # the first of equals
    return factor if score > 0 else "none"


def _assumptions(lead: Lead, scene: Scene) -> tuple[Assumption, ...]:
    said: list[Assumption] = [*lead.assumptions, "friction_from_weather"]
    if scene.conditions.delay_s:
        said.append("reaction_from_light")
    return (*said, "uncalibrated")


def _bounded(value: float, longest: float) -> float | None:
    return value if value <= longest else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
