"""Environment variables of processes that load llama.cpp.

Large pages: llama.cpp allocates its KV cache, compute buffers and repacked weights through the C library in pieces of
many megabytes and does not request large pages, which Debian and Raspberry Pi OS give on request only. glibc requests
them since version 2.35 where this variable is set; older versions and other C libraries ignore it.

Sources: glibc manual, "Memory Allocation Tunables" (glibc.malloc.hugetlb); Linux, admin-guide/mm/transhuge.rst.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.engine.child.interpreter import python_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_PAGE = 2 << 20
"""Bytes. Kernels with base pages of 16 or 64 KiB (Raspberry Pi 5, some servers) have large pages of 32 or 512 MiB; the
last page of each buffer could waste more than the plan's reserve."""

_TUNABLES = "GLIBC_TUNABLES"
_LARGE_PAGES = "glibc.malloc.hugetlb"
_PAGE_SIZE = "sys/kernel/mm/transparent_hugepage/hpage_pmd_size"


def native_environment(inherited: Mapping[str, str] | None = None, root: Path = Path("/")) -> dict[str, str]:
    """The environment for a child process that loads llama.cpp."""
    made = python_environment(inherited)
    # ggml's backtrace would start a debugger, if one is installed, in a process that is already broken.
    made["GGML_NO_BACKTRACE"] = "1"
    tunables = made.get(_TUNABLES, "")
    if 0 < _large_page(root) <= LARGEST_PAGE and _LARGE_PAGES not in tunables:
        made[_TUNABLES] = f"{tunables}:{_LARGE_PAGES}=1".lstrip(":")
    return made


def _large_page(root: Path) -> int:
    """Size of a large page in bytes; 0 where the kernel has none."""
    try:
        return int((root / _PAGE_SIZE).read_text())
    except (OSError, ValueError):
        return 0
