"""What an engine process is started with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.engine.child.environment import native_environment
from edgechat.engine.child.interpreter import python_environment

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


def kernel(root: Path, page: int | None) -> Path:
    if page is not None:
        folder = root / "sys/kernel/mm/transparent_hugepage"
        folder.mkdir(parents=True)
        (folder / "hpage_pmd_size").write_text(f"{page}\n")
    return root


def test_large_pages_are_asked_for(tmp_path: Path) -> None:
    made = native_environment({"LANG": "C"}, kernel(tmp_path, 2 * MIB))
    everyones = python_environment({"LANG": "C"})
    assert made == {**everyones, "GGML_NO_BACKTRACE": "1", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


@pytest.mark.parametrize("page", [None, 32 * MIB, 512 * MIB])
def test_where_they_are_too_large_or_not_there_nothing_is_asked(tmp_path: Path, page: int | None) -> None:
    assert "GLIBC_TUNABLES" not in native_environment({}, kernel(tmp_path, page))


def test_what_the_user_tuned_stays(tmp_path: Path) -> None:
    root = kernel(tmp_path, 2 * MIB)
    theirs = "glibc.malloc.arena_max=1"
    assert native_environment({"GLIBC_TUNABLES": theirs}, root)["GLIBC_TUNABLES"] == f"{theirs}:glibc.malloc.hugetlb=1"
    refused = "glibc.malloc.hugetlb=0"
    assert native_environment({"GLIBC_TUNABLES": refused}, root)["GLIBC_TUNABLES"] == refused
