"""The identity of a Linux machine: model, kind, distribution, boot, and the container or subsystem around this process.

Reads the device tree, DMI and the marks that container runtimes leave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.board.probe import recognised_boards

if TYPE_CHECKING:
    from edgechat.board.source import Source

# What mainboard makers leave in DMI when they name nothing.
_NO_NAME = frozenset({
    *("", "default string", "to be filled by o.e.m.", "system product name", "system manufacturer", "none"),
    *("not specified", "not applicable", "o.e.m.", "unknown", "invalid"),
})  # fmt: skip
_RUNTIMES = (("kubepods", "kubernetes"), ("docker", "docker"), ("libpod", "podman"), ("/lxc", "lxc"))


@dataclass(frozen=True, slots=True)
class MachineIdentity:
    """The fields of the same names in ``Board``, and what other parts of the probe need."""

    name: str
    kind: str
    model: str
    os: str
    boot_id: str
    environment: str
    compatible: str
    """The device tree's ``compatible`` strings, joined by blanks."""
    bandwidth: int | None
    """Peak memory bandwidth from the data sheet, bytes a second."""


def read_identity(source: Source, total: int, notes: list[str]) -> MachineIdentity:
    """Identify a Linux machine with ``total`` bytes of RAM; facts that cannot be read are added to ``notes``."""
    device = _printable((source.text("proc/device-tree/model") or "").split("\0")[0])
    compatible = (source.text("proc/device-tree/compatible") or "").replace("\0", " ")
    environment = read_environment(source)
    name, bandwidth = recognised_boards.by_model(device, total)
    if device.startswith("Raspberry Pi"):
        kind = "raspberry-pi"
    elif "nvidia,tegra" in compatible:
        kind = "jetson"
        name, bandwidth = recognised_boards.jetson(compatible)
    else:
        kind = "container" if environment not in {"", "wsl"} else "pc"
    model = device or _printable(_dmi(source))
    if environment == "wsl":
        notes.append(_wsl_note(source))
    boot_id = source.text("proc/sys/kernel/random/boot_id") or ""
    if not boot_id:
        notes.append("The boot id cannot be read, so what should hold until reboot holds for one engine only.")
    return MachineIdentity(
        name=name or model or kind,
        kind=kind,
        model=model,
        os=_distribution(source),
        boot_id=boot_id,
        environment=environment,
        compatible=compatible,
        bandwidth=bandwidth,
    )


def _wsl_note(source: Source) -> str:
    # WSL 2 is a Linux kernel ("…-microsoft-standard-WSL2"); WSL 1 translates calls ("4.4.0-19041-Microsoft").
    if (source.text("proc/sys/kernel/osrelease") or "").endswith("-Microsoft"):
        return "This is WSL 1, which edgechat was not made for. In PowerShell: wsl --set-version DISTRIBUTION 2"
    return "This is Windows' Linux subsystem (WSL 2): memory is what .wslconfig lends it, not all that is fitted."


def read_environment(source: Source) -> str:
    """The container runtime or subsystem around this process; ``""`` outside any."""
    if source.exists("run/.containerenv"):
        return "podman"
    groups = (source.text("proc/self/cgroup") or "") + (source.text("proc/1/cgroup") or "")
    for mark, runtime in _RUNTIMES:
        if mark in groups:
            return runtime
    if source.exists("var/run/secrets/kubernetes.io"):
        return "kubernetes"
    if source.exists(".dockerenv"):
        return "docker"
    if (manager := source.text("run/systemd/container")) is not None:
        return manager if manager in {"docker", "podman", "lxc", "wsl"} else "container"
    release = (source.text("proc/sys/kernel/osrelease") or "").lower()
    return "wsl" if "microsoft" in release else ""


def _printable(text: str) -> str:
    # Firmware and image builders write these; no control character of theirs may reach the terminal.
    return "".join(character for character in text if character.isprintable())


def _dmi(source: Source) -> str:
    words = []
    for field in ("sys_vendor", "product_name"):
        text = source.text(f"sys/class/dmi/id/{field}") or ""
        if text.lower() not in _NO_NAME:
            words.append(text)
    # A vendor without a product names nothing.
    return " ".join(words) if len(words) == 2 else ""


def _distribution(source: Source) -> str:
    text = source.text("etc/os-release") or source.text("usr/lib/os-release") or ""
    for line in text.splitlines():
        if line.startswith("PRETTY_NAME="):
            return _printable(line.partition("=")[2].strip("\"'"))
    return source.uname()[0]
