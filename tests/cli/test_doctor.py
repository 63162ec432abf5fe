"""``edgechat doctor``: each broken set-up is found with the command that mends it, and a healthy one gives no alarm."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from edgechat.board.probe.probe import probe
from edgechat.cli.doctor import doctor as command
from edgechat.config import Config
from edgechat.engine.state import exit_reason, oom_history
from edgechat.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process


def run(*arguments: str, code: int = ExitCode.OK, **environment: str) -> str:
    """The command as a script runs it; its standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "edgechat", "doctor", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, ""), done.stdout + done.stderr
    return done.stdout


def examine(*, code: int = ExitCode.OK, **environment: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(run("--json", code=code, **environment))
    assert report["exit_code"] == code
    return report


def problems(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {finding["id"]: finding for finding in report["findings"] if finding["level"] == "problem"}


@pytest.mark.process
def test_a_healthy_installation_has_no_problem_and_says_which_kernels_it_uses() -> None:
    report = examine()
    assert problems(report) == {}
    assert set(report["kernels"]["in_use"]) <= set(probe().cpu.features)
    assert report["kernels"]["in_use"]
    assert report["kernels"]["build"]["backends"][0] == "CPU"
    assert all(set(finding) == {"id", "level", "message", "command"} for finding in report["findings"])
    assert all(finding["message"] for finding in report["findings"])


@pytest.mark.process
def test_json_names_every_setting_with_its_origin(home: Path) -> None:
    (home / "config").mkdir(parents=True)
    (home / "config/config.toml").write_text("threads = 1\n")
    report = examine(EDGECHAT_N_CTX="1024", EDGECHAT_MODELS=str(home))
    rows = {row["name"]: (row["value"], row["origin"]) for row in report["config"]}
    assert list(rows) == [field.name for field in fields(Config) if field.name != "origins"]
    assert rows["threads"] == (1, str(home / "config/config.toml"))
    assert rows["n_ctx"] == (1024, "EDGECHAT_N_CTX")
    assert rows["keep_alive"] == ("30m", "default")
    places_ = {row["name"]: (row["value"], row["origin"]) for row in report["directories"]}
    assert places_["state"] == (str(home / "state"), "EDGECHAT_HOME")
    assert places_["models"] == (str(home), "EDGECHAT_MODELS")


@pytest.mark.process
def test_the_table_is_plain_and_80_columns_wide_but_for_commands(home: Path) -> None:
    home.write_text("in the way")
    out = run(code=ExitCode.STATE, COLUMNS="80")
    assert "\x1b" not in out
    wide = [line for line in out.splitlines() if len(line) > 80]
    assert [line for line in wide if not line.startswith(" " * 11) and str(home) not in line] == []
    labels = [line.split()[0] for line in out.splitlines() if line[:1].strip()]
    assert [label for label in labels if label in {"ok", "advice", "problem"}] == ["ok", "problem"]
    assert f"mv {home} {home}.old" in out


@pytest.mark.process
def test_a_terminal_gets_colours() -> None:
    assert "\x1b[" in CliRunner().invoke(command, color=True).stdout


@pytest.mark.process
def test_it_changes_nothing(home: Path) -> None:
    run()
    assert not home.exists()


@pytest.mark.process
def test_a_file_where_the_directories_should_be(home: Path) -> None:
    home.write_text("in the way")
    found = problems(examine(code=ExitCode.STATE))
    assert str(home) in found["state-directory"]["message"]
    assert found["state-directory"]["command"] == f"mv {home} {home}.old"


@pytest.mark.process
def test_a_models_disk_that_is_not_mounted(tmp_path: Path) -> None:
    found = problems(examine(code=ExitCode.STATE, EDGECHAT_MODELS=str(tmp_path / "ssd")))
    assert str(tmp_path / "ssd") in found["models-disk"]["message"]
    assert "model" not in found


@pytest.mark.process
def test_a_configuration_that_cannot_be_read_is_reported_and_the_rest_still_is(home: Path) -> None:
    (home / "config").mkdir(parents=True)
    (home / "config/config.toml").write_text("n_cxt = 4096\n")
    report = examine(code=ExitCode.USAGE)
    found = problems(report)["configuration"]
    assert "n_ctx" in found["message"]
    assert str(home / "config/config.toml") in found["command"]
    assert report["kernels"]["in_use"]
    (home / "config/config.toml").unlink()
    variable = problems(examine(code=ExitCode.USAGE, EDGECHAT_KEEP_ALIVE="soon"))["configuration"]
    assert "soon" in variable["message"]


@pytest.mark.process
def test_a_model_that_is_not_there() -> None:
    found = problems(examine(code=ExitCode.NO_MODEL, EDGECHAT_MODEL="no-such-model"))
    assert "no-such-model" in found["model"]["message"]


@pytest.mark.process
@pytest.mark.parametrize(
    ("content", "said"), [(None, "not found"), (b"this is no library", "libllama.so")], ids=["missing", "broken"]
)
def test_a_library_that_does_not_load_is_reported_and_does_not_take_the_doctor_down(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "libllama.so").write_bytes(content)
    report = examine(code=ExitCode.ENGINE, LLAMA_CPP_LIB_PATH=str(tmp_path))
    found = problems(report)["llama-library"]
    assert found["message"].startswith("llama.cpp does not work: llama.cpp's library cannot be loaded:")
    assert said in found["message"]
    assert "llama" in found["command"]
    assert report["kernels"] == {"in_use": [], "missing": [], "build": None}


@pytest.mark.process
def test_an_engine_that_hangs_up_on_everybody(home: Path) -> None:
    with Deaf(home / "state"):
        found = problems(examine(code=ExitCode.ENGINE))
    assert "engine.lock" in found["engine"]["command"]


class Deaf:
    """Something at the engine's socket that accepts and tells nothing."""

    def __init__(self, state: Path) -> None:
        state.mkdir(parents=True)
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(state / "engine.sock"))
        self._server.listen()
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while True:
            peer, _ = self._server.accept()
            with peer:
                if peer.recv(4) == b"stop":
                    return

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(self._server.getsockname())
            last.sendall(b"stop")
            self._thread.join()
        self._server.close()


@pytest.mark.process
def test_what_the_engine_left_behind_is_told(home: Path) -> None:
    state = home / "state"
    state.mkdir(parents=True)
    exit_reason.write(
        state, exit_reason.ExitReason("e1", "oom", "the kernel ended it because memory ran out", "load", time.time())
    )
    oom_history.record(state, probe().boot_id, "big-model:q4_k_m", 900_000_000)
    told = {finding["id"]: finding for finding in examine()["findings"] if finding["level"] == "advice"}
    assert "ran out of memory" in told["engine-death"]["message"]
    assert told["engine-death"]["command"] == "edgechat models plan"
    assert "big-model:q4_k_m" in told["stepped-down"]["message"]
