"""The fused risk: golden values, and what must hold for every scene."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgechat.tasks.driving.conditions import TIMES_OF_DAY, WEATHERS, Conditions, conditions
from edgechat.tasks.driving.countermeasures import countermeasures
from edgechat.tasks.driving.risk import assess, level_of
from edgechat.tasks.driving.scene import Frame, Scene

DRY_DAY = conditions("clear", "day")


def scene(speed_kmh: float, distance_m: float | None, **changes: object) -> Scene:
    plain = Scene(speed_kmh / 3.6, distance_m, 0.0, 3.5, 1.8, DRY_DAY)
    return replace(plain, **changes)  # type: ignore[arg-type]


def behind(speed_kmh: float, lead_kmh: float, distance_m: float, **changes: object) -> Scene:
    return scene(speed_kmh, distance_m, lead_speed_mps=lead_kmh / 3.6, **changes)


@st.composite
def roads(draw: st.DrawFn) -> Conditions:
    return Conditions("clear", "day", draw(st.floats(0.05, 0.9)), 0.75 + draw(st.floats(0, 0.75)))


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Scenes of one frame, with and without a known lead speed, no closer than a metre."""
    return Scene(
        speed_mps=draw(st.floats(0, 60)),
        distance_m=draw(st.floats(1, 300)),
        offset_m=draw(st.floats(-3.5, 3.5)),
        lane_width_m=3.5,
        vehicle_width_m=1.8,
        conditions=draw(roads()),
        lead_speed_mps=draw(st.none() | st.floats(0, 60)),
    )


@pytest.mark.parametrize("time_of_day", ["day", "night"])
def test_100_kmh_45_m_in_rain_alerts(time_of_day):
    found = assess(scene(100, 45.0, offset_m=0.2, conditions=conditions("rain", time_of_day)))
    assert (found.risk, found.alert) == (0.75, True)
    assert (found.limiting_factor, found.lead.basis, found.ttc_s) == ("gap", "gap_only", None)


def test_the_same_on_a_dry_road_does_not():
    found = assess(scene(100, 45.0, offset_m=0.2))
    assert (found.risk, found.alert, found.level) == (0.46, False, "moderate")


def test_a_quarter_of_the_recommended_gap_is_exactly_the_threshold_and_no_alert():
    found = assess(scene(100, 25.0))
    assert (found.risk, found.alert, found.level) == (0.70, False, "moderate")


@pytest.mark.parametrize(
    ("ttc", "score"),
    [(1.5, 1.0), (3.0, 0.7), (6.0, 0.0)],
)
def test_ttc_scores_at_their_nodes(ttc, score):
    closing = 5.0
    found = assess(behind(100, 100 - closing * 3.6, ttc * closing))
    assert found.components.ttc == pytest.approx(score, abs=1e-9)
    assert found.ttc_s == pytest.approx(ttc)


@pytest.mark.parametrize(("line", "score"), [(0.5, 0.0), (0.0, 0.6), (-0.3, 1.0)])
def test_lane_scores_at_their_nodes_from_60_kmh(line, score):
    assert assess(scene(60, None, offset_m=0.85 - line)).components.lane == pytest.approx(score)
    assert assess(scene(50, None, offset_m=0.85 - line)).components.lane == 0.0


def test_gap_and_lane_add_up_but_the_three_longitudinal_scores_do_not():
    found = assess(scene(100, 50.0, offset_m=0.85))
    assert found.components.lane == pytest.approx(0.6)
    assert found.risk == pytest.approx(1 - 0.6 * 0.4)
    closing = assess(behind(100, 82, 15.0))
    assert closing.risk == pytest.approx(max(closing.components.gap, closing.components.ttc, closing.components.btn))


def test_without_a_vehicle_ahead_nothing_is_known_and_nothing_is_called_safe():
    found = assess(scene(100, None))
    assert (found.risk, found.level, found.lead.basis) == (0.0, "low", "no_lead")
    assert (found.ttc_s, found.thw_s) == (None, None)
    assert "no_lead_reported" in found.assumptions


def test_one_frame_leaves_ttc_unknown_and_says_so():
    found = assess(scene(100, 200.0, t_s=0.0))
    assert (found.lead.basis, found.ttc_s, found.lead.closing_mps) == ("gap_only", None, None)
    assert "closing_unknown" in found.assumptions
    assert "watch_ahead" in countermeasures(scene(100, 200.0), found)


def test_a_queue_at_rest_is_no_alarm_but_rolling_into_it_is():
    assert assess(scene(0, 1.0)).risk == 0.0
    assert assess(behind(0, 0, 1.0)).risk == 0.0
    assert assess(behind(8, 0, 1.0)).alert


def test_no_level_is_called_safe():
    assert [level_of(risk) for risk in (0.0, 0.4, 0.41, 0.7, 0.71, 0.9, 0.91, 1.0)] == [
        "low", "low", "moderate", "moderate", "high", "high", "critical", "critical",
    ]  # fmt: skip


def test_darkness_and_fog_act_through_reaction_time_where_the_gap_closes():
    def risk(weather: str, time_of_day: str) -> float:
        road = conditions(weather, time_of_day)  # type: ignore[arg-type]
        return assess(behind(50, 20, 30.0, conditions=road)).risk

    assert risk("clear", "day") < risk("clear", "night") < risk("fog", "night")


def test_every_pair_of_labels_has_conditions_no_better_than_a_clear_day():
    for weather in WEATHERS:
        for time_of_day in TIMES_OF_DAY:
            road = conditions(weather, time_of_day)
            assert road.friction <= DRY_DAY.friction
            assert road.reaction_s >= DRY_DAY.reaction_s


def approach(closing: float, frames: int = 10) -> tuple[Frame, ...]:
    return tuple(Frame(i * 0.1, 30.0 + closing * (frames - i) * 0.1) for i in range(frames))


def test_a_history_gives_the_closing_speed_ttc_and_its_confidence():
    found = assess(scene(100, 30.0, t_s=1.0, history=approach(10.0)))
    assert found.lead.basis == "history"
    assert found.lead.closing_mps == pytest.approx(10.0)
    assert found.ttc_s == pytest.approx(3.0)
    assert found.lead.closing is not None
    assert found.lead.closing.confidence == "high"


def test_a_stale_history_is_said_and_not_used():
    fresh = assess(scene(100, 30.0, t_s=1.4, history=approach(10.0)))
    stale = assess(scene(100, 30.0, t_s=1.41, history=approach(10.0)))
    assert (fresh.lead.basis, stale.lead.basis) == ("history", "gap_only")
    assert "history_stale" in stale.assumptions
    assert stale.ttc_s is None


def test_a_hole_in_the_history_is_said_and_only_frames_behind_it_count():
    old = tuple(Frame(i * 0.1, 90.0) for i in range(5))
    new = tuple(Frame(3 + frame.t_s, frame.distance_m) for frame in approach(10.0))
    found = assess(scene(100, 30.0, t_s=4.0, history=old + new))
    assert "history_gap" in found.assumptions
    assert found.lead.closing_mps == pytest.approx(10.0)


def test_a_vehicle_that_cuts_in_is_judged_by_its_own_frames():
    before = tuple(Frame(i * 0.1, 80.0) for i in range(6))
    after = tuple(Frame(0.6 + i * 0.1, 20.0) for i in range(6))
    found = assess(scene(100, 20.0, t_s=1.2, history=before + after))
    assert "target_changed" in found.assumptions
    assert found.lead.closing_mps == pytest.approx(0.0)


def test_a_lost_target_does_not_make_the_road_free():
    found = assess(scene(100, None, t_s=1.0, history=(Frame(0.9, 20.0),)))
    assert found.lead.distance_m == 20.0
    assert "distance_held" in found.assumptions
    assert found.alert
    assert assess(scene(100, None, t_s=1.5, history=(Frame(0.9, 20.0),))).lead.basis == "no_lead"


def test_of_two_sources_the_faster_closing_is_believed_and_a_quarrel_is_said():
    found = assess(behind(100, 100, 30.0, t_s=1.0, history=approach(10.0)))
    assert found.lead.basis == "history"
    assert "sources_disagree" in found.assumptions
    slower = assess(behind(100, 28, 30.0, t_s=1.0, history=approach(10.0)))
    assert slower.lead.basis == "lead_speed"


@given(scenes())
def test_the_risk_is_bounded_and_agrees_with_its_parts(moment):
    found = assess(moment)
    parts = found.components
    for score in (found.risk, parts.gap, parts.ttc, parts.btn, parts.longitudinal, parts.lane):
        assert 0.0 <= score <= 1.0
    assert found.alert == (found.risk > 0.7)
    assert found.risk == pytest.approx(1 - (1 - parts.longitudinal) * (1 - parts.lane), abs=1e-4)
    # A score that rounds to a risk of 0 limits nothing.
    assert (found.limiting_factor == "none") == (round(max(parts.longitudinal, parts.lane), 4) == 0)
    assert countermeasures(moment, found)


@given(scenes(), st.floats(1, 300))
def test_a_larger_gap_never_raises_the_risk(moment, other):
    assume(moment.distance_m is not None)
    near, far = sorted([float(moment.distance_m or 0), other])
    assert assess(replace(moment, distance_m=near)).risk >= assess(replace(moment, distance_m=far)).risk


@given(scenes(), st.floats(0, 60), st.floats(0, 60))
def test_faster_closing_never_lowers_the_risk(moment, one, other):
    slow, fast = sorted([one, other])
    closing_fast = assess(replace(moment, lead_speed_mps=slow)).risk
    assert closing_fast >= assess(replace(moment, lead_speed_mps=fast)).risk


@given(scenes(), st.floats(0.05, 0.9))
def test_more_friction_never_raises_the_risk(moment, other):
    low, high = sorted([moment.conditions.friction, other])
    slippery = assess(replace(moment, conditions=replace(moment.conditions, friction=low))).risk
    assert slippery >= assess(replace(moment, conditions=replace(moment.conditions, friction=high))).risk


@given(scenes(), st.floats(0, 60))
def test_more_speed_never_lowers_the_risk(moment, other):
    slow, fast = sorted([moment.speed_mps, other])
    assert assess(replace(moment, speed_mps=fast)).risk >= assess(replace(moment, speed_mps=slow)).risk


@given(scenes(), st.floats(0, 0.75))
def test_slower_reaction_never_lowers_the_risk(moment, more):
    slower = replace(moment.conditions, reaction_s=moment.conditions.reaction_s + more)
    assert assess(replace(moment, conditions=slower)).risk >= assess(moment).risk


@pytest.mark.parametrize("lead_kmh", [None, 20.0])
@pytest.mark.parametrize("weather", ["clear", "rain", "snow", "ice"])
def test_no_sweep_over_speed_gap_or_offset_has_a_jump(weather, lead_kmh):
    road = conditions(weather, "night")
    lead = None if lead_kmh is None else lead_kmh / 3.6

    def at(speed_kmh: float, gap_m: float, offset_m: float) -> float:
        return assess(scene(speed_kmh, gap_m, offset_m=offset_m, lead_speed_mps=lead, conditions=road)).risk

    steps = range(4001)
    sweeps = [
        [at(step * 0.05, 60.0, 0.8) for step in steps],
        [at(70.0, 2.0 + step * 0.05, 0.5) for step in steps],
        [at(55.0, 40.0, -2.0 + step * 0.001) for step in steps],
    ]
    assert max(sweeps[0]) - min(sweeps[0]) > 0.2
    assert all(abs(after - before) <= 0.02 for sweep in sweeps for before, after in pairwise(sweep))


STEP = 1e-5
STEEPEST = 60.0
"""Risk per m, m/s or unit of friction. The steepest is BTN by friction at 0.05: 1.75/0.05 = 35."""


@given(scenes(), st.sampled_from(["distance_m", "speed_mps", "offset_m", "lead_speed_mps", "friction"]))
def test_a_small_change_of_an_input_is_a_small_change_of_the_risk(moment, name):
    if name == "friction":
        moved = replace(moment, conditions=replace(moment.conditions, friction=moment.conditions.friction + STEP))
    else:
        value = getattr(moment, name)
        assume(value is not None)
        moved = replace(moment, **{name: value + STEP})
    # The published risk has four decimals.
    assert abs(assess(moment).risk - assess(moved).risk) <= STEEPEST * STEP + 1.01e-4


@given(
    st.floats(-5, 15), st.lists(st.floats(-0.4, 0.4), min_size=3, max_size=29), st.integers(0, 28), st.floats(5, 100)
)
def test_a_small_change_of_an_earlier_distance_is_a_small_change_of_the_risk(closing, noise, index, now_m):
    n = len(noise)
    frames = tuple(Frame(i * 0.1, now_m + closing * (n - i) * 0.1 + 2 + e) for i, e in enumerate(noise))
    index %= n
    changed = Frame(frames[index].t_s, (frames[index].distance_m or 0) + STEP)
    moved = (*frames[:index], changed, *frames[index + 1 :])

    def risk(history: tuple[Frame, ...]) -> float:
        return assess(scene(70, now_m, t_s=n * 0.1, history=history)).risk

    assert abs(risk(frames) - risk(moved)) <= STEEPEST * STEP / 0.1 + 1.01e-4
