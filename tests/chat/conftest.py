"""A history of its own for each test, on a real disk."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from edgechat.chat.history import History
from edgechat.engine.client import client
from edgechat.paths import Paths
from tests.engine.conftest import Cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def paths(home: Path) -> Paths:
    """The directories of this test's home."""
    return Paths.from_env({"EDGECHAT_HOME": str(home)})


@pytest.fixture
def history(paths: Paths) -> Iterator[History]:
    """An empty history, open."""
    with History.open(paths) as kept:
        yield kept


@pytest.fixture
def cli(paths: Paths) -> Iterator[Cli]:
    """The command, with a real engine; it is stopped afterwards."""
    yield Cli()
    client.stop(paths)


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
