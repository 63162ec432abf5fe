"""Hysteresis: an alert comes at once, does not flicker, and goes only after a calm second."""

from __future__ import annotations

from edgechat.tasks.driving.alert import HysteresisState, next_alert


def trace(risks: list[float], step_s: float = 0.1, threshold: float = 0.7) -> list[bool]:
    state, shown = HysteresisState(), []
    for i, risk in enumerate(risks):
        state = next_alert(state, risk, i * step_s, threshold)
        shown.append(state.is_on)
    return shown


def test_it_is_raised_by_the_first_frame_above_the_threshold_and_not_at_it():
    assert trace([0.70, 0.7001]) == [False, True]


def test_a_risk_that_trembles_around_the_threshold_is_one_alert():
    assert trace([0.71, 0.69, 0.71, 0.65, 0.72, 0.69]) == [True] * 6


def test_it_ends_after_a_second_well_below():
    assert trace([0.8] + [0.3] * 11) == [True] * 11 + [False]


def test_the_calm_second_starts_anew_after_a_disturbance():
    assert trace([0.8] + [0.3] * 5 + [0.65] + [0.3] * 10)[-1]


def test_it_can_come_back_at_once():
    assert trace([0.8] + [0.3] * 11 + [0.9])[-2:] == [False, True]
