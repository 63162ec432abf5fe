"""Memory pressure as the kernel tells it: how often its OOM killer struck, and whether the engine should make room."""

from __future__ import annotations

import contextlib
from pathlib import Path

_TIGHT_BYTES = 64 * 1024 * 1024
_TIGHT_SHARE = 0.03


def kill_count() -> int:
    """Processes that the OOM killer took since boot, machine-wide and in this process's cgroup."""
    count = _field(Path("/proc/vmstat"), "oom_kill")
    for file in _cgroup_files():
        count += _field(file, "oom_kill")
    return count


def volunteer() -> None:
    """Ask the kernel to take this process rather than a user interface when memory runs out."""
    with contextlib.suppress(OSError):  # absent on macOS; forbidden in some containers, where it changes nothing
        Path("/proc/self/oom_score_adj").write_text("800")


def is_tight() -> bool:
    """True when so little memory is left that an idle engine should leave."""
    total, available = (_field(Path("/proc/meminfo"), name) * 1024 for name in ("MemTotal:", "MemAvailable:"))
    return 0 < available < max(_TIGHT_BYTES, int(total * _TIGHT_SHARE))


def _cgroup_files() -> list[Path]:
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    files = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            files.append(Path(f"/sys/fs/cgroup{path}") / "memory.events")
        elif controllers == "memory":
            files.append(Path(f"/sys/fs/cgroup/memory{path}") / "memory.oom_control")
    return files


def _field(file: Path, name: str) -> int:
    try:
        for line in file.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value.split()[0])
    except (OSError, ValueError, IndexError):
        return 0
    return 0
