"""Findings about the machine: notes of the probe, the memory cgroup, and a Jetson's allocator."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgechat.doctor.finding import Finding, advice, ok
from edgechat.engine.state import log

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.board.board import Board
    from edgechat.board.source import Source

NVMAP_LOG_SIGNS = ("NvMapMemAllocInternalTagged", "NvMapMemHandleAlloc", "NVMAP_IOC")
_NVMAP_STRICT_SINCE = (36, 4, 7)
"""Since L4T 36.4.7 (the fix of CVE-2025-33177) NvMap refuses large allocations that the page cache could make room for,
and CUDA then reports being out of memory. On older releases fragmentation has the same effect until a reboot. The
lines looked for are the library's (``NvMapMemAllocInternalTagged: … error 12``)."""


def notes(board: Board, source: Source) -> list[Finding]:
    """The notes of the probe, and whether services can have a memory limit."""
    found = []
    for note in board.notes:
        if "memory cgroup" in note:
            found.append(advice("memory-cgroup", note, _cgroup_command(source) if "cmdline.txt" in note else None))
        else:
            found.append(advice("board", note))
    return found or [ok("board", "Everything that plans need can be read from this machine.")]


def npus(board: Board) -> list[Finding]:
    """NPUs, which stay idle; no finding where there is none."""
    if not board.npus:
        return []
    message = f"{', '.join(board.npus)}: stays idle. llama.cpp has no backend for it, so models run on the processor."
    return [ok("npu", message)]


def _cgroup_command(source: Source) -> str:
    # Raspberry Pi OS moved the file with Debian 12.
    old = not source.exists("boot/firmware/cmdline.txt") and source.exists("boot/cmdline.txt")
    file = "/boot/cmdline.txt" if old else "/boot/firmware/cmdline.txt"
    return f"sudo sed -i '1s/$/ cgroup_enable=memory/' {file} && sudo reboot"


def nvmap(board: Board, source: Source, state: Path) -> list[Finding]:
    """Search the engine's log for refusals; boards without NvMap get no finding."""
    if board.kind != "jetson":
        return []
    refusals = [
        line for line in log.tail(state, size=1 << 20).splitlines() if any(sign in line for sign in NVMAP_LOG_SIGNS)
    ]
    if not refusals:
        return [
            ok("nvmap", "The Jetson's memory allocator (NvMap) has refused nothing, according to the engine's log.")
        ]
    release = parse_l4t_release(source.text("etc/nv_tegra_release") or "")
    name = f" L4T {'.'.join(map(str, release))}" if release else ""
    message = (
        f"The Jetson's memory allocator (NvMap) refused memory {len(refusals)} times ({refusals[-1].strip()[:80]}). "
        "It counts the page cache as used, or is fragmented. Emptying the cache may help; a reboot always helps."
    )
    if release is not None and release >= _NVMAP_STRICT_SINCE:
        message += f" This release ({name.strip()}) has this known fault."
    return [advice("nvmap", message, "edgechat stop; sync; echo 3 | sudo tee /proc/sys/vm/drop_caches")]


def parse_l4t_release(text: str) -> tuple[int, int, int] | None:
    """Parse the numbers in ``# R36 (release), REVISION: 4.7, …`` (``/etc/nv_tegra_release``)."""
    found = re.search(r"R(\d+) \(release\), REVISION: (\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None
