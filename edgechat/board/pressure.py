"""Pressure-stall information: the share of time in which work waited for memory, the disk or a core.

Of the machine and of this process's own control group, whichever is worse: a container under its limit stalls while
the machine has plenty. Format: the kernel's accounting/psi.rst. Absent where the kernel has no PSI.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.board import cgroup

if TYPE_CHECKING:
    from edgechat.board.source import Source


@dataclass(frozen=True, slots=True)
class Pressure:
    """Percent of time in the last ten and sixty seconds."""

    some10: float
    """At least one task waited."""
    some60: float
    full10: float = 0.0
    """Every task waited: nothing was done at all."""
    full60: float = 0.0


def parse(text: str) -> Pressure | None:
    """Read ``some avg10=0.12 avg60=… total=…`` and ``full …``; None when it has another form."""
    rows: dict[str, dict[str, float]] = {}
    for line in text.splitlines():
        kind, *pairs = line.split()
        try:
            rows[kind] = {name: float(value) for name, _, value in (pair.partition("=") for pair in pairs)}
        except ValueError:
            return None
    some, full = rows.get("some"), rows.get("full", {})
    if some is None or "avg10" not in some:
        return None
    return Pressure(some["avg10"], some.get("avg60", 0.0), full.get("avg10", 0.0), full.get("avg60", 0.0))


def read_pressure(source: Source, resource: str = "memory") -> Pressure | None:
    """The worse of the machine's and this group's pressure; ``resource`` is ``memory``, ``cpu`` or ``io``."""
    texts = [source.text(f"proc/pressure/{resource}")]
    mounts = cgroup.parse_mounts(source.text("proc/self/mountinfo") or "")
    groups = cgroup.parse_groups(source.text("proc/self/cgroup") or "")
    own = [cgroup.ancestry(mount, groups[""])[0] for mount in mounts if mount.version == 2 and "" in groups]
    texts += [source.text(f"{directory}/{resource}.pressure") for directory in own]
    found = [pressure for text in texts if text and (pressure := parse(text))]
    return max(found, key=lambda each: (each.some10, each.full10), default=None)
