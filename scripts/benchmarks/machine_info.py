"""What the figures were measured on: one small dictionary, printed above the tables and kept in the JSON."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

QUIET_LOAD = 0.5
"""One-minute load average above which a run is not called quiet."""


def describe() -> dict[str, Any]:
    """Facts of this machine and of the versions compared, as they are now."""
    load = os.getloadavg()[0]
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": f"{_cpuinfo('model name') or platform.processor() or 'unknown'}, {usable_cores()} cores usable",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "llama-cpp-python": version("llama-cpp-python"),
        "edgechat": f"{version('edgechat')} at {_commit()}",
        "load_at_start": f"{load:.2f}" + ("" if load <= QUIET_LOAD else " (not quiet: absolute figures are rough)"),
    }


def usable_cores() -> int:
    """Hardware threads that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpuinfo(key: str) -> str:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return ""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _commit() -> str:
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "an unknown commit"
