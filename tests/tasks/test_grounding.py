"""Numbers and identifiers that an input does not hold."""

from __future__ import annotations

import pytest

from edgechat.tasks.grounding import GroundingTexts

GROUND = GroundingTexts(
    ["09:02:11 WARN zone 4 temperature 262 C, limit 255.0 C", "PCB-2210 lot A77/3", "0.93", "圧力は1,250kPa、二五〇度"]
)


@pytest.mark.parametrize(
    "statement",
    [
        "Zone 4 ran at 262 °C, above 255.",
        "Zone 4 ran at 262C.",
        "ゾーン４は２６２℃でした。",
        "The detector was 93 % sure.",
        "Board pcb-2210 of lot A77 is affected.",
        "lot A77/3.",
        "圧力1250kPa",
        "250度",
        "No figures at all.",
        "",
    ],
)
def test_what_the_input_holds_is_not_flagged_however_it_is_written(statement):
    assert GROUND.missing(statement) == []


@pytest.mark.parametrize(
    ("statement", "kind", "token"),
    [
        ("It reached 271 C.", "number", "271"),
        ("It reached 271C.", "number", "271"),
        ("２７１℃に達した", "number", "271"),  # noqa: RUF001 - as Japanese keyboards write it
        ("It exceeded 262.5 C.", "number", "262.5"),
        ("See error E-401.", "identifier", "E-401"),
        ("Board PCB-2211 failed.", "identifier", "PCB-2211"),
        ("Lot A7 is affected.", "identifier", "A7"),
        ("圧力は1,350kPa", "number", "1,350"),
        ("94 % sure", "number", "94"),
    ],
)
def test_what_it_does_not_hold_is_named(statement, kind, token):
    assert [(found.kind, found.token) for found in GROUND.missing(statement)] == [(kind, token)]


def test_each_invention_is_named_once():
    tokens = [found.token for found in GROUND.missing("E-9 then 17, again E-9 and 17, then 18.")]
    assert tokens == ["E-9", "17", "18"]


def test_a_long_run_of_punctuation_costs_no_time():
    # Quadratic matching would take minutes here; the suite's own time limit would end it.
    assert GroundingTexts(["a-" * 200_000]).missing("#/" * 200_000 + "a" * 200_000) == []
