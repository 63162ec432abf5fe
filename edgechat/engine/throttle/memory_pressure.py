"""Memory pressure as the kernel tells it: how often its OOM killer struck, and whether the engine should make room.

Also whether a mapped model is read from disk over and over because the memory cannot hold it. Knows no plans.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edgechat.board.probe import cgroup

REREADING_EXIT = 72
"""Exit status of an engine whose weights do not stay in memory."""

_TIGHT_BYTES = 64 * 1024 * 1024
_TIGHT_SHARE = 0.03
_REREADS = 1.5
"""Times the mapped weights that may be read again beside what is forgiven. One whole reading is what follows a pause in
which the machine used its memory otherwise."""
_FORGIVEN = 0.1
"""Share of the mapped weights that each step may read: less hardly slows even an SD card."""


def kill_count() -> int:
    """Processes that the OOM killer took since boot: in this process's own group, or machine-wide where that is unseen.

    The group's own count wins, since no death elsewhere on the machine raises it.
    """
    for file in _cgroup_files():
        count = _field(file, "oom_kill")
        if count is not None:
            return count
    return _field(Path("/proc/vmstat"), "oom_kill") or 0


def volunteer(adjustment: int = 800) -> None:
    """Ask the kernel to take this process rather than a user interface when memory runs out; 1000 is the most."""
    with contextlib.suppress(OSError):  # absent on macOS; forbidden in some containers, where it changes nothing
        Path("/proc/self/oom_score_adj").write_text(str(adjustment))


def is_tight() -> bool:
    """True when so little memory is left that an idle engine should leave."""
    total, available = ((_field(Path("/proc/meminfo"), name) or 0) * 1024 for name in ("MemTotal:", "MemAvailable:"))
    return 0 < available < max(_TIGHT_BYTES, int(total * _TIGHT_SHARE))


class Rereading:
    """Notices that mapped weights do not stay in memory: the kernel drops them and every token reads them again.

    Nothing is killed then and nothing fails; decoding is just as slow as the disk. Plans count mapped weights for that
    reason, so this happens where a limit cannot be seen or somebody took the memory after the plan was made.

    Args:
        mapped: bytes of weights that are pages of the mapped file; 0 where there are none.
    """

    def __init__(self, mapped: int) -> None:
        self._mapped = mapped
        self._file = _open("/proc/self/io") if mapped else -1
        self._last: int | None = None
        self._excess = 0.0

    def after_step(self) -> bool:
        """Look at what this process has read from disk; True when it reads the weights again and again."""
        if self._file < 0:
            return False
        with contextlib.suppress(OSError, ValueError, IndexError):  # a kernel without task I/O accounting
            return self.took(int(os.pread(self._file, 512, 0).split(b"\nread_bytes: ")[1].split(b"\n")[0]))
        return False

    def took(self, read_bytes: int) -> bool:
        """The decision: ``read_bytes`` is what this process has read from disk so far."""
        if self._last is not None:
            read = read_bytes - self._last
            self._excess = max(0.0, self._excess + read - _FORGIVEN * self._mapped)
        self._last = read_bytes
        return self._excess > _REREADS * self._mapped


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _cgroup_files() -> list[Path]:
    """Where the kernel counts the kills of this process's own memory group, by cgroup version."""
    try:
        mounts = cgroup.parse_mounts(Path("/proc/self/mountinfo").read_text())
        groups = cgroup.parse_groups(Path("/proc/self/cgroup").read_text())
    except OSError:
        return []
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
