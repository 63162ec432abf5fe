"""What the driving task refuses, by name; and that a refusal never carries a risk."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from edgechat.tasks.contract import published_schema
from edgechat.tasks.driving.task import Driving
from edgechat.tasks.runner import run_task

GOOD: dict[str, Any] = dict(Driving.example)
NAN, INFINITY = float("nan"), float("inf")


def frames(*times: float) -> list[dict[str, Any]]:
    return [{"t_s": t, "speed_kmh": 50.0, "distance_to_car_m": 30.0, "lane_center_offset_m": 0.0} for t in times]


def refused(record: object) -> list[dict[str, str]]:
    done = run_task(Driving(), record, generator=None).to_json()
    assert done["status"] == "invalid_input"
    assert done["result"] is None
    errors: list[dict[str, str]] = done["errors"]
    return errors


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("speed_kmh", NAN),
        ("speed_kmh", INFINITY),
        ("speed_kmh", -0.1),
        ("speed_kmh", 401),
        ("speed_kmh", "100"),
        ("speed_kmh", True),
        ("speed_kmh", None),
        ("speed_kmh", 10**400),
        ("speed_kmh", [100]),
        ("distance_to_car_m", NAN),
        ("distance_to_car_m", -INFINITY),
        ("distance_to_car_m", -1),
        ("distance_to_car_m", "45 m"),
        ("distance_to_car_m", False),
        ("lane_center_offset_m", NAN),
        ("lane_center_offset_m", None),
        ("lane_center_offset_m", 20),
        ("weather", "hail"),
        ("weather", "Rain"),
        ("weather", None),
        ("weather", 3),
        ("time_of_day", "25:00"),
        ("lead_speed_kmh", NAN),
        ("lead_speed_kmh", -5),
        ("lane_width_m", 0),
        ("lane_width_m", NAN),
        ("vehicle_width_m", 9),
        ("t_s", INFINITY),
        ("threshold", 0),
        ("threshold", 1),
        ("threshold", NAN),
        ("language", "de"),
        ("history", frames(*range(31))),
        ("history", {}),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_field(field, value):
    errors = refused({**GOOD, field: value})
    assert errors[0]["path"].startswith(f"/{field}")
    assert field in errors[0]["message"]


@pytest.mark.parametrize("field", ["speed_kmh", "distance_to_car_m", "lane_center_offset_m", "weather", "time_of_day"])
def test_what_is_missing_is_named(field):
    errors = refused({name: value for name, value in GOOD.items() if name != field})
    assert errors == [{"path": f"/{field}", "message": f"{field} is missing."}]


def test_an_unknown_weather_is_named_beside_the_known_ones():
    message = refused({**GOOD, "weather": "hail"})[0]["message"]
    assert "'hail'" in message
    assert "'heavy_rain'" in message


def test_an_unknown_field_is_refused():
    assert refused({**GOOD, "speed": 3}) == [{"path": "/speed", "message": "speed is not a field of this task."}]


def test_every_fault_is_reported_not_only_the_first():
    errors = refused({**GOOD, "speed_kmh": -1, "weather": "hail", "lane_center_offset_m": NAN})
    assert {error["path"] for error in errors} == {"/speed_kmh", "/weather", "/lane_center_offset_m"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"history": frames(0.0, 0.2, 0.1)}, "history is out of order: frame 2 has t_s 0.1, the one before it 0.2"),
        ({"history": frames(0.0, 0.0)}, "out of order"),
        ({"history": frames(0.0, 1.0), "t_s": 0.5}, "history runs beyond the record"),
        ({"lane_center_offset_m": 4.0}, "metres, not centimetres"),
        ({"lane_width_m": 2.0, "vehicle_width_m": 2.5}, "vehicle_width_m is 2.5 m"),
    ],
)
def test_values_that_do_not_go_together_are_refused_in_words(changes, words):
    assert words in refused({**GOOD, **changes})[0]["message"]


@pytest.mark.parametrize("bad", [NAN, -3.0, "30", None])
def test_a_bad_frame_is_refused_with_its_place(bad):
    history = frames(0.0, 0.1)
    history[1]["speed_kmh"] = bad
    assert refused({**GOOD, "history": history})[0]["path"] == "/history/1/speed_kmh"


@pytest.mark.parametrize("record", [None, [], "text", 3, {}, {1: 2}])
def test_what_is_no_record_is_refused(record):
    assert refused(record)


def test_a_value_of_any_size_makes_a_short_message():
    error = refused({**GOOD, "weather": "x" * 100_000})[0]
    assert len(error["message"]) < 400


@pytest.mark.parametrize("record", [GOOD, {**GOOD, "history": frames(0.0, 0.1), "t_s": 0.2, "distance_to_car_m": None}])
def test_the_published_input_schema_takes_what_the_task_takes(record):
    schema = published_schema(Driving(), "input")
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(json.loads(json.dumps(record)))


def test_the_published_input_schema_gives_every_measured_field_its_unit():
    properties = published_schema(Driving(), "input")["properties"]
    units = {"_kmh": "km/h", "_m": "m", "_s": "seconds"}
    for name, described in properties.items():
        for suffix, unit in units.items():
            if name.endswith(suffix):
                assert unit in described["description"], name
