"""What of an answer must stand in a cited section."""

from __future__ import annotations

import pytest

from edgechat.tasks.manual.checks import flags_of

SECTION = "Tighten with 25 Nm. Wait 5 minutes at 230 V, 50 Hz. Above 130 °C: code E-402. 交換は8,000時間ごと。"


@pytest.mark.parametrize(
    "answer",
    [
        "25 Nm",
        "25Nm.",
        "Wait 5 min.",
        "Five minutes.",
        "230 V and 50 Hz",
        "130°C or 130 ℃",
        "E-402",
        "8,000時間",
        "8000 hours",
    ],
)
def test_what_stands_there_is_not_flagged(answer: str) -> None:
    assert flags_of(answer, [SECTION]) == []


@pytest.mark.parametrize(
    ("answer", "kind", "token"),
    [
        ("Tighten with 30 Nm.", "number", "30"),
        ("25 bar", "unit", "25 bar"),
        ("Wait 5 hours.", "unit", "5 h"),
        ("5分待つのではなく5秒待つ。", "unit", "5 s"),
        ("130 °F", "unit", "130 F"),
        ("Code E-403", "identifier", "E-403"),
    ],
)
def test_what_does_not_is_flagged(answer: str, kind: str, token: str) -> None:
    (flag,) = flags_of(answer, [SECTION])
    assert (flag.kind, flag.token) == (kind, token)


def test_the_question_may_be_repeated() -> None:
    assert flags_of("E-499 is not described.", [SECTION], "What is E-499?") == []
