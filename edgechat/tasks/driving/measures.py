"""Criticality measures between a vehicle and the one ahead, in SI units. Pure functions.

Formulas: criticality-metrics.readthedocs.io (TTC, THW, DRAC, BTN), the RSS paper and ad-rss-lib (safe distance), and
the Japanese following-distance rule. Distances are in metres, bumper to bumper; speeds in m/s unless named ``kmh``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

GRAVITY_MPS2 = 9.8
DRY_FRICTION = 0.7
REACTION_S = 0.75
"""Reaction time in the stopping-distance formula 0.75 v + v²/(2·9.8·µ)."""
RSS_ACCELERATION_MPS2 = 3.5
RSS_BRAKE_MIN_MPS2 = 4.0
RSS_BRAKE_MAX_MPS2 = 8.0
RSS_RESPONSE_S = 1.0
"""Defaults of ad-rss-lib for the vehicle itself."""

Nodes = Sequence[tuple[float, float]]

# The rule: speed in km/h − 15 from 30 to 60 km/h, speed in km/h above 60. It is undefined below 30 and jumps by 15 m at
# 60. The nodes replace the jump by a slope from 50 to 60 that is never below the rule. Below 30 they fall to 2 m, the
# distance that drivers keep at standstill.
_RECOMMENDED_GAP: Nodes = ((0.0, 2.0), (30.0, 15.0), (50.0, 35.0), (60.0, 60.0))

# The published rule doubles the gap on wet roads. The factor rises linearly from dry to wet asphalt, stays at 2 until
# the braking distance (proportional to 1/µ) has doubled too, and grows with it on snow and ice.
_WET_FRICTION = 0.5
_WET_FACTOR = 2.0


def piecewise(x: float, nodes: Nodes) -> float:
    """Linear interpolation through ``nodes`` (ascending in x); constant beyond both ends, exact at every node."""
    x0, y0 = nodes[0]
    if x <= x0:
        return y0
    for x1, y1 in nodes[1:]:
        if x <= x1:
            return y1 if x == x1 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)
        x0, y0 = x1, y1
    return y0


def time_to_collision(distance_m: float, closing_mps: float) -> float:
    """TTC = d/Δv in seconds; infinite where the gap does not close."""
    return distance_m / closing_mps if closing_mps > 0 else math.inf


def time_headway(distance_m: float, speed_mps: float) -> float:
    """THW = d/v in seconds; infinite at standstill."""
    return distance_m / speed_mps if speed_mps > 0 else math.inf


def deceleration_to_avoid_crash(distance_m: float, closing_mps: float, lead_acceleration_mps2: float = 0.0) -> float:
    """DRAC = Δv²/2d − a₂ in m/s², positive for braking; a₂ is ``lead_acceleration_mps2``.

    a₂ is 0 at constant speed and negative when the lead brakes, which raises DRAC. 0 where the gap does not close;
    infinite at contact.
    """
    if closing_mps <= 0:
        return 0.0
    if distance_m <= 0:
        return math.inf
    return max(0.0, closing_mps**2 / (2 * distance_m) - lead_acceleration_mps2)


def brake_threat_number(drac_mps2: float, friction: float) -> float:
    """BTN = DRAC/(µg); at 1 or more, braking alone cannot avoid the crash."""
    return drac_mps2 / (friction * GRAVITY_MPS2)


def stopping_distance(speed_mps: float, friction: float, reaction_s: float = REACTION_S) -> float:
    """Stopping distance in metres: t·v + v²/(2·9.8·µ)."""
    return reaction_s * speed_mps + speed_mps**2 / (2 * GRAVITY_MPS2 * friction)


def rss_safe_distance(
    speed_mps: float,
    lead_speed_mps: float,
    *,
    response_s: float = RSS_RESPONSE_S,
    acceleration_mps2: float = RSS_ACCELERATION_MPS2,
    brake_min_mps2: float = RSS_BRAKE_MIN_MPS2,
    brake_max_mps2: float = RSS_BRAKE_MAX_MPS2,
) -> float:
    """RSS longitudinal safe distance, same direction: vρ + ½aρ² + (v+aρ)²/2b_min − v_lead²/2b_max, at least 0.

    Worst case: the lead brakes at ``brake_max_mps2`` while the vehicle accelerates during its response time and then
    brakes at ``brake_min_mps2``.
    """
    after_response = speed_mps + acceleration_mps2 * response_s
    return max(
        0.0,
        speed_mps * response_s
        + 0.5 * acceleration_mps2 * response_s**2
        + after_response**2 / (2 * brake_min_mps2)
        - lead_speed_mps**2 / (2 * brake_max_mps2),
    )


def recommended_gap(speed_kmh: float) -> float:
    """The Japanese following-distance rule for dry roads, in metres, made continuous (see the nodes)."""
    return speed_kmh if speed_kmh >= 60 else piecewise(speed_kmh, _RECOMMENDED_GAP)


def gap_factor(friction: float) -> float:
    """Factor on the gap for dry roads: 1 dry, 2 wet, below that proportional to the braking distance."""
    if friction >= _WET_FRICTION:
        return piecewise(friction, ((_WET_FRICTION, _WET_FACTOR), (DRY_FRICTION, 1.0)))
    return max(_WET_FACTOR, DRY_FRICTION / friction)


def wheel_to_line(offset_m: float, lane_width_m: float, vehicle_width_m: float) -> float:
    """Metres from the outer wheel to the nearer lane line; negative when the wheel is beyond it."""
    return (lane_width_m - vehicle_width_m) / 2 - abs(offset_m)
