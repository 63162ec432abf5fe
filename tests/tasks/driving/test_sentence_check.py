"""A model's sentence against the facts: what copies, misstates, advises or reassures is refused."""

from __future__ import annotations

from typing import Any

import pytest

from edgechat.tasks.contract import Ask, Context
from edgechat.tasks.driving.record import DrivingInput
from edgechat.tasks.driving.sentence_check import sentence_fault
from edgechat.tasks.driving.task import Driving

RAIN = {
    "speed_kmh": 100.0,
    "distance_to_car_m": 45.0,
    "lane_center_offset_m": 0.2,
    "weather": "rain",
    "time_of_day": "night",
}
LANE = {
    "speed_kmh": 90.0,
    "distance_to_car_m": None,
    "lane_center_offset_m": -0.9,
    "weather": "clear",
    "time_of_day": "day",
}


def fault(said: str, raw: dict[str, Any], language: str = "en") -> str:
    task = Driving()
    record = DrivingInput.model_validate({**raw, "language": language})
    ask = next(task.steps(record, Context()))
    assert isinstance(ask, Ask)
    assert ask.so_far.result is not None
    return sentence_fault(said, record, ask.so_far.result)


@pytest.mark.parametrize(
    ("said", "raw", "language"),
    [
        ("At 100 km/h in rain, stopping takes 106.5 m, more than the gap of 45 m.", RAIN, "en"),
        ("The road is wet and it is night.", RAIN, "en"),
        ("The vehicle is 0.2 m right of the lane centre at 100 km/h.", RAIN, "en"),
        ("The vehicle is 0.9 m left of the lane centre at 90 km/h.", LANE, "en"),
        ("夜間の雨で、100 km/hからの停止距離は106.5 mで、車間距離45 mより長いです。", RAIN, "ja"),
        ("90 km/hで、車線中央から左へ0.9 mの位置です。", LANE, "ja"),
        ("夜间雨天以100 km/h行驶，停车距离为106.5 m，大于车距45 m。", RAIN, "zh"),
    ],
)
def test_a_true_sentence_that_adds_something_passes(said, raw, language):
    assert fault(said, raw, language) == ""


@pytest.mark.parametrize(
    ("said", "raw", "language", "why"),
    [
        ("The gap of 45.0 m is short of the 200.0 m recommended here.", RAIN, "en", "repeats"),
        ("The gap of 45 m is below the recommended 200 m.", RAIN, "en", "adds nothing"),
        ("車間距離45.0 mは、この条件での推奨200.0 mに足りません。", RAIN, "ja", "repeats"),
        # A number with another unit, another meaning, or of no fact.
        ("The gap is 45 km/h at night.", RAIN, "en", "with this unit: 45 km/h"),
        ("The alert above is 0.7 km/h at night.", RAIN, "en", "0.7 km/h"),
        ("In rain the gap is 106.5 m.", RAIN, "en", "another meaning"),
        ("At night stopping takes 45 m.", RAIN, "en", "another meaning"),
        ("In rain the gap is only 60 m short.", RAIN, "en", "only"),
        # Directions and comparisons against the facts.
        ("In rain stopping takes 106.5 m, less than the gap of 45 m.", RAIN, "en", "compares falsely"),
        ("The gap of 45 m at night is larger than recommended.", RAIN, "en", "compares without"),
        ("夜間の停止距離106.5 mは車間距離45 mより短いです。", RAIN, "ja", "compares falsely"),
        ("The vehicle is 0.2 m left of the lane centre.", RAIN, "en", "wrong side"),
        ("雨の夜、車線中央から左へ0.2 mの位置です。", RAIN, "ja", "wrong side"),
        ("The vehicle is approaching the lane centre at 90 km/h.", LANE, "en", "motion"),
        ("90 km/hで車線の中央に近づいています。", LANE, "ja", "motion"),
        ("At night the gap closes quickly and safely.", RAIN, "en", "reassures"),
        # Weather and light of another moment.
        ("Snow makes the road slippery at 100 km/h.", RAIN, "en", "weather"),
        ("The road is slippery at 90 km/h.", LANE, "en", "slippery"),
        ("It is dark at 90 km/h.", LANE, "en", "light"),
        # Advice, promises and judgements are not the model's.
        ("Ensure that the gap closes quickly at night.", RAIN, "en", "advice"),
        ("Maintain a speed of 100 km/h in rain.", RAIN, "en", "advice"),
        ("You should speed up to 100 km/h.", RAIN, "en", "advice"),
        ("雨なので車間距離を詰めてください。", RAIN, "ja", "advice"),
        ("雨天请加速到100 km/h。", RAIN, "zh", "advice"),
        ("At 100 km/h in rain it is safe.", RAIN, "en", "reassures"),
        ("雨でも安全です。", RAIN, "ja", "reassures"),
        ("The vehicle is likely to fall off the road at 90 km/h.", LANE, "en", "foretells"),
        ("A crash will follow in rain.", RAIN, "en", "foretells"),
        ("At 100 km/h in rain the risk is low.", RAIN, "en", "vocabulary"),
        ("The tyres at 100 km/h in rain are worn.", RAIN, "en", "vocabulary"),
        ("夜間は速度が100 km/hで危険極まりない。", RAIN, "ja", "vocabulary"),
        ("", RAIN, "en", "empty"),
    ],
)
def test_a_sentence_that_errs_is_refused_with_the_reason(said, raw, language, why):
    assert why in fault(said, raw, language) != ""


def test_a_sentence_that_the_schema_cut_off_is_refused():
    said = "At 100 km/h in rain and at night, the vehicle is 0.2 m right of the lane centre and "
    assert "cut off" in fault(f"{said}stopping takes 106.5 m, more than the gap"[:120], RAIN)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"speed_kmh": 60.0, "distance_to_car_m": 60.0}, "No measure reaches the range where it counts."),
        ({"speed_kmh": 60.0, "distance_to_car_m": 59.9999}, "No measure reaches the range where it counts."),
        (
            {"speed_kmh": 60.0, "distance_to_car_m": 59.98},
            "The gap of 59.98 m is short of the 60.00 m recommended here.",
        ),
        ({"speed_kmh": 60.0, "distance_to_car_m": 30.0}, "The gap of 30.0 m is short of the 60.0 m recommended here."),
        ({"lane_center_offset_m": 0.84}, "The wheels are 0.01 m from the lane line."),
        ({"lane_center_offset_m": 0.85}, "The wheels are on the lane line."),
        ({"lane_center_offset_m": -0.9}, "The wheels are over the lane line by 0.05 m."),
        ({"distance_to_car_m": 0.0, "lead_speed_kmh": 0.0}, "The gap is closed or about to close."),
        (
            {"speed_kmh": 60.0, "distance_to_car_m": 45.0, "lead_speed_kmh": 24.0, "weather": "ice"},
            "more than the road can give",
        ),
    ],
)
def test_the_rules_reason_is_right_at_the_edges(changes, says):
    raw = {"speed_kmh": 90.0, "distance_to_car_m": None, "lane_center_offset_m": 0.0, "weather": "clear",
           "time_of_day": "day", "language": "en", **changes}  # fmt: skip
    ask = next(Driving().steps(DrivingInput.model_validate(raw), Context()))
    assert isinstance(ask, Ask)
    assert ask.so_far.result is not None
    assert says in ask.so_far.result.reason
