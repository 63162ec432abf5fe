"""What engines did is counted, survives them, and costs nothing but itself when it cannot be kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from edgechat.engine.state.metrics import FILE, RECENT, Latency, Metrics, percentiles, read, summary

if TYPE_CHECKING:
    from pathlib import Path


def used(state: Path, n: int = 3) -> Metrics:
    metrics = Metrics.open(state)
    metrics.count_load()
    for number in range(n):
        metrics.count_answer("stop", (10, 4, 20, 5), Latency(0.1 * number, 1.0 + number, 40.0))
    metrics.count_refusal("SchemaError")
    return metrics


def test_the_next_engine_goes_on_counting(tmp_path: Path) -> None:
    used(tmp_path).save(0.0, at_once=True)
    second = used(tmp_path)
    said = second.to_json()
    assert (said["answers"], said["errors"], said["engines"]) == ({"stop": 6}, {"SchemaError": 2}, 2)
    assert said["tokens"] == {
        "prompt_tokens": 60,
        "cached_tokens": 24,
        "completion_tokens": 120,
        "forced_tokens": 30,
    }
    assert said["latency"]["answers"] == 6
    assert said["latency"]["total_s"] == {"p50": 2.0, "p95": 3.0}


def test_an_answer_without_a_first_token_has_no_latency(tmp_path: Path) -> None:
    metrics = Metrics.open(tmp_path)
    metrics.count_answer("cancelled", (10, 0, 0, 0), None)
    assert metrics.to_json()["latency"] == {"answers": 0, "ttft_s": None, "total_s": None, "decode_tps": None}


def test_it_is_written_once_a_minute_at_most(tmp_path: Path) -> None:
    metrics = used(tmp_path)
    metrics.save(100.0)
    written = (tmp_path / FILE).read_text()
    metrics.count_refusal("SchemaError")
    metrics.save(130.0)
    assert (tmp_path / FILE).read_text() == written
    metrics.save(161.0)
    assert json.loads((tmp_path / FILE).read_text())["errors"] == {"SchemaError": 2}


def test_only_recent_latencies_are_kept(tmp_path: Path) -> None:
    used(tmp_path, RECENT + 10).save(0.0, at_once=True)
    assert len(read(tmp_path)["latencies"]) == RECENT


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"answers": {"stop": "many"}, "errors": {}, "tokens": {}}', "null"])
def test_a_damaged_file_begins_anew(tmp_path: Path, damage: str) -> None:
    (tmp_path / FILE).write_text(damage)
    assert read(tmp_path) == {}
    assert Metrics.open(tmp_path).to_json()["answers"] == {}
    assert summary({})["engines"] == 0


def test_a_state_directory_that_cannot_be_written_costs_the_figures_alone(tmp_path: Path) -> None:
    metrics = used(tmp_path / "gone")
    metrics.save(0.0, at_once=True)
    assert metrics.to_json()["answers"] == {"stop": 3}
    (tmp_path / "gone").mkdir()
    metrics.save(0.0, at_once=True)  # and they are kept as soon as it can
    assert [each.name for each in (tmp_path / "gone").iterdir()] == [FILE]


def test_percentiles_are_measured_values() -> None:
    assert percentiles([]) is None
    assert percentiles([7.0]) == {"p50": 7.0, "p95": 7.0}
    assert percentiles(map(float, range(1, 101))) == {"p50": 50.0, "p95": 95.0}
