"""NPUs are recognised by what the kernel shows of them, and said to stay idle."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgechat.board.probe.board_file import from_json, load_board, to_json
from edgechat.board.probe.npus import read_npus
from edgechat.board.probe.summary import lines
from edgechat.doctor.finding import Level
from edgechat.doctor.machine import npus
from tests.board.trees import write

if TYPE_CHECKING:
    from pathlib import Path

CORAL = "Google Coral Edge TPU"


@pytest.mark.parametrize(
    ("files", "compatible", "expected"),
    [
        ({}, "raspberrypi,5-model-b brcm,bcm2712", ()),
        ({"dev/hailo0": ""}, "raspberrypi,5-model-b", ("Hailo accelerator",)),
        (
            {
                "sys/bus/pci/devices/0001:01:00.0/vendor": "0x1e60\n",
                "sys/bus/pci/devices/0001:01:00.0/device": "0x2864",
            },
            "raspberrypi,5-model-b",
            ("Hailo accelerator",),
        ),
        ({}, "radxa,rock-5b rockchip,rk3588", ("RK3588 NPU",)),
        ({}, "raspberrypi,4-model-b rockchip,rk3399", ()),
        ({"sys/bus/usb/devices/2-1/idVendor": "18d1\n", "sys/bus/usb/devices/2-1/idProduct": "9302\n"}, "", (CORAL,)),
        ({"sys/bus/usb/devices/2-1/idVendor": "18d1\n", "sys/bus/usb/devices/2-1/idProduct": "4ee7\n"}, "", ()),
        (
            {"sys/bus/pci/devices/0:0b.0/vendor": "0x8086", "sys/bus/pci/devices/0:0b.0/class": "0x120000"},
            "",
            ("Intel NPU",),
        ),
        ({"sys/bus/pci/devices/0:02.0/vendor": "0x8086", "sys/bus/pci/devices/0:02.0/class": "0x030000"}, "", ()),
    ],
)
def test_an_npu_is_known_by_its_ids(
    tmp_path: Path, files: dict[str, str], compatible: str, expected: tuple[str, ...]
) -> None:
    assert read_npus(write(tmp_path, files), compatible) == expected


def test_it_is_said_to_stay_idle_and_survives_a_board_file() -> None:
    board = replace(load_board("pi5-8gb"), npus=("Hailo accelerator",))
    assert ("npu", "Hailo accelerator: idle, llama.cpp cannot use it") in [
        (line.label, line.text) for line in lines(board)
    ]
    (found,) = npus(board)
    assert (found.level, "idle" in found.message) == (Level.OK, True)
    assert from_json(to_json(board)) == board
    assert npus(load_board("pi5-8gb")) == []
