"""Jetson's memory allocator refusing what is free: told by the engine's log, since nothing else records it.

Since L4T 36.4.7 (the fix of CVE-2025-33177) NvMap refuses large allocations that the page cache could make room for,
and CUDA then reports being out of memory; fragmentation does the same on older releases until the board starts anew.
The lines looked for are the library's own (``NvMapMemAllocInternalTagged: … error 12``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgechat.doctor.finding import Finding, advice, ok
from edgechat.engine.state import log

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.board.board import Board
    from edgechat.board.source import Source

_SIGNS = ("NvMapMemAllocInternalTagged", "NvMapMemHandleAlloc", "NVMAP_IOC")
_STRICT_SINCE = (36, 4, 7)


def findings(board: Board, source: Source, state: Path) -> list[Finding]:
    """Look for refusals in the engine's log; boards without NvMap get no finding.

    Args:
        board: the machine.
        source: where its release is read.
        state: whose engine's log.
    """
    if board.kind != "jetson":
        return []
    refusals = [line for line in log.tail(state, size=1 << 20).splitlines() if any(sign in line for sign in _SIGNS)]
    if not refusals:
        return [ok("nvmap", "The Jetson's memory allocator (NvMap) has refused nothing that the log still knows.")]
    release = parse_release(source.text("etc/nv_tegra_release") or "")
    name = f" L4T {'.'.join(map(str, release))}" if release else ""
    message = (
        f"The Jetson's memory allocator (NvMap) refused {len(refusals)} times ({refusals[-1].strip()[:80]}). "
        "It counts the page cache as taken, or is fragmented: emptying the cache helps, starting anew always does."
    )
    if release is not None and release >= _STRICT_SINCE:
        message += f" This release ({name.strip()}) is known for it."
    return [advice("nvmap", message, "edgechat stop; sync; echo 3 | sudo tee /proc/sys/vm/drop_caches")]


def parse_release(text: str) -> tuple[int, int, int] | None:
    """The numbers in ``# R36 (release), REVISION: 4.7, …`` (``/etc/nv_tegra_release``)."""
    found = re.search(r"R(\d+) \(release\), REVISION: (\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None
