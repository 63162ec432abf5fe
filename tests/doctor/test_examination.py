"""Broken set-ups over recorded trees and homes: each is found with the command that mends it, a healthy one is not."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from edgechat.board.probe.board_file import load_board
from edgechat.board.probe.probe import probe
from edgechat.board.source import Source
from edgechat.board.vitals.vitals import read_vitals
from edgechat.config import Config
from edgechat.doctor import caches, directories, engines, llama_build, machine, models, settings, swap, vitals
from edgechat.doctor.finding import Finding, Level
from edgechat.doctor.installation import Installation
from edgechat.engine.selection.build_info import CPU_KERNELS, Build, Device, compare
from edgechat.engine.state import exit_reason, log, pressure_history
from edgechat.paths import Paths, private_directory
from tests.board.trees import BOARDS, write

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.board.board import Board

HERE = Installation("/opt/venv/bin/python", None, (("llama-cpp-python", "0.3.36", "0.3.36"),))
HEALTHY = ("pi5-8gb", "orin-nano-8gb", "ipc-16gb", "laptop-16gb", "container-2gb")
LOG_LINES = "NvMapMemAllocInternalTagged: 1075072515 error 12\nNvMapMemHandleAlloc: error 0\n"
DAY = 86_400.0


def native(board: Board) -> Build:
    """llama.cpp as built on that board."""
    kinds = {"cuda": "CUDA", "metal": "MTL"}
    reported = [kernel.reported for kernel in CPU_KERNELS if kernel.feature in board.cpu.features]
    return Build(
        features={"CPU": dict.fromkeys((*reported, "REPACK"), "1")},
        backends=("CPU", *(kinds[accelerator.kind] for accelerator in board.accelerators)),
        devices=tuple(Device("GPU0", a.name, "igpu", 1, 2) for a in board.accelerators),
        supports={"mmap": True},
    )


@dataclass
class Setup:
    """One machine and one home to examine, as ``edgechat doctor`` examines this one."""

    root: Path
    paths: Paths
    now: float = field(default_factory=time.time)

    def change(self, files: dict[str, str]) -> None:
        write(self.root, files)

    def findings(self, build: Build | None = None) -> list[Finding]:
        source, board = Source(self.root), probe(self.root)
        build = build or native(board)
        held = compare(board.cpu, board.accelerators, build)
        _, found = settings.load(self.paths, {})
        found += [*directories.findings(self.paths), *caches.findings(self.paths, self.now)]
        found += [
            *engines.last_crash(self.paths.state, self.now),
            *engines.repeated_crashes(self.paths.state, self.now),
        ]
        found += engines.stepped_down(self.paths.state, board.boot_id)
        found += models.findings(self.paths, Config(), probe(), HERE, is_loaded=False)[0]
        found += llama_build.kernels(held, build, board, None, HERE)
        found += llama_build.flags(build, board, HERE, wants_vision=False)
        found += [*llama_build.versions(HERE), *machine.notes(board, source), *swap.findings(source)]
        return [*found, *vitals.findings(read_vitals(source), board), *machine.nvmap(board, source, self.paths.state)]

    def amiss(self, build: Build | None = None) -> dict[str, Finding]:
        """What is not well, without the word that the starter model is all there is."""
        return {f.id: f for f in self.findings(build) if f.level is not Level.OK and f.id != "starter"}


@pytest.fixture
def on(tmp_path: Path, home: Path):
    def made(tree: str) -> Setup:
        shutil.copytree(BOARDS / tree, tmp_path / "root")
        paths = Paths.from_env()
        private_directory(paths.state)
        private_directory(paths.cache)
        return Setup(tmp_path / "root", paths)

    return made


@pytest.mark.parametrize("tree", HEALTHY)
def test_nothing_is_found_on_a_healthy_machine(on, tree: str) -> None:
    assert on(tree).amiss() == {}


def only(found: dict[str, Finding], id_: str, command: str) -> Finding:
    assert list(found) == [id_], [f.message for f in found.values()]
    assert command in (found[id_].command or ""), found[id_].command
    return found[id_]


def test_1_a_hot_pi_on_a_weak_supply_that_swaps_to_its_card(on) -> None:
    found = on("pi4-4gb-throttled").amiss()
    assert set(found) == {"under-voltage", "swap", "throttling"}
    assert "arm_freq=1200" in (found["under-voltage"].command or "")
    assert "82 °C" in found["throttling"].message
    assert found["swap"].command == "sudo systemctl disable --now dphys-swapfile"


def test_2_under_voltage_that_is_over(on) -> None:
    setup = on("pi5-8gb")
    setup.change({"commands/vcgencmd": "throttled=0x50000\n"})
    assert "since it started" in only(setup.amiss(), "under-voltage", "config.txt").message


def test_3_a_board_that_slows_itself_down(on) -> None:
    setup = on("orin-nano-8gb")
    setup.change({"sys/class/thermal/cooling_device2/cur_state": "3\n"})
    only(setup.amiss(), "throttling", "export EDGECHAT_THREADS=3")


def test_4_a_board_about_to(on) -> None:
    setup = on("ipc-16gb")
    setup.change({"sys/class/hwmon/hwmon1/temp1_input": "97000\n"})
    assert "coretemp Package id 0 is at 97 °C" in only(setup.amiss(), "throttling", "EDGECHAT_THREADS").message


def test_5_a_governor_that_keeps_the_clock_down(on) -> None:
    setup = on("pi5-8gb")
    setup.change({"sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "powersave\n"})
    only(setup.amiss(), "governor", "echo schedutil | sudo tee")


def test_6_a_clock_that_somebody_limited(on) -> None:
    setup = on("pi5-8gb")
    setup.change({"sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq": "1500000\n"})
    only(setup.amiss(), "clock-limit", "cpuinfo_max_freq")


def test_7_a_jetson_in_a_small_power_mode(on) -> None:
    setup = on("orin-nano-8gb")
    setup.change({"var/lib/nvpmodel/status": "pmode:0000 fmode:fanNull\n"})
    assert "15W" in only(setup.amiss(), "power-mode", "sudo nvpmodel -m 2").message


def test_8_a_jetson_whose_supply_is_too_weak(on) -> None:
    setup = on("orin-nano-8gb")
    setup.change({"sys/class/hwmon/hwmon1/oc3_event_cnt": "12\n"})
    assert "12 times" in only(setup.amiss(), "over-current", "nvpmodel").message


@pytest.mark.parametrize(("revision", "is_known"), [("4.3", False), ("4.7", True)])
def test_9_a_jetson_whose_allocator_refuses(on, revision: str, is_known: bool) -> None:
    setup = on("orin-nano-8gb")
    setup.change({"etc/nv_tegra_release": f"# R36 (release), REVISION: {revision}, GCID: 1\n"})
    os.close(log.open_for_engine(setup.paths.state))
    log.path(setup.paths.state).write_text(LOG_LINES)
    finding = only(setup.amiss(), "nvmap", "drop_caches")
    assert ("has this known fault" in finding.message) is is_known


def test_10_a_gpu_that_stays_unused_and_kernels_that_are_missing(on) -> None:
    setup = on("orin-nano-8gb")
    plain = Build(features={"CPU": {"NEON": "1", "REPACK": "1"}}, backends=("CPU",), supports={"mmap": True})
    found = setup.amiss(plain)
    assert set(found) == {"gpu", "cpu-kernels"}
    assert "GGML_CUDA=ON" in (found["gpu"].command or "")
    assert "dotprod" in found["cpu-kernels"].message


def test_11_memory_that_everything_waits_for(on) -> None:
    setup = on("ipc-16gb")
    setup.change({"proc/pressure/memory": "some avg10=2.00 avg60=31.00 avg300=9.00 total=9\n"})
    # With 15 GB available that is somebody who thrashes under a limit of their own.
    assert setup.amiss() == {}
    (said,) = [f.message for f in setup.findings() if f.id == "memory-pressure"]
    assert "31 % of the last minute" in said
    assert "are available here" in said
    setup.change({"proc/meminfo": "MemTotal: 16162340 kB\nMemAvailable: 300000 kB\n"})
    only(setup.amiss(), "memory-pressure", "ps -eo rss")


def test_11b_a_group_that_waits_for_memory_under_its_own_limit(on) -> None:
    setup = on("ipc-16gb")
    scope = "sys/fs/cgroup/user.slice/user-1000.slice/session-1.scope"
    setup.change({f"{scope}/memory.pressure": "some avg10=2.00 avg60=31.00 avg300=9.00 total=9\n"})
    only(setup.amiss(), "memory-pressure", "ps -eo rss")


@pytest.mark.parametrize(("life", "reserve"), [("0x0a 0x01", "0x01"), ("0x02 0x02", "0x03")])
def test_12_flash_near_its_end(on, life: str, reserve: str) -> None:
    setup = on("ipc-16gb")
    device = "sys/block/mmcblk0/device"
    setup.change({f"{device}/life_time": f"{life}\n", f"{device}/pre_eol_info": f"{reserve}\n"})
    only(setup.amiss(), "flash-wear", "history export")


def test_13_an_engine_that_keeps_dying(on) -> None:
    setup = on("pi5-8gb")
    for age in (20 * DAY, 2 * DAY, DAY, 600.0):
        exit_reason.write(
            setup.paths.state, exit_reason.ExitReason("e", "oom", "the kernel ended it", "decode", setup.now - age)
        )
    found = setup.amiss()
    assert set(found) == {"engine-death", "engine-history"}
    assert found["engine-history"].message.startswith("3 engines died in the last seven days (3 by oom)")
    assert found["engine-history"].command == "edgechat models plan"


@pytest.mark.process
def test_14_caches_that_nobody_comes_back_to(on) -> None:
    setup = on("pi5-8gb")
    for name, age, size in (("a.7.new", 2 * 3600, 10), ("old.kv", 100 * DAY, 2_000_000), ("used.kv", DAY, 2_000_000)):
        file = setup.paths.cache / name
        file.write_bytes(bytes(size))
        os.utime(file, (setup.now - age, setup.now - age))
    part = private_directory(setup.paths.models / "partial") / "model.gguf.part"
    part.write_bytes(bytes(10))
    os.utime(part, (setup.now - 9 * DAY, setup.now - 9 * DAY))
    found = [f for f in setup.findings() if f.level is Level.ADVICE and f.id != "starter"]
    assert [f.id for f in found] == ["caches", "caches", "abandoned-download"]
    for finding in found:
        assert os.system(finding.command or "false") == 0
    assert setup.amiss() == {}
    assert [file.name for file in setup.paths.cache.iterdir()] == ["used.kv"]


@pytest.mark.process
def test_15_memory_that_was_short_in_the_last_hour(on) -> None:
    setup = on("pi5-8gb")
    pressure_history.record(setup.paths.state, 8192, "work here waited for memory")
    finding = only(setup.amiss(), "short-memory", "rm ")
    assert "4096 tokens" in finding.message
    assert "(work here waited for memory)" in finding.message
    assert os.system((finding.command or "false").split(" && ")[0]) == 0
    assert setup.amiss() == {}


def test_16_a_configuration_that_cannot_be_read(on) -> None:
    setup = on("pi5-8gb")
    private_directory(setup.paths.config)
    (setup.paths.config / "config.toml").write_text("thread = 2\n")
    finding = only(setup.amiss(), "configuration", "config.toml")
    assert finding.level is Level.PROBLEM
    assert "threads" in finding.message


def test_17_a_pi_without_a_memory_cgroup(on) -> None:
    setup = on("pi5-8gb-no-memory-cgroup")
    only(setup.amiss(), "memory-cgroup", "cgroup_enable=memory")


def test_18_another_version_of_the_library_and_a_build_for_another_processor() -> None:
    board = load_board("pi4-4gb")
    build = native(load_board("pi5-8gb"))
    held = compare(board.cpu, board.accelerators, build)
    found = [f for f in llama_build.kernels(held, build, board, None, HERE) if f.level is Level.PROBLEM]
    assert [f.id for f in found] == ["cpu-kernels-foreign"]


def test_the_release_of_a_jetson() -> None:
    assert machine.parse_l4t_release("# R36 (release), REVISION: 4.7, GCID: 1, BOARD: generic") == (36, 4, 7)
    assert machine.parse_l4t_release("something else") is None
