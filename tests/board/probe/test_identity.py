"""The machine's name, and the container or virtual machine around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.board.probe import recognised_boards
from edgechat.board.probe.identity import read_environment, read_identity
from tests.board.trees import write

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ""),
        ({".dockerenv": ""}, "docker"),
        ({"run/.containerenv": "", ".dockerenv": ""}, "podman"),
        ({"proc/self/cgroup": "0::/kubepods.slice/kubepods-pod1.slice/cri-1.scope\n"}, "kubernetes"),
        ({"proc/1/cgroup": "4:memory:/docker/abc\n"}, "docker"),
        ({"proc/self/cgroup": "4:memory:/lxc/box\n"}, "lxc"),
        ({"run/systemd/container": "systemd-nspawn\n"}, "container"),
        ({"proc/sys/kernel/osrelease": "5.15.167.4-microsoft-standard-WSL2\n"}, "wsl"),
        ({"proc/sys/kernel/osrelease": "5.15.167.4-microsoft-standard-WSL2\n", ".dockerenv": ""}, "docker"),
    ],
)
def test_environment(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    tmp_path.joinpath("root").mkdir()
    assert read_environment(write(tmp_path / "root", files)) == expected


def test_a_pi_in_a_container_is_still_a_pi(tmp_path: Path) -> None:
    model = "Raspberry Pi 5 Model B Rev 1.0"
    source = write(tmp_path, {".dockerenv": "", "proc/device-tree/model": model + "\0"})
    identity = read_identity(source, 8 * GIB - 100, [])
    assert (identity.kind, identity.environment, identity.name, identity.model) == (
        "raspberry-pi",
        "docker",
        "pi5-8gb",
        model,
    )


def test_makers_placeholders_are_no_names(tmp_path: Path) -> None:
    files = {
        "sys/class/dmi/id/sys_vendor": "To Be Filled By O.E.M.\n",
        "sys/class/dmi/id/product_name": "Default string\n",
    }
    assert read_identity(write(tmp_path, files), GIB, []).model == ""


def test_a_named_pc_is_called_by_its_name(tmp_path: Path) -> None:
    files = {"sys/class/dmi/id/sys_vendor": "LENOVO\n", "sys/class/dmi/id/product_name": "20W1S6EY00\n"}
    identity = read_identity(write(tmp_path, files), GIB, [])
    assert (identity.name, identity.kind) == ("LENOVO 20W1S6EY00", "pc")


def test_names_from_firmware_cannot_steer_the_terminal(tmp_path: Path) -> None:
    files = {"proc/device-tree/model": "Board\x1b[2J\0", "etc/os-release": 'PRETTY_NAME="Li\x07nux"\n'}
    identity = read_identity(write(tmp_path, files), GIB, [])
    assert (identity.model, identity.os) == ("Board[2J", "Linux")


def test_wsl_says_whose_memory_it_is(tmp_path: Path) -> None:
    notes: list[str] = []
    read_identity(write(tmp_path, {"proc/sys/kernel/osrelease": "5.15-microsoft-standard-WSL2"}), GIB, notes)
    assert ".wslconfig" in notes[0]


def test_wsl_1_is_told_apart_with_the_command_that_converts_it(tmp_path: Path) -> None:
    notes: list[str] = []
    read_identity(write(tmp_path, {"proc/sys/kernel/osrelease": "4.4.0-19041-Microsoft\n"}), 1, notes)
    assert "wsl --set-version" in notes[0]


@pytest.mark.parametrize(
    ("model", "total", "name", "bandwidth"),
    [
        ("Raspberry Pi 4 Model B Rev 1.1", 3_884_328 << 10, "pi4-4gb", 12_800_000_000),
        ("Raspberry Pi 4 Model B Rev 1.1", 950_000 << 10, "", 12_800_000_000),  # the 1 GB board has no known name
        ("Raspberry Pi 5 Model B Rev 1.1", 16_608_192 << 10, "pi5-16gb", 17_068_000_000),
        ("Raspberry Pi Compute Module 4 Rev 1.0", 3_884_328 << 10, "", 12_800_000_000),
        ("Raspberry Pi 500+ Rev 1.0", 16_608_192 << 10, "pi500-plus-16gb", 17_068_000_000),
        ("Raspberry Pi 3 Model B Rev 1.2", 948_000 << 10, "", None),
    ],
)
def test_names_and_bandwidths_by_model(model: str, total: int, name: str, bandwidth: int | None) -> None:
    assert recognised_boards.by_model(model, total) == (name, bandwidth)


def test_a_jetson_is_known_by_its_module_and_power_configuration() -> None:
    plain = recognised_boards.jetson("nvidia,p3768-0000+p3767-0005 nvidia,p3767-0005 nvidia,tegra234")
    boosted = recognised_boards.jetson("nvidia,p3768-0000+p3767-0005-super nvidia,p3767-0005 nvidia,tegra234")
    assert plain == ("orin-nano-8gb", 68_256_000_000)
    assert boosted == ("orin-nano-8gb", 102_400_000_000)
    assert recognised_boards.jetson("nvidia,p9999-0000 nvidia,tegra234") == ("", None)


def test_apple_chips_with_two_memory_widths_get_no_figure() -> None:
    assert recognised_boards.apple("Apple M1") == 68_250_000_000
    assert recognised_boards.apple("Apple M4 Max") is None
