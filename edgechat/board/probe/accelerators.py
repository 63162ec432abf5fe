"""GPUs that llama.cpp can offload layers to on Linux: discrete NVIDIA cards, and Jetson's that shares the RAM.

Reads the driver's files first and starts ``nvidia-smi`` only where a driver is loaded; never loads CUDA. A GPU that
cannot be used becomes a note with the reason, not an accelerator.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from edgechat.board.board import Accelerator, Memory

if TYPE_CHECKING:
    from edgechat.board.source import Source

_MIB = 1 << 20
_QUERY = ("--query-gpu=index,uuid,name,memory.total,memory.free,compute_cap", "--format=csv,noheader,nounits")
# NVIDIA's table of compute capabilities (developer.nvidia.com/cuda-gpus), by system on chip.
_TEGRA = {
    "nvidia,tegra210": ("Tegra X1", "5.3"),
    "nvidia,tegra186": ("Tegra X2", "6.2"),
    "nvidia,tegra194": ("Xavier", "7.2"),
    "nvidia,tegra234": ("Orin", "8.7"),
    "nvidia,tegra264": ("Thor", "11.0"),
}
# JetPack 4 is the last for these and ends at CUDA 10.2; llama.cpp's CUDA backend needs C++17, hence CUDA 11.
_TOO_OLD = frozenset({"nvidia,tegra210", "nvidia,tegra186"})


def read_accelerators(
    source: Source, memory: Memory, compatible: str, visible: str | None, notes: list[str]
) -> tuple[Accelerator, ...]:
    """Find the usable GPUs of a Linux machine.

    Args:
        source: the machine.
        memory: its RAM, which a unified GPU shares.
        compatible: the device tree's ``compatible`` strings.
        visible: ``CUDA_VISIBLE_DEVICES`` as the engine will see it, or None when unset.
        notes: for each GPU that is left out, the reason is added here.
    """
    if "nvidia,tegra" in compatible:
        return _jetson(source, memory, compatible, visible, notes)
    if not source.exists("proc/driver/nvidia/version") and not source.exists("dev/dxg"):
        if _nvidia_on_pci(source):
            notes.append("An NVIDIA GPU is fitted but its driver is not loaded, so it is left out.")
        return ()
    program = "nvidia-smi"
    if not source.has_command(program):
        program = "/usr/lib/wsl/lib/nvidia-smi"
        if not source.has_command(program):
            if source.exists("proc/driver/nvidia/version"):
                notes.append("The NVIDIA driver is loaded but nvidia-smi is not installed: GPU memory is unknown.")
            return ()
    output = source.command(program, *_QUERY)
    if output is None:
        notes.append("nvidia-smi failed or did not answer within 5 s: the GPU is left out.")
        return ()
    return select_visible(parse_nvidia_smi(output, memory, notes), visible, notes)


def parse_nvidia_smi(output: str, memory: Memory, notes: list[str]) -> list[tuple[str, Accelerator]]:
    """Parse the rows that ``nvidia-smi`` prints for ``_QUERY`` as (uuid, accelerator).

    A GPU whose memory is ``[N/A]`` shares the RAM (GB10, Jetson).
    """
    found = []
    for line in output.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 6 or not cells[0].isdecimal():
            notes.append(f"nvidia-smi printed a line of unknown form: {line.strip()[:100]!r}.")
            continue
        index, uuid, name, total, free, capability = cells
        own = total.isdecimal() and free.isdecimal()
        if not own and "[N/A]" not in (total, free) and "[Not Supported]" not in (total, free):
            notes.append(f"{name} is left out: nvidia-smi does not tell its memory ({total or free}).")
            continue
        accelerator = Accelerator(
            kind="cuda",
            name=name,
            total=int(total) * _MIB if own else memory.total,
            free=int(free) * _MIB if own else memory.available,
            unified=not own,
            index=int(index),
            compute_capability=capability if capability[:1].isdecimal() else "",
            bandwidth=None if own else memory.bandwidth,
        )
        found.append((uuid, accelerator))
    return found


def select_visible(
    found: list[tuple[str, Accelerator]], visible: str | None, notes: list[str]
) -> tuple[Accelerator, ...]:
    """Keep the GPUs that ``CUDA_VISIBLE_DEVICES`` names, in its order, with the numbers that CUDA gives them.

    CUDA stops at the first entry it does not know (CUDA C++ Programming Guide, environment variables).
    """
    if visible is None:
        return tuple(accelerator for _, accelerator in found)
    kept: list[Accelerator] = []
    for entry in visible.split(","):
        wanted = entry.strip()
        match = next(
            (a for uuid, a in found if wanted and (wanted == str(a.index) or uuid.startswith(wanted))),
            None,
        )
        if match is None:
            break
        kept.append(replace(match, index=len(kept)))
    if len(kept) < len(found):
        notes.append(f"CUDA_VISIBLE_DEVICES={visible} hides {len(found) - len(kept)} of {len(found)} GPUs.")
    return tuple(kept)


def _jetson(
    source: Source, memory: Memory, compatible: str, visible: str | None, notes: list[str]
) -> tuple[Accelerator, ...]:
    chip = next((chip for chip in compatible.split() if chip in _TEGRA), None)
    if chip is None:
        notes.append("This Jetson's chip is not known, so its GPU is left out.")
        return ()
    name, capability = _TEGRA[chip]
    if chip in _TOO_OLD:
        notes.append(f"The {name} GPU is left out: its last CUDA, 10.2, cannot build llama.cpp.")
        return ()
    if visible is not None and visible.strip() not in {"0", "all"}:
        notes.append(f"CUDA_VISIBLE_DEVICES={visible} hides the {name} GPU.")
        return ()
    if not source.exists("dev/nvmap"):
        notes.append(f"The {name} GPU cannot be reached (no /dev/nvmap): start the container with --runtime nvidia.")
        return ()
    if not source.usable("dev/nvmap"):
        notes.append(f"The {name} GPU may not be used by this user: sudo usermod -aG video,render $USER")
        return ()
    return (
        Accelerator(
            kind="cuda",
            name=f"NVIDIA {name} (integrated)",
            total=memory.total,
            free=memory.available,
            unified=True,
            compute_capability=capability,
            bandwidth=memory.bandwidth,
        ),
    )


def _nvidia_on_pci(source: Source) -> bool:
    # Class 03 is a display controller; 0x10de is NVIDIA. Virtual machines without PCI have no such directory.
    for device in source.names("sys/bus/pci/devices"):
        path = os.path.join("sys/bus/pci/devices", device)  # noqa: PTH118
        if source.text(f"{path}/vendor") == "0x10de" and (source.text(f"{path}/class") or "").startswith("0x03"):
            return True
    return False
