"""What is free of the memory right now: far less than a whole probe reads, for whoever asks while answers are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.board.probe import cgroup
from edgechat.board.probe.memory import combine, parse_meminfo

if TYPE_CHECKING:
    from edgechat.board.source import Source


def available(source: Source) -> int | None:
    """Bytes that are available, lowered to what every memory cgroup above allows; None where nobody says."""
    if source.uname()[0] == "Darwin":
        from edgechat.board.probe.probe import probe  # noqa: PLC0415 - no file says it there

        return probe(source.root).memory.available
    meminfo = parse_meminfo(source.text("proc/meminfo") or "")
    if not meminfo.get("MemTotal"):
        return None
    return combine(meminfo, cgroup.memory_levels(source, *cgroup.own(source)), []).available
