"""A history of its own for each test, on a real disk."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from edgechat.chat.history import History

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgechat.paths import Paths


@pytest.fixture
def history(paths: Paths) -> Iterator[History]:
    """An empty history, open."""
    with History.open(paths) as kept:
        yield kept


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB; needs the right to mount one."""
    point = tmp_path / "disk"
    point.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", str(point)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True)
