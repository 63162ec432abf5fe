"""`edgechat bench` on the real starter model: what it measures is kept and becomes the plan."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from edgechat.board.probe.board_file import load_board
from edgechat.board.probe.probe import probe
from edgechat.board.source import Source
from edgechat.cli.bench import bench
from edgechat.cli.models.plan import plan
from edgechat.engine.selection import benchmark
from edgechat.engine.selection.benchmark import measure
from edgechat.errors import EngineError, ModelNotFoundError
from edgechat.models.planning.calibration import file_key, read_calibration
from edgechat.models.planning.plan import LoadSettings
from edgechat.models.store.installed import starter
from edgechat.paths import Paths
from tests.board.trees import write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECHAT_HOME", str(tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(900)  # a disturbed trial is measured twice, and a busy machine takes its time
def test_a_bench_is_kept_and_later_plans_use_it():
    model = starter()
    assert model is not None

    done = CliRunner().invoke(bench, ["--json"], catch_exceptions=False, standalone_mode=False)

    assert done.exception is None
    found = json.loads(done.stdout)
    assert found["model"] == model.name
    assert found["best"] in found["measurements"]
    assert found["best"]["prefill_tps"] > found["best"]["decode_tps"] > 0
    assert found["predicted_peak_bytes"] == pytest.approx(found["best"]["peak_rss_bytes"], rel=0.05)
    kept = read_calibration(Paths.from_env(), probe())[file_key(model.name, model.quant, model.file_bytes)]
    assert len(kept) == len(found["measurements"])
    planned = json.loads(CliRunner().invoke(plan, [str(model.path), "--json"], standalone_mode=False).stdout)
    assert planned["model"] == model.path.stem.lower()
    by_name = json.loads(CliRunner().invoke(plan, [model.label, "--json"], standalone_mode=False).stdout)
    assert by_name["estimated"]["basis"] == "calibrated"
    assert by_name["n_ubatch"] == found["best"]["n_ubatch"]


def test_tokens_per_joule_where_the_board_measures_its_power(tmp_path, monkeypatch):
    chip = "sys/class/hwmon/hwmon0"
    rail = {"name": "ina3221", "in1_label": "VDD_IN", "in1_input": "5000", "curr1_input": "1000"}
    write(tmp_path / "board", {f"{chip}/{name}": f"{text}\n" for name, text in rail.items()})
    model = starter()
    assert model is not None
    monkeypatch.setattr(Source.__init__, "__defaults__", (tmp_path / "board",))
    measured = measure(model.path, LoadSettings(n_ctx=512))

    assert measured.joules_of == "the board's input (VDD_IN)"
    assert measured.tokens_per_joule == pytest.approx(measured.decode_tps / 5.0, rel=0.02)


def test_a_file_that_llama_cpp_refuses_costs_a_child_and_names_the_file(tmp_path):
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"GGUF" + bytes(200))

    with pytest.raises(EngineError, match=r"broken\.gguf"):
        measure(file, LoadSettings(n_ctx=256))


def test_a_quick_measurement_is_given_up_after_seconds(tmp_path, monkeypatch):
    def wait_for_ever(*_args: object, timeout_s: float) -> None:
        assert timeout_s <= 20
        raise subprocess.TimeoutExpired("measure", timeout_s)

    monkeypatch.setattr(benchmark, "run_child", wait_for_ever)

    with pytest.raises(EngineError, match="not measured within 20 s"):
        benchmark.measure_starter(tmp_path / "starter.gguf", load_board("pi-zero-2w").cpu)


def test_a_model_that_is_not_there_is_named():
    done = CliRunner().invoke(bench, ["no-such-model"], standalone_mode=False)

    assert isinstance(done.exception, ModelNotFoundError)
