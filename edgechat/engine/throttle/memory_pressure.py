"""Memory pressure as the kernel reports it: OOM kills, too little free memory, mapped weights that are read again."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edgechat.board.probe import cgroup
from edgechat.board.probe.memory import parse_meminfo
from edgechat.board.source import Source

REREAD_EXIT_STATUS = 72
"""Exit status of an engine whose mapped weights do not stay in memory."""

_TIGHT_BYTES, _TIGHT_BYTES_IN_GROUP = 64 << 20, 16 << 20
"""Of the whole machine, and of a memory cgroup, whose plans keep 32 MiB free at least (``models/planning/reserve``)."""
_TIGHT_SHARE = 0.03
_REREADS = 1.5
"""Times the size of the mapped weights that may be read again. One time is normal after a pause in which the machine
used the memory for something else."""
_TOLERATED = 0.1
"""Share of the mapped weights that each step may read without being counted: it slows decoding little, even on an SD
card."""


def oom_kill_count() -> int:
    """Processes that the OOM killer killed since boot: in this process's cgroup, else on the whole machine.

    The cgroup's count is preferred because kills elsewhere on the machine do not raise it.
    """
    for file in _cgroup_files():
        count = _field(file, "oom_kill")
        if count is not None:
            return count
    return _field(Path("/proc/vmstat"), "oom_kill") or 0


def is_tight(source: Source | None = None) -> bool:
    """Whether so little memory is left, on the machine or in a cgroup above, that an idle engine should exit."""
    source = source or Source()
    meminfo = parse_meminfo(source.text("proc/meminfo") or "")
    available = meminfo.get("MemAvailable", 0)
    if 0 < available < max(_TIGHT_BYTES, int(meminfo.get("MemTotal", 0) * _TIGHT_SHARE)):
        return True
    levels = cgroup.memory_levels(source, *cgroup.own(source))
    return any(level.headroom < max(_TIGHT_BYTES_IN_GROUP, int(level.limit * _TIGHT_SHARE)) for level in levels)


class RereadDetector:
    """Detects that mapped weights do not stay in memory: the kernel drops them and every token reads them again.

    Nothing fails then, but decoding is as slow as the disk. Plans count mapped weights for that reason, so this happens
    only under a limit that the probe cannot see, or when another process took the memory after the plan was made.

    Args:
        mapped: bytes of weights that are pages of the mapped file; 0 where there are none.
    """

    def __init__(self, mapped: int) -> None:
        self._mapped = mapped
        self._file = _open("/proc/self/io") if mapped else -1
        self._last: int | None = None
        self._excess = 0.0

    def after_step(self) -> bool:
        """Read this process's I/O counter; True when the weights are read again and again."""
        if self._file < 0:
            return False
        with contextlib.suppress(OSError, ValueError, IndexError):  # a kernel without task I/O accounting
            return self.add(int(os.pread(self._file, 512, 0).split(b"\nread_bytes: ")[1].split(b"\n")[0]))
        return False

    def add(self, read_bytes: int) -> bool:
        """The decision of :meth:`after_step`; ``read_bytes`` is what this process has read from disk in total."""
        if self._last is not None:
            read = read_bytes - self._last
            self._excess = max(0.0, self._excess + read - _TOLERATED * self._mapped)
        self._last = read_bytes
        return self._excess > _REREADS * self._mapped


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _cgroup_files() -> list[Path]:
    """The files in which the kernel counts OOM kills of this process's cgroup, version 2 or 1."""
    mounts, groups = cgroup.own(Source())
    files = []
    for mount in mounts:
        if mount.version == 2 and "" in groups:
            files.append(Path("/", cgroup.ancestry(mount, groups[""])[0], "memory.events"))
        elif mount.version == 1 and "memory" in mount.options and "memory" in groups:
            files.append(Path("/", cgroup.ancestry(mount, groups["memory"])[0], "memory.oom_control"))
    return files


def _field(file: Path, name: str) -> int | None:
    try:
        for line in file.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value.split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return None
