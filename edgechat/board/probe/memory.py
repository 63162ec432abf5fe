"""The RAM that this process may use on a Linux machine: MemAvailable, lowered to what the cgroups still allow.

Swap is reported and never counted as available.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.board.board import Memory
from edgechat.board.probe import cgroup

if TYPE_CHECKING:
    from edgechat.board.source import Source

_REMEDY = "Add cgroup_enable=memory to /boot/firmware/cmdline.txt and reboot to get one."


def parse_meminfo(text: str) -> dict[str, int]:
    """Parse ``/proc/meminfo`` into bytes by name; lines without a number are skipped."""
    values = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdecimal():
            values[name] = int(words[0]) * (1024 if words[1:2] == ["kB"] else 1)
    return values


def available(source: Source) -> int | None:
    """Bytes of RAM that are available now, lowered to what every cgroup above allows; None where no file tells.

    Reads far less than a whole probe, so that it can be called while answers are made.
    """
    if source.uname()[0] == "Darwin":
        from edgechat.board.probe.macos import available_memory  # noqa: PLC0415 - unused on every Linux board

        return available_memory(source)
    meminfo = parse_meminfo(source.text("proc/meminfo") or "")
    if not meminfo.get("MemTotal"):
        return None
    return combine(meminfo, cgroup.memory_levels(source, *cgroup.own(source)), []).available


def combine(meminfo: dict[str, int], levels: list[cgroup.MemoryLevel], notes: list[str]) -> Memory:
    """The memory of the machine, with ``available`` lowered to the headroom of every group above this process.

    A limit of all RAM or more is no limit: cgroup version 1 writes "none" as the largest page-aligned number.

    Args:
        meminfo: the result of :func:`parse_meminfo`.
        levels: the memory limits above this process.
        notes: problems found are added here.
    """
    total = meminfo.get("MemTotal", 0)
    available = meminfo.get("MemAvailable")
    if available is None:
        available = meminfo.get("MemFree", 0)
        notes.append("The kernel reports no MemAvailable, so only free pages count as available.")
    real = [level for level in levels if level.limit < total]
    tightest = min(real, key=lambda level: level.limit, default=None)
    narrowest = min(real, key=lambda level: level.headroom, default=None)
    if tightest is not None and narrowest is not None and narrowest.headroom < min(tightest.headroom, available):
        notes.append(
            f"{narrowest.group} leaves less room ({narrowest.headroom} bytes) than the tightest limit does: "
            "other processes share that group."
        )
    return Memory(
        total=total,
        available=max(0, min([available, *(level.headroom for level in real)])),
        cgroup_limit=tightest.limit if tightest else None,
        cgroup_used=tightest.used if tightest else None,
        swap_total=meminfo.get("SwapTotal", 0),
    )


def controller_note(source: Source, supported: bool | None) -> str:
    """The note for a machine whose memory cannot be limited by group; ``""`` where it can."""
    if supported:
        return ""
    if supported is None:
        return "No cgroup files can be read here, so a memory limit would go unseen."
    # The Raspberry Pi firmware passes cgroup_disable=memory (kernel 6.12 on); older Pi kernels default to it.
    raspberry = (source.text("proc/device-tree/model") or "").startswith("Raspberry Pi")
    if raspberry or "cgroup_disable=memory" in (source.text("proc/cmdline") or "").split():
        who = "the Raspberry Pi's firmware or kernel" if raspberry else "the kernel command line"
        return f"The memory cgroup is switched off by {who}: no service can be given a memory limit. {_REMEDY}"
    return "This kernel has no memory cgroup: no service can be given a memory limit."


def address_space_limit(limits: str) -> int | None:
    """Parse the soft ``RLIMIT_AS`` from ``/proc/self/limits`` in bytes, or None when unlimited or absent."""
    for line in limits.splitlines():
        if line.startswith("Max address space"):
            word = line[len("Max address space") :].split()[:1]
            return int(word[0]) if word and word[0].isdecimal() else None
    return None
