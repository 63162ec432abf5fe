"""The memory of a process as the kernel counts it, and which process the kernel kills first when memory runs out."""

from __future__ import annotations

import contextlib
import mmap
import resource
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def peak_rss() -> int:
    """Peak resident bytes of this process: VmHWM, since ``ru_maxrss`` on Linux includes the parent's before exec."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, which has no /proc


def rss() -> int:
    """Resident bytes of this process, 0 where they cannot be read."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError):
        return 0
    return pages * mmap.PAGESIZE


@contextlib.contextmanager
def limited_memory(growth: int) -> Iterator[None]:
    """Let this process grow by at most ``growth`` bytes inside the block; a MemoryError is raised beyond that.

    Linux only; a lower limit of the system stays.
    """
    used = _data_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = used + growth
    if not used or (soft != resource.RLIM_INFINITY and soft <= wanted):
        yield
        return
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    """Private writable bytes, which RLIMIT_DATA bounds; 0 where they cannot be read."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * mmap.PAGESIZE


def raise_oom_score(adjustment: int = 800) -> None:
    """Make the kernel kill this process before others when memory runs out; 1000 is the most (proc(5))."""
    with contextlib.suppress(OSError):  # absent on macOS; forbidden in some containers, where it changes nothing
        Path("/proc/self/oom_score_adj").write_text(str(adjustment))
