"""An unknown board is measured with the starter before it is planned for, once, and says so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edgechat.board.board import Board, Cpu, Memory
from edgechat.board.probe.board_file import load_board
from edgechat.cli.output.quick_measurement import measure_if_unknown
from edgechat.engine.client import client
from edgechat.engine.selection import benchmark
from edgechat.errors import EngineError
from edgechat.models.planning.calibration import Measurement, keep, read_calibration
from edgechat.models.planning.plan import PlanRequest
from edgechat.models.planning.planner import plan_best
from edgechat.paths import Paths

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.models.planning.plan import Plan

TWO_CORES = Board(
    "box", "pc", "", "", Cpu("x86_64", "Some CPU", 2, 2, 2, features=("avx2",)), Memory(24_000_000_000, 20_000_000_000)
)
SLOW = Measurement("mmap", False, 64, 2, 0, "f16", 512, 20.0, 9.0, 0.2, 200_000_000, "")
FAST = replace(SLOW, prefill_tps=256.0, decode_tps=124.0)


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("EDGECHAT_HOME", str(tmp_path))
    return Paths.from_env()


@pytest.fixture
def measured(monkeypatch):
    """What the measurement finds, and how often it ran."""
    found: dict[str, Any] = {"result": SLOW, "runs": 0}

    def measure_starter(*_args):
        found["runs"] += 1
        if isinstance(found["result"], Exception):
            raise found["result"]
        return found["result"]

    monkeypatch.setattr(benchmark, "measure_starter", measure_starter)
    return found


def best(paths: Paths, board: Board = TWO_CORES) -> Plan:
    return plan_best(paths, board, PlanRequest(), is_here=True)


def test_it_measures_once_says_so_and_the_plan_uses_it(paths, measured, capsys):
    measure_if_unknown(paths, TWO_CORES)
    measure_if_unknown(paths, TWO_CORES)

    assert measured["runs"] == 1
    said = capsys.readouterr()
    assert not said.out
    assert "speed of this board is not known: measuring it with the starter" in said.err
    assert "writes 9 tokens a second" in said.err
    assert best(paths).estimated.basis == "starter"


def test_slow_cores_get_a_small_model_however_much_memory_they_have(paths, measured):
    measure_if_unknown(paths, TWO_CORES)
    slow = best(paths)
    measured["result"] = FAST
    other = replace(TWO_CORES, model="another box")
    measure_if_unknown(paths, other)
    fast = best(paths, other)

    assert slow.file_bytes < 500_000_000
    assert (slow.estimated.careful_tps or 0) >= 3
    assert fast.file_bytes > 4 * slow.file_bytes
    assert (fast.estimated.careful_tps or 0) >= 3


def test_half_a_core_gets_nothing_that_is_unreadably_slow(paths, measured):
    """As scripts/measure/slow_cores.py measured one: the small mixtures of experts, of which no row of such a processor
    was published, stay out."""
    measured["result"] = replace(SLOW, prefill_tps=60.0, decode_tps=33.0)
    half = replace(TWO_CORES, cpu=replace(TWO_CORES.cpu, n_big_cores=1, quota=0.5))
    measure_if_unknown(paths, half)
    plan = best(paths, half)

    assert plan.estimated.basis == "starter"
    assert plan.file_bytes < 2_000_000_000
    assert (plan.estimated.careful_tps or 0) >= 3
    assert (plan.estimated.page_s or 1e9) < 180


def test_without_a_measurement_nothing_large_is_recommended_to_two_cores(paths):
    plan = best(paths)

    assert plan.estimated.basis == "assumed"
    assert plan.file_bytes < 2_000_000_000
    assert (plan.estimated.careful_tps or 0) >= 3
    assert plan.estimated.prefill_tps is not None


def test_known_boards_and_running_engines_are_left_alone(paths, measured, monkeypatch):
    measure_if_unknown(paths, load_board("pi5-8gb"))
    measure_if_unknown(paths, load_board("orin-nano-8gb"))
    monkeypatch.setattr(client, "status", lambda _: {"pid": 1})
    measure_if_unknown(paths, TWO_CORES)

    assert measured["runs"] == 0


def test_a_busy_machine_is_not_taken_for_a_slow_one(paths, measured, capsys):
    measured["result"] = replace(SLOW, cpu_share=0.2)
    measure_if_unknown(paths, TWO_CORES)

    assert "Other programs used 80% of the processor" in capsys.readouterr().err
    assert best(paths).estimated.basis == "assumed"
    measured["result"] = FAST
    measure_if_unknown(paths, TWO_CORES)
    assert best(paths).estimated.basis == "starter"


def test_the_results_of_bench_are_not_replaced_by_a_quick_measurement(paths, measured):
    disturbed = [replace(FAST, n_ubatch=size, cpu_share=0.5) for size in (64, 256)]
    keep(paths, TWO_CORES, "smollm2-135m-instruct:Q4_1:1", disturbed)
    measure_if_unknown(paths, TWO_CORES)

    assert measured["runs"] == 0
    assert read_calibration(paths, TWO_CORES) == {"smollm2-135m-instruct:Q4_1:1": tuple(disturbed)}


def test_a_failed_measurement_is_told_and_the_plan_assumes(paths, measured, capsys):
    measured["result"] = EngineError("The measurement was killed.")
    measure_if_unknown(paths, TWO_CORES)

    assert "The measurement was killed. The plan assumes a slow board." in capsys.readouterr().err
    assert not read_calibration(paths, TWO_CORES)


def test_a_known_board_that_is_slower_than_its_rows_is_predicted_slower():
    board = load_board("pi5-8gb")
    from edgechat.models.planning.board_speed import cpu_speed
    from edgechat.models.planning.speed_model import decode_seconds
    from edgechat.models.planning.starter_speed import STARTER

    usual = 1 / decode_seconds(STARTER, cpu_speed(board).likely)
    throttled = replace(board, starter_decode_tps=usual / 2, starter_prefill_tps=400.0)

    assert 1 / decode_seconds(STARTER, cpu_speed(throttled).likely) == pytest.approx(usual / 2)
