"""The formulas, held against published and hand-computed values."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from edgechat.tasks.driving import measures


def kmh(speed: float) -> float:
    return speed / 3.6


def test_stopping_distance_at_60_kmh_on_a_dry_road():
    assert round(measures.stopping_distance(kmh(60), 0.7), 1) == 32.7


@pytest.mark.parametrize(("acceleration", "distance"), [(0.0, 39.8), (4.0, 83.6)])
def test_rss_at_50_kmh_behind_a_lead_that_brakes_to_a_stop_from_the_same_speed(acceleration, distance):
    # These published values hold for a lead that starts at 50 km/h and stops; behind one that stands already the same
    # formula asks for 51.9 and 95.7 m.
    found = measures.rss_safe_distance(kmh(50), kmh(50), response_s=2.0, acceleration_mps2=acceleration)
    assert round(found, 1) == distance


def test_rss_behind_a_standing_lead_asks_for_the_leads_braking_distance_more():
    moving = measures.rss_safe_distance(kmh(50), kmh(50), response_s=2.0, acceleration_mps2=0.0)
    standing = measures.rss_safe_distance(kmh(50), 0.0, response_s=2.0, acceleration_mps2=0.0)
    assert standing - moving == pytest.approx(kmh(50) ** 2 / 16)


def test_rss_is_never_negative():
    assert measures.rss_safe_distance(1.0, 40.0) == 0.0


def test_ttc_counts_only_while_the_gap_closes():
    assert measures.time_to_collision(30.0, 10.0) == 3.0
    assert measures.time_to_collision(30.0, 0.0) == math.inf
    assert measures.time_to_collision(30.0, -5.0) == math.inf


def test_headway_at_100_kmh_and_45_m():
    assert measures.time_headway(45.0, kmh(100)) == pytest.approx(1.62)
    assert measures.time_headway(45.0, 0.0) == math.inf


def test_a_braking_lead_asks_for_more_deceleration_not_less():
    steady = measures.deceleration_to_avoid_crash(20.0, 10.0)
    assert steady == 2.5
    assert measures.deceleration_to_avoid_crash(20.0, 10.0, lead_acceleration_mps2=-3.0) == 5.5
    assert measures.deceleration_to_avoid_crash(20.0, -1.0) == 0.0
    assert measures.deceleration_to_avoid_crash(0.0, 1.0) == math.inf


def test_brake_threat_number_is_one_where_the_road_gives_no_more():
    assert measures.brake_threat_number(0.7 * 9.8, 0.7) == pytest.approx(1.0)


@pytest.mark.parametrize(("speed", "gap"), [(30, 15), (40, 25), (50, 35), (60, 60), (80, 80), (100, 100)])
def test_the_recommended_gap_is_the_published_rule_where_it_is_unambiguous(speed, gap):
    assert measures.recommended_gap(speed) == gap


def test_the_recommended_gap_never_asks_for_less_than_the_rule_and_never_jumps():
    speeds = [step / 10 for step in range(2001)]
    gaps = [measures.recommended_gap(speed) for speed in speeds]
    assert all(gap >= speed - 15 for speed, gap in zip(speeds, gaps, strict=True))
    assert all(0 <= after - before <= 0.26 for before, after in pairwise(gaps))


def test_the_gap_doubles_on_a_wet_road_and_grows_on_ice():
    assert measures.gap_factor(0.7) == 1.0
    assert measures.gap_factor(0.8) == 1.0
    assert measures.gap_factor(0.5) == 2.0
    assert measures.gap_factor(0.45) == 2.0
    assert measures.gap_factor(0.07) == pytest.approx(10.0)


def test_wheel_to_line_is_the_same_on_both_sides_and_negative_beyond_the_line():
    assert measures.wheel_to_line(0.2, 3.5, 1.8) == pytest.approx(0.65)
    assert measures.wheel_to_line(-0.2, 3.5, 1.8) == pytest.approx(0.65)
    assert measures.wheel_to_line(1.0, 3.5, 1.8) < 0


def test_interpolation_is_exact_at_its_nodes():
    nodes = ((0.1, 1.0), (0.25, 0.7), (0.5, 0.4), (1.0, 0.0))
    assert [measures.piecewise(x, nodes) for x, _ in nodes] == [y for _, y in nodes]
    assert measures.piecewise(-1, nodes) == 1.0
    assert measures.piecewise(math.inf, nodes) == 0.0
