"""The reserve: the memory that a plan keeps free, and the reason. Pure.

It covers the prediction's error (``docs/fit.md``: a few percent), the kernel's watermarks, page cache for reading, and
other programs that grow after the plan was made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from edgechat.board.board import Accelerator, Board

MIB = 1 << 20
_LEAST, _MOST = 48 * MIB, 1024 * MIB
_LEAST_IN_GROUP = 32 * MIB
_SHARE = 20
"""One part in this many of the RAM, or of the cgroup's limit."""
_SHARE_UNIFIED = 10
_LEAST_ON_DEVICE = 256 * MIB
UNUSED_ADDRESS_SPACE = 384 * MIB
"""Address space of libraries, stacks and allocator arenas that are mapped but never used: VmPeak was 337 to 355 MB
above the prediction after an answer under a schema (SmolLM2, shapes of Qwen2.5-0.5B and 1.5B)."""


class Reserve(NamedTuple):
    """Bytes kept free, and the rule in words."""

    size: int
    why: str


def reserve(board: Board) -> Reserve:
    """The RAM that a plan keeps free on this board."""
    memory = board.memory
    if memory.address_space_limit is not None and _usable_address_space(memory.address_space_limit) < memory.available:
        # Other programs do not use this process's address space.
        return Reserve(max(memory.address_space_limit // _SHARE, _LEAST_IN_GROUP), "5% of the address-space limit")
    limit = memory.cgroup_limit
    if limit is not None and limit < memory.total:
        # The memory of programs outside the cgroup does not count against its limit, nor does the kernel's reserve.
        return Reserve(max(limit // _SHARE, _LEAST_IN_GROUP), "5% of the memory limit")
    if any(device.unified and device.kind == "cuda" for device in board.accelerators):
        # The GPU's driver uses the same RAM, and its figure of free memory is unreliable.
        return Reserve(max(memory.total // _SHARE_UNIFIED, _LEAST), "10% of the memory, which the GPU shares")
    size = min(max(memory.total // _SHARE, _LEAST), _MOST)
    if size == _LEAST:
        return Reserve(size, "the least that a running system needs")
    return Reserve(size, "5% of the memory" if size < _MOST else "1 GiB, enough for a board of any size")


def usable_memory(board: Board) -> int:
    """RAM that a new process may use: available, and within its address-space limit. Swap does not count."""
    limit = board.memory.address_space_limit
    available = board.memory.available
    return available if limit is None else min(available, _usable_address_space(limit))


def _usable_address_space(limit: int) -> int:
    return max(0, limit - UNUSED_ADDRESS_SPACE)


def usable_device_memory(device: Accelerator) -> int:
    """Bytes of a discrete device's own memory that a plan may use: free, less 5 % of all and at least 256 MiB."""
    return max(0, device.free - max(device.total // _SHARE, _LEAST_ON_DEVICE))
