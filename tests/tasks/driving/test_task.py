"""The driving task from record to result: rules explain, and the model may add one checked sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.errors import EngineError
from edgechat.tasks.contract import Context
from edgechat.tasks.driving.conditions import TIMES_OF_DAY, WEATHERS
from edgechat.tasks.driving.task import Driving
from edgechat.tasks.driving.texts import ASSUMPTIONS, COUNTERMEASURES
from edgechat.tasks.runner import run_in_stages, run_task
from tests.tasks.scripted import ManualClock, ScriptedGenerator, assert_fits

GOOD: dict[str, Any] = dict(Driving.example)
EXPLAINED = ("explanation", "explanation_status", "explanation_sentences")
REASON = "The gap of 45.0 m is short of the 200.0 m recommended here."
TRUE = "In rain at 100 km/h, stopping takes 99.6 m, more than the gap of 45 m."
SMALL = Context(parameters=494_000_000)


def without_words(result: dict[str, Any]) -> dict[str, Any]:
    """What no model may touch: everything but its sentence."""
    return {name: value for name, value in result.items() if name not in EXPLAINED}


def says(text: str) -> ScriptedGenerator:
    return ScriptedGenerator({"sentence": text})


def test_the_alert_and_the_explanation_stand_before_the_model_is_asked():
    task, generator = Driving(), says(TRUE)
    seen = []
    for done in run_in_stages(task, GOOD, generator=generator):
        result = assert_fits(task, done)
        seen.append((done.is_final, len(generator.calls), result["alert"], result["explanation"].startswith(REASON)))
    assert seen == [(False, 0, True, True), (True, 1, True, True)]


def test_a_true_sentence_is_added_to_the_reason_and_changes_nothing_else():
    task = Driving()
    alone = assert_fits(task, run_task(task, GOOD, generator=None))
    done = run_task(task, GOOD, generator=says(TRUE))
    result = assert_fits(task, done)
    assert (done.status, result["explanation_status"], done.errors) == ("ok", "ok", ())
    assert result["explanation"] == f"{REASON} {TRUE}"
    assert result["explanation_sentences"] == [
        {"text": REASON, "worded_by": "rule"},
        {"text": TRUE, "worded_by": "model"},
    ]
    assert without_words(result) == without_words(alone)
    assert {item["worded_by"] for item in result["countermeasures"]} == {"rule"}
    assert (done.model, done.quant, done.seed) == ("scripted", "NONE", 7)


@pytest.mark.parametrize(
    ("generator", "status"),
    [
        (None, "no_model"),
        (ScriptedGenerator(finish_reason="timeout"), "timeout"),
        (ScriptedGenerator({"sentence": "cut"}, finish_reason="length"), "truncated"),
        (ScriptedGenerator(finish_reason="cancelled"), "cancelled"),
        (ScriptedGenerator(raises=EngineError("The engine died.", cause="oom")), "failed"),
        (says("At 3.7 seconds you will crash."), "rejected"),
        (says("There is no danger at all."), "rejected"),
        (says("\x1b\x07"), "rejected"),
        (ScriptedGenerator({"risk": 0.0}), "rejected"),
        (ScriptedGenerator("low"), "rejected"),
    ],
)
def test_without_a_usable_answer_the_rules_reason_is_the_explanation(generator, status):
    task = Driving()
    done = run_task(task, GOOD, generator=generator)
    result = assert_fits(task, done)
    assert (done.status, result["risk"], result["alert"]) == ("ok", 0.75, True)
    assert (result["explanation"], result["explanation_status"]) == (REASON, status)
    assert [item["worded_by"] for item in result["explanation_sentences"]] == ["rule"]
    assert done.errors[0].path == "/explanation"
    assert done.errors[0].message


def test_a_small_model_is_not_asked():
    task, generator = Driving(), says(TRUE)
    done = run_task(task, GOOD, generator=generator, context=SMALL)
    result = assert_fits(task, done)
    assert generator.calls == []
    assert (result["explanation"], result["explanation_status"], done.errors) == (REASON, "rules_only", ())


def test_the_error_behind_a_missing_explanation_is_kept_for_the_caller():
    error = EngineError("The engine died.", cause="oom")
    assert run_task(Driving(), GOOD, generator=ScriptedGenerator(raises=error)).cause is error


def test_a_time_that_has_run_out_is_not_spent_on_the_model():
    clock, generator = ManualClock(), says("late")
    steps = run_in_stages(Driving(), GOOD, generator=generator, timeout_s=0.5, clock=clock)  # type: ignore[arg-type]
    assert next(steps).status == "ok"
    clock.monotonic_s += 0.6
    last = next(steps)
    assert last.result is not None
    assert last.result["explanation_status"] == "timeout"
    assert generator.calls == []


def test_the_model_is_given_no_field_that_it_could_set_but_its_sentence():
    generator = says("x")
    run_task(Driving(), GOOD, generator=generator, seed=3, timeout_s=2.0)
    (call,) = generator.calls
    assert list(call.schema["properties"]) == ["sentence"]
    assert call.schema["additionalProperties"] is False
    assert call.schema["properties"]["sentence"]["maxLength"] <= 120
    assert call.max_tokens <= 60
    assert call.seed == 3
    assert call.timeout_s is not None
    assert call.timeout_s <= 2.0


def test_the_system_message_is_the_same_for_every_moment():
    generator = says("x")
    for speed in (30.0, 90.0):
        run_task(Driving(), {**GOOD, "speed_kmh": speed}, generator=generator)
    first, second = generator.calls
    assert first.messages[:-1] == second.messages[:-1]
    assert first.messages[-1] != second.messages[-1]


@pytest.mark.parametrize("language", ["ja", "en", "zh"])
def test_texts_follow_the_records_language_and_numbers_do_not(language):
    task = Driving()
    result = assert_fits(task, run_task(task, {**GOOD, "language": language}, generator=None))
    english = assert_fits(task, run_task(task, GOOD, generator=None))
    assert result["risk"] == english["risk"]
    assert [item["code"] for item in result["countermeasures"]] == [item["code"] for item in english["countermeasures"]]
    assert result["countermeasures"][0]["text"] == COUNTERMEASURES["increase_gap"][language]
    assert result["language"] == language


def test_the_contexts_language_is_used_where_the_record_names_none():
    task = Driving()
    record = {name: value for name, value in GOOD.items() if name != "language"}
    done = run_task(task, record, generator=None, context=Context(language="ja"))
    assert assert_fits(task, done)["language"] == "ja"


def test_every_text_exists_in_every_language_and_differs():
    for texts in (*COUNTERMEASURES.values(), *ASSUMPTIONS.values()):
        assert set(texts) == {"ja", "en", "zh"}
        assert len(set(texts.values())) == 3
        assert all(texts.values())


@pytest.mark.parametrize("language", ["en", "ja", "zh"])
def test_the_text_form_holds_the_reason_once_and_the_models_sentence_where_it_passed(language):
    task, record = Driving(), {**GOOD, "language": language}
    alone = run_task(task, record, generator=None)
    assert alone.result is not None
    refused = run_task(task, record, generator=says("You are perfectly safe at 777 m."))
    for done in (alone, refused):
        text = task.render(done, "text")
        assert text.count(alone.result["reason"]) == 1
        assert "777" not in text
    assert TRUE in task.render(run_task(task, GOOD, generator=says(TRUE)), "text")


def test_the_text_form_leads_with_the_alert_and_ends_with_what_this_is_not():
    task = Driving()
    text = task.render(run_task(task, GOOD, generator=None), "text")
    assert text.startswith("!! 0.75 high")
    assert text.rstrip().endswith("The driver stays responsible.")
    refused = task.render(run_task(task, {**GOOD, "weather": "hail"}, generator=None), "text")
    assert refused.startswith("/weather")


def frames(count: int, *, closing: float, start_m: float) -> list[dict[str, Any]]:
    return [
        {"speed_kmh": 80.0, "distance_to_car_m": start_m - closing * i * 0.1, "lane_center_offset_m": 0.0,
         "weather": "clear", "time_of_day": "day", "t_s": i * 0.1}
        for i in range(count)
    ]  # fmt: skip


LIVE = Context(live=True)


def test_a_live_stream_of_single_frames_learns_the_closing_speed():
    task = Driving()
    done = [run_task(task, frame, generator=None, context=LIVE) for frame in frames(20, closing=10.0, start_m=70.0)]
    first, last = assert_fits(task, done[0]), assert_fits(task, done[-1])
    assert (first["basis"], first["ttc_s"]) == ("gap_only", None)
    assert last["basis"] == "history"
    assert last["closing_speed_mps"] == pytest.approx(10.0)


def test_records_of_a_file_know_nothing_of_each_other():
    task = Driving()
    done = [run_task(task, frame, generator=None) for frame in frames(20, closing=10.0, start_m=70.0)]
    assert {assert_fits(task, one)["basis"] for one in done} == {"gap_only"}


def test_a_live_frame_out_of_order_is_refused_and_the_stream_goes_on():
    task = Driving()
    a, b, c = frames(3, closing=1.0, start_m=60.0)
    status = [run_task(task, frame, generator=None, context=LIVE).status for frame in (a, c, b, c)]
    assert status == ["ok", "ok", "invalid_input", "invalid_input"]
    later = {**c, "t_s": 0.3}
    assert run_task(task, later, generator=None, context=LIVE).status == "ok"


def test_a_live_stream_has_one_clock():
    task = Driving()
    with_time = frames(1, closing=0.0, start_m=60.0)[0]
    without = {name: value for name, value in with_time.items() if name != "t_s"}
    assert run_task(task, without, generator=None, context=LIVE).status == "ok"
    assert run_task(task, with_time, generator=None, context=LIVE).status == "invalid_input"


def test_frames_without_time_take_the_contexts_and_two_within_one_tick_do_no_harm():
    task = Driving()
    moments = [(0.0, 50.0), (0.1, 49.0), (0.1, 49.0), (0.2, 48.0), (0.3, 47.0)]
    for now_s, distance in moments:
        record = {**GOOD, "distance_to_car_m": distance}
        done = run_task(task, record, generator=None, context=Context(live=True, now_s=now_s))
    assert assert_fits(task, done)["closing_speed_mps"] == pytest.approx(10.0)


def test_a_pause_in_the_stream_forgets_what_came_before():
    task = Driving()
    for frame in frames(10, closing=10.0, start_m=70.0):
        run_task(task, frame, generator=None, context=LIVE)
    late = {**frames(1, closing=0.0, start_m=50.0)[0], "t_s": 2.0}
    result = assert_fits(task, run_task(task, late, generator=None, context=LIVE))
    assert (result["basis"], result["ttc_s"]) == ("gap_only", None)
    second = {**late, "t_s": 2.1, "distance_to_car_m": 50.2}
    result = assert_fits(task, run_task(task, second, generator=None, context=LIVE))
    assert result["closing_speed_mps"] == pytest.approx(-2.0)
    assert result["closing_estimate"]["frames"] == 2


def test_the_live_alert_has_hysteresis_and_the_risk_has_not():
    task = Driving()
    gaps = [20.0, 26.0, 20.0, *[60.0] * 12]
    done = []
    for i, gap in enumerate(gaps):
        record = {**GOOD, "weather": "clear", "distance_to_car_m": gap, "history": []}
        done.append(run_task(task, record, generator=None, context=Context(live=True, now_s=i * 0.3)))
    results = [assert_fits(task, one) for one in done]
    assert [result["alert"] for result in results[:4]] == [True] * 4
    assert results[3]["risk"] < 0.7
    assert not results[-1]["alert"]


@given(
    st.fixed_dictionaries(
        {
            "speed_kmh": st.floats(0, 400),
            "distance_to_car_m": st.none() | st.floats(0, 2000),
            "lane_center_offset_m": st.floats(-3.5, 3.5),
            "weather": st.sampled_from(WEATHERS),
            "time_of_day": st.sampled_from(TIMES_OF_DAY),
            "language": st.sampled_from(["ja", "en", "zh"]),
        },
        optional={
            "lead_speed_kmh": st.floats(0, 400),
            "threshold": st.floats(0.01, 0.99),
            "history": st.lists(st.none() | st.floats(0, 2000), max_size=30).map(
                lambda distances: [
                    {"t_s": i * 0.1, "speed_kmh": 50.0, "distance_to_car_m": d, "lane_center_offset_m": 0.0}
                    for i, d in enumerate(distances)
                ]
            ),
        },
    ),
    st.text(max_size=60),
)
def test_every_valid_record_gives_a_result_that_fits_its_schema_whatever_the_model_says(record, words):
    task = Driving()
    alone = assert_fits(task, run_task(task, record, generator=None))
    done = run_task(task, record, generator=says(words))
    result = assert_fits(task, done)
    assert done.status == "ok"
    assert without_words(result) == without_words(alone)
    assert result["explanation"].startswith(result["reason"])
    assert result["alert"] == (result["risk"] > result["threshold"])
    if result["basis"] in {"gap_only", "no_lead"}:
        assert result["ttc_s"] is None
    json.dumps(result, allow_nan=False)
