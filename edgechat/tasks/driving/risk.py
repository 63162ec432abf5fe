"""Combines the measures into one risk between 0 and 1. Pure arithmetic, well below a millisecond; no model.

Each score is piecewise linear, continuous and monotone, so a small sensor error causes a small error of the risk. The
nodes are not calibrated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from edgechat.tasks.driving import measures
from edgechat.tasks.driving.measures import Nodes, piecewise
from edgechat.tasks.driving.scene import Assumption, Lead, Scene, lead_vehicle

DEFAULT_THRESHOLD = 0.7

Level = Literal["low", "moderate", "high", "critical"]
Factor = Literal["gap", "ttc", "btn", "lane", "none"]

GAP_NODES: Nodes = ((0.1, 1.0), (0.25, 0.7), (0.5, 0.4), (1.0, 0.0))
TTC_NODES: Nodes = ((1.5, 1.0), (3.0, 0.7), (6.0, 0.0))
BTN_NODES: Nodes = ((0.1, 0.0), (0.5, 0.7), (1.0, 1.0))
LANE_NODES: Nodes = ((-0.3, 1.0), (0.0, 0.6), (0.5, 0.0))

# Lane departure has full weight from 60 km/h and fades in from 50 km/h, so that the risk does not jump at one speed.
_LANE_SPEED_KMH: Nodes = ((50.0, 0.0), (60.0, 1.0))
# Queued vehicles stand two metres apart without danger, so the gap score fades out below 10 km/h. TTC and BTN do not,
# so rolling into the vehicle ahead still counts.
_CREEP_KMH: Nodes = ((0.0, 0.0), (10.0, 1.0))

_LEVELS: tuple[tuple[float, Level], ...] = ((0.9, "critical"), (0.7, "high"), (0.4, "moderate"))
_DECIMALS = 4
"""Risk and alert use the rounded value, so that binary fractions cannot move a risk of 0.70 across the threshold."""
_LONGEST_TTC_S = 1000.0
"""A longer TTC is published as null, like a gap that does not close."""


@dataclass(frozen=True, slots=True)
class RiskScores:
    """The scores of the measures, each 0 to 1."""

    gap: float
    ttc: float
    btn: float
    longitudinal: float
    """The largest of gap, ttc and btn. They correlate, so a sum would count one danger twice."""
    lane: float


@dataclass(frozen=True, slots=True)
class Assessment:
    """All computed values of one moment in SI units; None where a value is unknown or infinite."""

    risk: float
    level: Level
    alert: bool
    components: RiskScores
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
    """Assess the risk of one validated moment; the alert is ``risk > threshold``.

    Darkness, fog and snow lengthen the reaction time, which shortens the time and distance left for braking in the TTC
    and BTN *scores*. The published measures keep their textbook formulas, as does the following-distance rule.
    """
    lead, road = lead_vehicle(scene), scene.conditions
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
        components=RiskScores(gap, ttc_score, btn_score, longitudinal, lane),
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
    """The level of a risk. The lowest is ``low``: no level is called safe."""
    return next((level for floor, level in _LEVELS if risk > floor), "low")


def _closing_scores(distance_m: float, closing_mps: float, friction: float, delay_s: float) -> tuple[float, float]:
    ttc_score = piecewise(measures.time_to_collision(distance_m, closing_mps) - delay_s, TTC_NODES)
    room_m = distance_m - closing_mps * delay_s
    drac = measures.deceleration_to_avoid_crash(room_m, closing_mps)
    return ttc_score, piecewise(measures.brake_threat_number(drac, friction), BTN_NODES)


def _rss(scene: Scene, closing_mps: float) -> float:
    # Neither vehicle can brake harder than µg.
    max_braking_mps2 = scene.conditions.friction * measures.GRAVITY_MPS2
    return measures.rss_safe_distance(
        scene.speed_mps,
        max(0.0, scene.speed_mps - closing_mps),
        response_s=measures.RSS_RESPONSE_S + scene.conditions.delay_s,
        brake_min_mps2=min(measures.RSS_BRAKE_MIN_MPS2, max_braking_mps2),
        brake_max_mps2=measures.RSS_BRAKE_MAX_MPS2 * min(1.0, scene.conditions.friction / measures.DRY_FRICTION),
    )


def _limiting(gap: float, ttc: float, btn: float, lane: float) -> Factor:
    scores: tuple[tuple[float, Factor], ...] = ((ttc, "ttc"), (btn, "btn"), (gap, "gap"), (lane, "lane"))
    score, factor = max(scores, key=lambda pair: pair[0])  # the first of equals
    # A score that rounds to a risk of 0 limits nothing: 59.999 m is not short of 60 m.
    return factor if round(score, _DECIMALS) > 0 else "none"


def _assumptions(lead: Lead, scene: Scene) -> tuple[Assumption, ...]:
    assumptions: list[Assumption] = [*lead.assumptions, "friction_from_weather"]
    if scene.conditions.delay_s:
        assumptions.append("reaction_from_light")
    return (*assumptions, "uncalibrated")


def _bounded(value: float, longest: float) -> float | None:
    return value if value <= longest else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
