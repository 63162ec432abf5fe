"""GPUs: what nvidia-smi prints, what CUDA_VISIBLE_DEVICES hides, and why one that is there is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.board.board import Memory
from edgechat.board.probe.accelerators import parse_nvidia_smi, read_accelerators, select_visible
from tests.board.trees import write

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
RAM = Memory(total=32_000 * MIB, available=30_000 * MIB, bandwidth=200 * 10**9)
TWO = """\
0, GPU-aaaa-1, NVIDIA GeForce RTX 3060, 12288, 11900, 8.6
1, GPU-bbbb-2, NVIDIA GeForce RTX 4090, 24564, 24000, 8.9
"""


def names(visible: str | None) -> list[tuple[int, str]]:
    found = select_visible(parse_nvidia_smi(TWO, RAM, []), visible, [])
    return [(gpu.index, gpu.name[-4:]) for gpu in found]


def test_discrete_gpus_have_memory_of_their_own() -> None:
    (_, first), _ = parse_nvidia_smi(TWO, RAM, [])
    assert (first.total, first.free, first.unified, first.compute_capability) == (
        12288 * MIB,
        11900 * MIB,
        False,
        "8.6",
    )
    assert first.bandwidth is None


def test_a_gpu_without_memory_of_its_own_is_unified() -> None:
    ((_, gpu),) = parse_nvidia_smi("0, GPU-x, NVIDIA GB10, [N/A], [N/A], 12.1", RAM, [])
    assert (gpu.unified, gpu.total, gpu.free, gpu.bandwidth) == (True, RAM.total, RAM.available, RAM.bandwidth)


def test_a_gpu_that_may_not_be_asked_is_left_out_with_a_note() -> None:
    notes: list[str] = []
    row = "0, GPU-x, NVIDIA H100, [Insufficient Permissions], [Insufficient Permissions], 9.0"
    assert parse_nvidia_smi(row, RAM, notes) == []
    assert "Insufficient Permissions" in notes[0]


def test_visible_devices_select_order_and_number() -> None:
    assert names(None) == [(0, "3060"), (1, "4090")]
    assert names("1,0") == [(0, "4090"), (1, "3060")]
    assert names("GPU-bbbb") == [(0, "4090")]
    assert names("") == []
    assert names("-1") == []
    # CUDA stops at the first entry it does not know.
    assert names("1,7,0") == [(0, "4090")]


def test_hidden_gpus_are_mentioned() -> None:
    notes: list[str] = []
    select_visible(parse_nvidia_smi(TWO, RAM, []), "0", notes)
    assert notes == ["CUDA_VISIBLE_DEVICES=0 hides 1 of 2 GPUs."]


def test_unknown_output_is_a_note_and_no_gpu() -> None:
    notes: list[str] = []
    assert parse_nvidia_smi("No devices were found", RAM, notes) == []
    assert "No devices were found" in notes[0]


def test_a_driver_without_nvidia_smi_is_a_note(tmp_path: Path) -> None:
    notes: list[str] = []
    source = write(tmp_path, {"proc/driver/nvidia/version": "NVRM version: 570"})
    assert read_accelerators(source, RAM, "", None, notes) == ()
    assert "nvidia-smi is not installed" in notes[0]


def test_a_recorded_nvidia_smi_is_read(tmp_path: Path) -> None:
    source = write(tmp_path, {"proc/driver/nvidia/version": "x", "commands/nvidia-smi": TWO})
    assert len(read_accelerators(source, RAM, "", None, [])) == 2


def test_a_card_without_driver_is_a_note(tmp_path: Path) -> None:
    device = "sys/bus/pci/devices/0000:01:00.0"
    source = write(tmp_path, {f"{device}/vendor": "0x10de\n", f"{device}/class": "0x030000\n"})
    notes: list[str] = []
    assert read_accelerators(source, RAM, "", None, notes) == ()
    assert "driver is not loaded" in notes[0]


@pytest.mark.parametrize(
    ("files", "compatible", "visible", "word"),
    [
        ({}, "nvidia,p3767-0005 nvidia,tegra234", None, "--runtime nvidia"),
        ({"dev/nvmap": ""}, "nvidia,tegra210", None, "10.2"),
        ({"dev/nvmap": ""}, "nvidia,tegra234", "", "CUDA_VISIBLE_DEVICES"),
        ({"dev/nvmap": ""}, "nvidia,tegra999", None, "not known"),
    ],
)
def test_a_jetson_gpu_that_cannot_be_used_says_why(
    tmp_path: Path, files: dict[str, str], compatible: str, visible: str | None, word: str
) -> None:
    tmp_path.joinpath("root").mkdir()
    notes: list[str] = []
    assert read_accelerators(write(tmp_path / "root", files), RAM, compatible, visible, notes) == ()
    assert word in notes[0]
