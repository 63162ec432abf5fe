"""What the report refuses, by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from edgechat.tasks.contract import Context, published_schema
from edgechat.tasks.rootcause.task import RootCause
from edgechat.tasks.runner import run_task
from tests.tasks.rootcause.records import answer, record
from tests.tasks.scripted import ScriptedGenerator, assert_fits

NAN = float("nan")


def refused(raw: object) -> list[dict[str, str]]:
    done = run_task(RootCause(), raw, generator=None).to_json()
    assert (done["status"], done["result"]) == ("invalid_input", None)
    errors: list[dict[str, str]] = done["errors"]
    return errors


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("product_id", ""),
        ("product_id", 12),
        ("product_id", None),
        ("defect_type", "x" * 201),
        ("location", ["U7"]),
        ("severity", 11),
        ("severity", 0),
        ("severity", 7.5),
        ("severity", True),
        ("severity", ""),
        ("confidence", NAN),
        ("confidence", float("inf")),
        ("confidence", -0.01),
        ("confidence", 1.01),
        ("confidence", "0.9"),
        ("confidence", True),
        ("process_notes", None),
        ("process_notes", 5),
        ("process_notes", [{"id": f"N{i}", "text": "x"} for i in range(51)]),
        ("log_lines", [{"id": f"N{i}", "text": "x"} for i in range(201)]),
        ("language", "fr"),
        ("image", ""),
        ("lot", ""),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_field(field, value):
    assert refused(record(**{field: value}))[0]["path"].split("/")[1] == field


@pytest.mark.parametrize(
    ("item", "path"),
    [
        ({"id": "L1"}, "/log_lines/0/text"),
        ({"id": "L1", "text": ""}, "/log_lines/0/text"),
        ({"id": "L1", "text": "x" * 2001}, "/log_lines/0/text"),
        ({"id": "", "text": "x"}, "/log_lines/0/id"),
        ({"id": "has space", "text": "x"}, "/log_lines/0/id"),
        ({"id": 'a"b', "text": "x"}, "/log_lines/0/id"),
        ({"id": 1, "text": "x"}, "/log_lines/0/id"),
        ({"id": "L1\n", "text": "x"}, "/log_lines/0/id"),
        ({"id": "L1", "text": "x", "level": "WARN"}, "/log_lines/0/level"),
        ("a line", "/log_lines/0"),
    ],
)
def test_bad_evidence_is_refused_with_its_place(item, path):
    assert refused(record(log_lines=[item]))[0]["path"] == path


@pytest.mark.parametrize(
    "field", ["product_id", "defect_type", "location", "severity", "confidence", "process_notes", "log_lines"]
)
def test_what_is_missing_is_named(field):
    raw = record()
    del raw[field]
    assert refused(raw) == [{"path": f"/{field}", "message": f"{field} is missing."}]


def test_an_id_that_is_used_twice_is_refused_across_notes_and_logs():
    raw = record(log_lines=[{"id": "N1", "text": "x"}])
    assert "'N1' is used twice" in refused(raw)[0]["message"]


def test_an_image_needs_a_model_that_can_see():
    raw = record(image="board.png")
    assert "cannot look at images" in refused(raw)[0]["message"]
    seen: list[Any] = []

    class Seeing(ScriptedGenerator):
        def generate(self, ask: Any, **options: Any) -> Any:
            seen.append(ask.images)
            return super().generate(ask, **options)

    done = run_task(RootCause(), raw, generator=Seeing(answer()), context=Context(vision=True))
    assert assert_fits(RootCause(), done)["complete"]
    assert seen == [("board.png",)]


@pytest.mark.parametrize("severity", ["major", "A", 1, 10])
def test_the_plants_own_severities_are_taken(severity):
    done = run_task(RootCause(), record(severity=severity), generator=ScriptedGenerator(answer()))
    assert str(severity) in assert_fits(RootCause(), done)["observed_facts"][0]["statement"]


def test_the_published_input_schema_takes_the_example():
    schema = published_schema(RootCause(), "input")
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(json.loads(json.dumps(record(severity=3, lot="A1"))))


def test_each_line_of_a_plain_text_is_a_note_with_a_number() -> None:
    """As a cell of a table holds them."""
    noted = {"process_notes": "Nozzle was changed at 6.\n\n Feeder 3 ran empty.", "log_lines": "PT-4 12 bar, limit 10"}
    done = run_task(RootCause(), record(**noted), generator=ScriptedGenerator(answer())).to_json()
    cited = {item["id"]: item["text"] for item in done["result"]["cited_evidence"]}
    assert cited["L1"] == "PT-4 12 bar, limit 10"
    assert cited.keys() <= {"N1", "N2", "L1"}
    assert "Feeder 3 ran empty." in cited.values()
