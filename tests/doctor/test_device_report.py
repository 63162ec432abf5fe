"""The device report: whole on a healthy machine, and still there when a part of it cannot be read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from edgechat.doctor.device_report import report, verdict
from edgechat.engine.state import exit_reason
from edgechat.engine.state.metrics import Latency, Metrics
from edgechat.paths import Paths, private_directory

if TYPE_CHECKING:
    from pathlib import Path

NOON = 1_800_000_000.0


@pytest.fixture
def paths(home: Path) -> Paths:
    return Paths.from_env()


def test_everything_a_fleet_wants_to_know(paths: Paths) -> None:
    state = private_directory(paths.state)
    figures = Metrics.open(state)
    for number in range(1, 21):
        figures.count_answer("stop", (10, 0, 5, 0), Latency(number / 10, float(number), 9.0))
    figures.count_refusal("SchemaError")
    figures.save(0.0, at_once=True)
    for cause in ("signal", "signal", "oom"):
        exit_reason.write(state, exit_reason.ExitReason("e", cause, "SIGSEGV", "decode", NOON - 60))
    said = report(paths, NOON)
    assert said["when"]["utc"].startswith("2027-01-15T08:00:00")
    assert said["counts"]["answers"] == {"stop": 20}
    assert said["latency"]["ttft_s"] == {"p50": 1.0, "p95": 1.9}
    assert said["errors"]["refused"] == {"SchemaError": 1}
    assert said["errors"]["engine_deaths"] == {"signal": 2, "oom": 1}
    assert said["errors"]["last_death"]["cause"] == "oom"
    assert said["versions"]["llama-cpp-python"]
    assert said["what"]["memory"]["total"] > 0
    assert said["models"][0]["sha256"]
    assert said["unread"] == {}
    assert json.dumps(said)


def test_without_a_set_clock_there_is_no_date_and_without_a_home_there_are_no_counts(paths: Paths) -> None:
    said = report(paths, 86_400.0)
    assert said["when"]["utc"] is None
    assert said["when"]["uptime_s"] > 0
    assert said["counts"] == {"answers": {}, "tokens": {}, "engines": 0}
    assert said["latency"]["ttft_s"] is None
    assert said["health"]["disk_free_bytes"] > 0
    assert not paths.state.exists()  # nothing was written


def test_a_models_disk_that_is_not_mounted_costs_the_models_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGECHAT_MODELS", str(tmp_path / "ssd"))
    said = report(Paths.from_env(), NOON)
    assert said["models"] is None
    assert "ssd" in said["unread"]["models"]
    assert said["health"]["verdict"]["status"] == "degraded"
    assert said["what"]["cpu"]["n_cores"] > 0


def test_what_makes_a_board_degraded() -> None:
    care: dict[str, Any] = {
        "level": 2,
        "name": "slowed",
        "reason": "hot",
        "memory_tight": True,
        "memory_reason": "40 %",
    }
    assert verdict(None, (), {}) == {"status": "ok", "reasons": []}
    assert verdict({"care": care}, ("under-voltage",), {})["reasons"] == [
        "the board is throttled: under-voltage",
        "the engine is slowed: hot",
        "memory is short: 40 %",
    ]


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0,
    reason="no user namespace to mount in",
)
@pytest.mark.process
def test_a_read_only_root(paths: Paths, home: Path) -> None:
    private_directory(paths.state)
    script = 'mount --bind "$EDGECHAT_HOME" "$EDGECHAT_HOME" && mount -o remount,ro,bind "$EDGECHAT_HOME" && '
    script += '! touch "$EDGECHAT_HOME/x" 2>/dev/null && "$0" -m edgechat board --report'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, sys.executable],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "EDGECHAT_HOME": str(home)},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["unread"] == {}
