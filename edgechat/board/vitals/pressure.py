"""Pressure-stall information (PSI): the share of time in which work waited for memory, the disk or a core.

The machine's and this process's own control group's are kept apart: a container at its limit stalls while the machine
has memory left, and another group at its limit raises the machine's figure while this group has memory left. Format:
the kernel's accounting/psi.rst. Absent where the kernel has no PSI.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.board.probe import cgroup
from edgechat.board.probe.memory import available

if TYPE_CHECKING:
    from edgechat.board.source import Source


@dataclass(frozen=True, slots=True)
class Pressure:
    """Percent of time in the last ten and sixty seconds."""

    some10: float
    """At least one task waited."""
    some60: float
    full10: float = 0.0
    """Every task waited."""
    full60: float = 0.0


@dataclass(frozen=True, slots=True)
class MemoryStall:
    """Memory pressure of the machine and of this process's group, and the memory that is still available."""

    machine: Pressure | None = None
    """Of all groups together: one that thrashes at its own limit raises it too."""
    own: Pressure | None = None
    """Of the group that this process lives in; None where it has none of its own."""
    available: int | None = None
    """Bytes: MemAvailable, lowered to what the groups above still allow; None where the kernel does not report it."""

    @property
    def worst(self) -> Pressure:
        """The higher of the two, for showing."""
        found = [each for each in (self.machine, self.own) if each is not None]
        return max(found, key=_rank, default=Pressure(0.0, 0.0))


def parse(text: str) -> Pressure | None:
    """Parse ``some avg10=0.12 avg60=… total=…`` and ``full …``; None when it has another form."""
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
    found = [each for each in (_of_machine(source, resource), _of_group(source, resource)) if each is not None]
    return max(found, key=_rank, default=None)


def read_memory_stall(source: Source) -> MemoryStall | None:
    """Both memory pressures and the available memory; None where the kernel has no PSI."""
    machine, own = _of_machine(source, "memory"), _of_group(source, "memory")
    if machine is None and own is None:
        return None
    return MemoryStall(machine, own, available(source))


def _of_machine(source: Source, resource: str) -> Pressure | None:
    return parse(source.text(f"proc/pressure/{resource}") or "")


def _of_group(source: Source, resource: str) -> Pressure | None:
    mounts, groups = cgroup.own(source)
    for mount in mounts:
        if mount.version != 2 or "" not in groups:
            continue
        directory = cgroup.ancestry(mount, groups[""])[0]
        # The root of all groups has this file too, and in it the machine's pressure; only other groups have events
        # (cgroup-v2.rst). In a container the mount point itself is such a group.
        is_own = directory != mount.point.strip("/") or source.exists(f"{directory}/cgroup.events")
        if is_own and (found := parse(source.text(f"{directory}/{resource}.pressure") or "")):
            return found
    return None


def _rank(pressure: Pressure) -> tuple[float, float]:
    return pressure.some10, pressure.full10
