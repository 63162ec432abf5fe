"""Log lines as abnormal, normal or event: numbers decide before words, and words only where there are no numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgechat.tasks.rootcause.line_state import by_distance, contradicting, judged_lines, reports_fault
from edgechat.tasks.rootcause.record import Evidence

SETS = Path(__file__).parents[1] / "eval_sets"


def judged(*texts: str):
    return judged_lines([Evidence(id=f"L{i}", text=text) for i, text in enumerate(texts, 1)])


@pytest.mark.parametrize(
    ("line", "is_trouble"),
    [
        ("ERROR 12: jam", True),
        ("zone 4 out of range", True),
        ("温度異常を検出", True),
        ("报警: 温度", True),
        ("EX1041 SPINDLE VIBRATION HIGH", True),
        ("dresser not responding", True),
        ("限位开关故障", True),
        ("fan speed 1200 rpm", False),
        ("no errors, 0 warnings", False),
        ("ALARM_CNT=0", False),
        ("異常なし", False),
        ("无异常", False),
        ("terror and errand", False),
        ("error proofing active", False),
        ("high limit 120 deg", False),
    ],
)
def test_status_words_that_report_trouble_are_told_from_those_that_do_not(line, is_trouble):
    assert reports_fault(line) is is_trouble


@pytest.mark.parametrize(
    ("line", "state", "contradicts"),
    [
        ("torque 11.2 Nm, limit 12.0 to 14.0, WARN", "abnormal", False),
        ("torque 11.2 Nm, limit 12.0 to 14.0", "abnormal", False),
        ("torque 12.5 Nm, limit 12.0 to 14.0, OK", "normal", False),
        # A line that calls itself fine is abnormal by its numbers; one that calls itself bad stays abnormal.
        ("torque 11.2 Nm, limit 12.0 to 14.0, OK", "abnormal", True),
        ("torque 12.5 Nm, limit 12.0 to 14.0, FAIL", "abnormal", True),
        ("probe qualification expired, WARN", "abnormal", False),
        ("self-test passed, 0 errors", "normal", False),
        ("time 90 s, limit 5 bar", "event", False),
        ("time 90 s, limit 5 bar, FAULT", "abnormal", False),
        ("program O2210 started", "event", False),
        ("failure count 0, limit 3", "normal", False),
    ],
)
def test_numbers_decide_and_words_decide_where_there_are_none(line, state, contradicts):
    (one,) = judged(line)
    assert (one.state, one.contradicts_status) == (state, contradicts)


def test_the_farthest_deviation_comes_first_and_a_bare_alarm_last():
    lines = judged(
        "E12 jam ALARM", "torque 14.1 Nm, limit 12 to 14", "leak 4.1 ml/min, limit 1.0", "speed 3 m/s, limit 4 m/s"
    )
    assert [line.id for line in by_distance(lines)] == ["L3", "L2", "L1"]


def test_a_record_with_decimal_commas_reads_all_its_lines_with_them():
    first, _ = judged("shaft 12,018 mm, limit 12,000 to 12,010 mm", "air 0,5 bar")
    assert first.reading is not None
    assert first.reading.upper == pytest.approx(12.010)


@pytest.mark.parametrize(
    ("lines", "ids"),
    [
        (("bore 12.04 mm on gauge 14, limit 12.0 to 12.02", "bore 12.01 mm on gauge 15, limit 12.0 to 12.02"), ["L2"]),
        (("TW-09 4番 14.9 N·m 規格 9.0〜11.0 N·m", "TW-03 4番 10.1 N·m 規格 9.0〜11.0 N·m"), ["L2"]),
        (("检漏仪3 泄漏 62 Pa 上限 40 Pa", "检漏仪1 同一件 21 Pa 上限 40 Pa"), ["L2"]),
        # Another bolt, another weld spot, another head: no contradiction.
        (("torque bolt 4 11.2 Nm, limit 12 to 14", "torque bolt 5 12.9 Nm, limit 12 to 14"), []),
        (("spot=114 I=8.1kA nom=9.6kA tol=+/-5%", "spot=113 I=9.5kA nom=9.6kA tol=+/-5%"), []),
        (("MNT2 HEAD3 吸着率 91.2% 下限 99.5%", "MNT2 HEAD1 吸着率 99.9% 下限 99.5%"), []),
    ],
)  # fmt: skip
def test_a_second_instrument_on_the_same_part_contradicts(lines, ids):
    assert [line.id for line in contradicting(judged(*lines))] == ids


@pytest.mark.parametrize("name", ["extension_a_lines.jsonl", "extension_b_lines.jsonl"])
def test_lines_of_real_machine_log_styles_are_judged_as_people_judged_them(name):
    rows = [json.loads(line) for line in (SETS / name).read_text(encoding="utf-8").splitlines()]
    wrong = [row["text"] for row in rows if judged(row["text"])[0].state != row["state"]]
    assert len(wrong) <= 0.05 * len(rows), wrong
