"""The environment that a process with llama.cpp in it is started with.

Large pages: llama.cpp takes its KV cache, compute buffers and repacked weights from the C library in pieces of many
megabytes, and never asks the kernel for large pages, which Debian and Raspberry Pi OS give on request only. Since
version 2.35 glibc asks for them where it is told to; older ones and other C libraries ignore that.

Sources: glibc manual, "Memory Allocation Tunables" (glibc.malloc.hugetlb); Linux, admin-guide/mm/transhuge.rst.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_PAGE = 2 << 20
"""Bytes. Kernels with base pages of 16 or 64 KiB (Raspberry Pi 5, some servers) have large ones of 32 or 512 MiB: there
each buffer's last page could waste more than the plan keeps back."""

_TUNABLES = "GLIBC_TUNABLES"
_LARGE_PAGES = "glibc.malloc.hugetlb"
_PAGE_SIZE = "sys/kernel/mm/transparent_hugepage/hpage_pmd_size"


def native_environment(inherited: Mapping[str, str] | None = None, root: Path = Path("/")) -> dict[str, str]:
    """What a child process with llama.cpp gets.

    Args:
        inherited: what it is based on; the environment of this process by default.
        root: where ``sys`` lies; for tests.
    """
    made = dict(os.environ if inherited is None else inherited)
    # ggml's own backtrace starts a debugger, if there is one, in a process that is already broken.
    made["GGML_NO_BACKTRACE"] = "1"
    tunables = made.get(_TUNABLES, "")
    if 0 < _large_page(root) <= LARGEST_PAGE and _LARGE_PAGES not in tunables:
        made[_TUNABLES] = f"{tunables}:{_LARGE_PAGES}=1".lstrip(":")
    return made


def _large_page(root: Path) -> int:
    """Bytes; 0 where the kernel has none."""
    try:
        return int((root / _PAGE_SIZE).read_text())
    except (OSError, ValueError):
        return 0
