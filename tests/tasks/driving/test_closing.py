"""Closing speed from noisy distances."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.tasks.driving.closing import closing_speed


def approach(closing: float, frames: int = 30, step_s: float = 0.1, start_m: float = 60.0) -> list[tuple[float, float]]:
    return [(i * step_s, start_m - closing * i * step_s) for i in range(frames)]


@pytest.mark.parametrize("closing", [-3.0, 0.0, 5.0, 12.5])
def test_a_clean_approach_is_found_exactly_and_with_high_confidence(closing):
    found = closing_speed(approach(closing))
    assert found is not None
    assert found.speed_mps == pytest.approx(closing)
    assert found.confidence == "high"
    assert found.frames == 30


def test_one_frame_tells_nothing():
    assert closing_speed([(0.0, 40.0)]) is None
    assert closing_speed([]) is None


def test_two_frames_tell_something_of_low_confidence():
    found = closing_speed([(0.0, 40.0), (0.1, 39.0)])
    assert found is not None
    assert found.speed_mps == pytest.approx(10.0)
    assert found.confidence == "low"


def test_a_fifth_of_the_frames_may_be_wild():
    points = approach(5.0)
    for i in (3, 9, 14, 20, 26, 28):
        points[i] = (points[i][0], 5.0 if i % 2 else 250.0)
    found = closing_speed(points)
    assert found is not None
    assert found.speed_mps == pytest.approx(5.0, abs=0.3)


def test_noise_widens_the_interval_which_still_holds_the_truth():
    noise = random.Random(1)
    points = [(t, d + noise.gauss(0, 0.5)) for t, d in approach(5.0)]
    found = closing_speed(points)
    assert found is not None
    assert found.low_mps <= 5.0 <= found.high_mps
    assert found.low_mps < found.high_mps


def test_confidence_falls_with_noise():
    noise = random.Random(2)
    found = closing_speed([(t, d + noise.gauss(0, 6)) for t, d in approach(0.0, frames=8)])
    assert found is not None
    assert found.confidence == "low"


def test_a_lead_that_has_just_begun_to_brake_is_seen_before_the_long_slope_shows_it():
    steady = [(i * 0.1, 40.0) for i in range(23)]
    braking = [(2.2 + i * 0.1, 40.0 - 8.0 * i * 0.1) for i in range(1, 8)]
    found = closing_speed([*steady, *braking])
    assert found is not None
    assert found.speed_mps > 6.0


@given(
    st.lists(st.floats(1, 200), min_size=2, max_size=30),
    st.integers(0, 29),
    st.floats(-1e-4, 1e-4),
)
def test_a_small_change_of_a_distance_is_a_small_change_of_the_slope(distances, index, change):
    points = [(i * 0.1, d) for i, d in enumerate(distances)]
    moved = list(points)
    index %= len(points)
    moved[index] = (points[index][0], points[index][1] + change)
    before, after = closing_speed(points), closing_speed(moved)
    assert before is not None
    assert after is not None
    assert abs(before.speed_mps - after.speed_mps) <= 1e-4 / 0.1 + 1e-9
