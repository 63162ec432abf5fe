"""A board as text, one labelled line for each fact: for ``edgechat board`` and the terminal UI.

Pure text: no colours, no width. Sizes are decimal (1 GB = 10^9 bytes), as on model files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgechat.board.board import Accelerator, Board

_KINDS = {
    "raspberry-pi": "Raspberry Pi",
    "jetson": "NVIDIA Jetson",
    "mac": "Mac",
    "pc": "PC",
}


@dataclass(frozen=True, slots=True)
class SummaryLine:
    """One fact about a board."""

    label: str
    text: str


def size(count: int) -> str:
    """A number of bytes as text: ``3.98 GB``, ``417 MB``."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= scale:
            value = count / scale
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    return f"{count} bytes"


def title(board: Board) -> str:
    """The machine's model and name in one line."""
    shown = board.model or board.name
    return shown if board.name == shown else f"{shown} ({board.name})"


def lines(board: Board) -> tuple[SummaryLine, ...]:
    """One line for each fact about a board, in a fixed order."""
    cpu, memory = board.cpu, board.memory
    found = [
        SummaryLine("kind", _kind(board)),
        SummaryLine("system", f"{board.os}, kernel {board.kernel}, {cpu.arch}"),
        SummaryLine("memory", f"{size(memory.total)} in all, {size(memory.available)} available now"),
        SummaryLine("limit", _limit(board)),
    ]
    if memory.address_space_limit is not None:
        found.append(SummaryLine("", f"{size(memory.address_space_limit)} of address space for this process"))
    if memory.swap_total:
        found.append(SummaryLine("swap", f"{size(memory.swap_total)}, never counted as room"))
    bandwidth = "not known"
    if memory.bandwidth:
        source = "measured" if memory.bandwidth_source == "measured" else "from the data sheet"
        bandwidth = f"{memory.bandwidth / 1e9:.3g} GB/s, {source}"
    found += [
        SummaryLine("bandwidth", bandwidth),
        SummaryLine("processor", cpu.model or "not named"),
        SummaryLine("cores", _cores(board)),
        SummaryLine("features", " ".join(cpu.features) or "none that llama.cpp has kernels for"),
    ]
    if board.accelerators:
        found += [SummaryLine("" if i else "accelerator", _accelerator(a)) for i, a in enumerate(board.accelerators)]
    else:
        found.append(SummaryLine("accelerator", "none; models run on the processor"))
    if board.npus:
        found.append(SummaryLine("npu", f"{', '.join(board.npus)}: idle, llama.cpp cannot use it"))
    return tuple(found)


def _kind(board: Board) -> str:
    if board.kind == "container":
        return " ".join(dict.fromkeys((board.environment or "container", "container")))
    around = f", inside {board.environment}" if board.environment else ""
    return f"{_KINDS.get(board.kind, board.kind)}{around}"


def _limit(board: Board) -> str:
    memory = board.memory
    if memory.cgroup_limit is None:
        return "none" if memory.cgroup_supported or board.kind == "mac" else "none, and none can be set (see notes)"
    used = f", {size(memory.cgroup_used)} of it in use" if memory.cgroup_used is not None else ""
    return f"{size(memory.cgroup_limit)} for this process and its group{used}"


def _cores(board: Board) -> str:
    cpu = board.cpu
    words = [f"{cpu.n_cores} usable"]
    if cpu.n_big_cores < cpu.n_cores:
        words.append(f"{cpu.n_big_cores} of them big")
    if cpu.n_threads > cpu.n_cores:
        words.append(f"{cpu.n_threads} hardware threads")
    if cpu.max_mhz:
        words.append(f"up to {cpu.max_mhz / 1000:.3g} GHz")
    if cpu.quota is not None:
        words.append(f"CPU time for {cpu.quota:.3g}")
    return ", ".join(words)


def _accelerator(accelerator: Accelerator) -> str:
    words = [accelerator.name]
    if accelerator.compute_capability:
        words.append(f"compute {accelerator.compute_capability}")
    if accelerator.unified:
        words.append(f"shares the memory above, up to {size(accelerator.total)}")
    else:
        words.append(f"{size(accelerator.total)} of its own, {size(accelerator.free)} free")
    return f"{accelerator.kind}: {', '.join(words)}"
