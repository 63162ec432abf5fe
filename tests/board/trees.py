"""Builds small machine trees for tests, as directories that ``probe`` and ``Source`` read like a real root."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.board.source import Source

if TYPE_CHECKING:
    from collections.abc import Mapping

BOARDS = Path(__file__).parents[1] / "boards"
V2_MOUNT = "35 24 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
V1_MOUNT = "34 22 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"


def write(root: Path, files: Mapping[str, str]) -> Source:
    """Write files by their path below ``root`` and return it as a source."""
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return Source(root)


def cpus(features: str, strengths: Mapping[int, int], siblings: Mapping[int, str] | None = None) -> dict[str, str]:
    """Files of an ARM-like machine whose CPUs have the given capacities."""
    files = {
        "commands/uname": "Linux 6.6.0 aarch64\n",
        "proc/cpuinfo": "".join(f"processor\t: {cpu}\nFeatures\t: {features}\n\n" for cpu in strengths),
        "proc/self/status": f"Cpus_allowed_list:\t{','.join(map(str, strengths))}\n",
        "sys/devices/system/cpu/online": ",".join(map(str, strengths)) + "\n",
    }
    for cpu, capacity in strengths.items():
        directory = f"sys/devices/system/cpu/cpu{cpu}"
        files[f"{directory}/cpu_capacity"] = f"{capacity}\n"
        files[f"{directory}/topology/thread_siblings_list"] = f"{(siblings or {}).get(cpu, cpu)}\n"
    return files
