"""Recurrences: counted over the reports before, never over those after."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgechat.tasks.rootcause.result import Recurrence
from edgechat.tasks.rootcause.task import RootCause
from edgechat.tasks.rootcause.trend import MAX_IDS, WINDOW, Trend, trend_sentence
from edgechat.tasks.runner import run_task
from tests.tasks.rootcause.records import record
from tests.tasks.scripted import assert_fits


def done(name: str, **changes: Any):
    return run_task(RootCause(), record(**changes), generator=None, record_id=name)


def recurrences(trend: Trend, name: str, **changes: Any) -> list[tuple[list[str], int, list[str]]]:
    result = assert_fits(RootCause(), trend.add(done(name, **changes)))
    return [(one["same"], one["count"], one["ids"]) for one in result["recurrences"]]


def test_the_same_defect_station_and_lot_are_counted_newest_first():
    trend = Trend()
    assert recurrences(trend, "a", lot="A1") == []
    assert recurrences(trend, "b", lot="A1", defect_type="crack") == [(["station", "lot"], 1, ["a"])]
    assert recurrences(trend, "c", lot="A1") == [
        (["defect_type"], 1, ["a"]),
        (["defect_type", "station"], 1, ["a"]),
        (["defect_type", "lot"], 1, ["a"]),
        (["station", "lot"], 2, ["b", "a"]),
    ]


def test_case_and_spaces_make_no_difference_and_a_missing_field_matches_nothing():
    trend = Trend()
    recurrences(trend, "a", defect_type="Solder  bridge", station=None)
    assert recurrences(trend, "b", station=None) == [(["defect_type"], 1, ["a"])]


def test_the_window_holds_the_last_reports_and_a_long_list_of_ids_is_cut():
    trend = Trend()
    for i in range(WINDOW + 5):
        trend.add(done(f"r{i}"))
    same, count, ids = recurrences(trend, "last")[0]
    assert (same, count, len(ids), ids[0]) == (["defect_type"], WINDOW, MAX_IDS, f"r{WINDOW + 4}")


def test_results_of_an_earlier_run_count_and_other_lines_do_not():
    earlier = [done("old").to_json(), {"id": "x", "result": None}, {"id": "y", "result": {"risk": 1}}]
    assert recurrences(Trend(earlier), "new")[0] == (["defect_type"], 1, ["old"])


def test_a_record_without_a_result_is_passed_on():
    refused = run_task(RootCause(), record(confidence=2), generator=None)
    assert Trend().add(refused) is refused


@pytest.mark.parametrize("language", ["en", "ja", "zh"])
def test_the_report_prints_the_trend(language):
    trend = Trend()
    trend.add(done("r-0", language=language))
    last = trend.add(done("r-1", language=language))
    assert last.result is not None
    sentence = trend_sentence(Recurrence(**last.result["recurrences"][0]), language)
    for fmt in ("md", "html"):
        assert "r-0" in RootCause().render(last, fmt)
    assert "1" in sentence
    json.dumps(last.to_json())
