"""Control groups, versions 1 and 2: the memory and CPU time that the groups above this process allow.

Walks from the process's own group up to the mount point, because any ancestor may have the limit that matters.
Formats: the kernel's cgroup-v1/memory.rst and cgroup-v2.rst.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgechat.board.source import Source


_CACHE_V1 = ("total_inactive_file", "total_active_file")
_CACHE_V2 = ("inactive_file", "active_file")
"""Names in ``memory.stat``: of a group and those below it."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted cgroup hierarchy."""

    root: str
    """The mounted group, as a path from the hierarchy's own root."""
    point: str
    """The mount point."""
    version: int
    options: frozenset[str]
    """Controllers of a version 1 hierarchy, among other mount options."""


@dataclass(frozen=True, slots=True)
class MemoryLevel:
    """One memory limit above this process, in bytes."""

    group: str
    limit: int
    used: int
    """Usage without file pages, which the kernel drops before it kills. Active ones are left out too, as in
    MemAvailable: a model's pages become active while it decodes and stay charged after its engine has ended (85 MB of a
    400 MB file), and would be missing from the next plan."""

    @property
    def headroom(self) -> int:
        """Bytes that may still be allocated below this limit; never negative."""
        return max(0, self.limit - self.used)


def parse_mounts(mountinfo: str) -> list[Mount]:
    """Parse the cgroup mounts in ``/proc/self/mountinfo``; lines of another form are skipped."""
    mounts = []
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        left, right = before.split(), after.split()
        if not separator or len(left) < 5 or len(right) < 3 or right[0] not in {"cgroup", "cgroup2"}:
            continue
        version = 2 if right[0] == "cgroup2" else 1
        mounts.append(Mount(_unescape(left[3]), _unescape(left[4]), version, frozenset(right[2].split(","))))
    return mounts


def parse_groups(proc_cgroup: str) -> dict[str, str]:
    """Map each version 1 controller, and ``""`` for version 2, to this process's group (``/proc/self/cgroup``)."""
    groups = {}
    for line in proc_cgroup.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3 and parts[2].startswith("/"):
            for controller in parts[1].split(","):
                groups[controller] = parts[2]
    return groups


def own(source: Source) -> tuple[list[Mount], dict[str, str]]:
    """The mounted hierarchies and this process's group in each; empty where nothing can be read."""
    mounts = parse_mounts(source.text("proc/self/mountinfo") or "")
    return mounts, parse_groups(source.text("proc/self/cgroup") or "")


def ancestry(mount: Mount, group: str) -> list[str]:
    """Directories from the process's group up to the mount point, without a leading slash.

    In a container without a cgroup namespace the group's path starts with the mounted root. In a namespace whose
    process was moved outside it starts with ``/..``, and only the mount point can be read.
    """
    if mount.root != "/" and (group + "/").startswith(mount.root + "/"):
        group = group[len(mount.root) :]
    parts = [part for part in group.split("/") if part]
    if ".." in parts:
        parts = []
    point = mount.point.strip("/")
    return ["/".join([point, *parts[:depth]]) for depth in range(len(parts), -1, -1)]


def memory_levels(source: Source, mounts: list[Mount], groups: dict[str, str]) -> list[MemoryLevel]:
    """Every memory limit above this process, innermost first."""
    levels = []
    for mount, group in _hierarchies(mounts, groups, "memory"):
        directories = ancestry(mount, group)
        for directory in directories:
            level = _level_v2(source, directory) if mount.version == 2 else _level_v1(source, directory)
            if level is not None:
                levels.append(level)
        if mount.version == 1 and (hidden := _hidden_v1(source, directories, levels)) is not None:
            levels.append(hidden)
    return levels


def cpu_quota(source: Source, mounts: list[Mount], groups: dict[str, str]) -> float | None:
    """The CPU time that the groups above this process allow, in cores; None without a limit."""
    quotas = []
    for mount, group in _hierarchies(mounts, groups, "cpu"):
        for directory in ancestry(mount, group):
            if mount.version == 2:
                words = (source.text(f"{directory}/cpu.max") or "").split()
                quota, period = (_number(words[0]), _number(words[1])) if len(words) == 2 else (None, None)
            else:
                quota = source.integer(f"{directory}/cpu.cfs_quota_us")
                period = source.integer(f"{directory}/cpu.cfs_period_us")
            if quota is not None and period is not None and quota > 0 and period > 0:
                quotas.append(quota / period)
    return min(quotas, default=None)


def memory_controller(source: Source, mounts: list[Mount]) -> bool | None:
    """Whether the kernel can limit memory by group; None when no readable file tells.

    ``/proc/cgroups`` alone does not: newer kernels leave controllers without a version 1 interface out of it.
    """
    if any(mount.version == 1 and "memory" in mount.options for mount in mounts):
        return True
    for mount in mounts:
        if mount.version == 2:
            controllers = source.text(f"{mount.point.strip('/')}/cgroup.controllers")
            if controllers is not None and "memory" in controllers.split():
                return True
    table = source.text("proc/cgroups")
    if table is None:
        return None
    rows = {words[0]: words[-1] for line in table.splitlines() if len(words := line.split()) == 4}
    return rows.get("memory") == "1"


def _hierarchies(mounts: list[Mount], groups: dict[str, str], controller: str) -> list[tuple[Mount, str]]:
    found = []
    for mount in mounts:
        if mount.version == 2 and "" in groups:
            found.append((mount, groups[""]))
        elif mount.version == 1 and controller in mount.options and controller in groups:
            found.append((mount, groups[controller]))
    return found


def _level_v2(source: Source, directory: str) -> MemoryLevel | None:
    # Above memory.high the kernel throttles and reclaims without end; without swap that is as good as a hard limit.
    limits = [_number(source.text(f"{directory}/{name}") or "max") for name in ("memory.max", "memory.high")]
    known = [limit for limit in limits if limit is not None]
    if not known:
        return None
    used = source.integer(f"{directory}/memory.current") or 0
    return MemoryLevel(f"/{directory}", min(known), _unreclaimable(source, directory, used, _CACHE_V2))


def _level_v1(source: Source, directory: str) -> MemoryLevel | None:
    limit = source.integer(f"{directory}/memory.limit_in_bytes")
    if limit is None or limit < 0:
        return None
    used = source.integer(f"{directory}/memory.usage_in_bytes") or 0
    return MemoryLevel(f"/{directory}", limit, _unreclaimable(source, directory, used, _CACHE_V1))


def _hidden_v1(source: Source, directories: list[str], levels: list[MemoryLevel]) -> MemoryLevel | None:
    """A version 1 limit set above the mount point: invisible there, but folded into ``hierarchical_memory_limit``."""
    for directory in directories:
        limit = _stat(source, directory).get("hierarchical_memory_limit")
        if limit is None:
            continue
        if limit >= min((level.limit for level in levels), default=1 << 63):
            return None
        # Its usage is at least that of the outermost group that can be seen.
        top = directories[-1]
        used = source.integer(f"{top}/memory.usage_in_bytes") or 0
        return MemoryLevel("a group outside this container", limit, _unreclaimable(source, top, used, _CACHE_V1))
    return None


def _unreclaimable(source: Source, directory: str, used: int, reclaimable: tuple[str, ...]) -> int:
    stat = _stat(source, directory)
    return max(0, used - sum(stat.get(name, 0) for name in reclaimable))


def _stat(source: Source, directory: str) -> dict[str, int]:
    values = {}
    for line in (source.text(f"{directory}/memory.stat") or "").splitlines():
        name, _, value = line.partition(" ")
        number = _number(value)
        if number is not None:
            values[name] = number
    return values


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isdecimal() else None


def _unescape(path: str) -> str:
    # mountinfo writes blank, tab, newline and backslash as three octal digits.
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, character)
    return path
