"""Real disks that are full or read-only: reported with their path, nothing half done, nothing left behind."""

# ruff: noqa: PLR0917 - fixtures are arguments
from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from edgechat.errors import StateError
from edgechat.models.catalog.names import parse_reference
from edgechat.models.download.pull import pull, resolve_repository
from edgechat.models.store.add import add
from edgechat.models.store.installed import installed
from edgechat.models.store.store import Store
from edgechat.paths import Paths
from tests.models.store_kit import FILE, REPO, Heard, leftovers, random_gguf, sha256

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgechat.models.download.hub import Hub
    from tests.hub.server import HubServer

pytestmark = pytest.mark.process

MODEL_BYTES = 8_000_000
DISK_BYTES = 90_000_000
"""More than the model and the margin that has to stay free, so that only the ballast fills it."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own; needs the right to mount one."""
    point = tmp_path / "disk"
    point.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", str(point)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield point
    subprocess.run(["umount", str(point)], check=True)


@pytest.fixture
def disk_paths(disk: Path, tmp_path: Path) -> Paths:
    return Paths.from_env({"EDGECHAT_HOME": str(tmp_path / "home"), "EDGECHAT_MODELS": str(disk)})


class Ballast(Heard):
    """Fills the disk but for ``room`` bytes once ``at`` bytes have arrived of the work that ``during`` begins."""

    def __init__(self, disk: Path, at: int, room: int, during: str = "") -> None:
        super().__init__()
        self.file, self.at, self.room, self.during = disk / "ballast", at, room, during

    def advance(self, amount: int) -> None:
        super().advance(amount)
        awaited = not self.during or (self.labels and self.labels[-1].startswith(self.during))
        if awaited and self.done >= self.at and not self.file.exists():
            usage = os.statvfs(self.file.parent)
            with self.file.open("wb") as stream:
                os.posix_fallocate(stream.fileno(), 0, usage.f_bavail * usage.f_frsize - self.room)


@pytest.mark.process
@pytest.mark.parametrize("point", range(20))
def test_full_while_fetching(
    point: int, disk: Path, disk_paths: Paths, server: HubServer, hub: Hub, tmp_path: Path
) -> None:
    entry = server.add(REPO, FILE, random_gguf(tmp_path / "model.gguf", MODEL_BYTES))
    order = resolve_repository(hub, parse_reference(REPO))
    ballast = Ballast(disk, at=point * MODEL_BYTES // 20, room=(point % 4) * 50_000)
    with pytest.raises(StateError, match=r"Cannot write .*disk.*: No space left.*Free some space"):
        pull(Store(disk_paths), hub, order, progress=ballast)
    assert leftovers(disk_paths) == []
    assert all(model.source.startswith("package:") for model in installed(disk_paths))
    ballast.file.unlink()
    assert sha256(pull(Store(disk_paths), hub, order).path) == entry.sha256


@pytest.mark.process
@pytest.mark.parametrize("step", ["header-checked", "version-made", "model-moved", "manifest-written"])
def test_full_while_installing(
    step: str, disk: Path, disk_paths: Paths, server: HubServer, hub: Hub, tmp_path: Path
) -> None:
    entry = server.add(REPO, FILE, random_gguf(tmp_path / "model.gguf", MODEL_BYTES))
    order = resolve_repository(hub, parse_reference(REPO))
    ballast = Ballast(disk, at=0, room=0)

    def fill(name: str) -> None:
        if name == step:
            ballast.advance(0)

    with pytest.raises(StateError, match=r"Cannot write .*: No space left"):
        pull(Store(disk_paths, checkpoint=fill), hub, order)
    assert all(model.source.startswith("package:") for model in installed(disk_paths))
    ballast.file.unlink()
    assert sha256(pull(Store(disk_paths), hub, order).path) == entry.sha256
    assert leftovers(disk_paths) == []


@pytest.mark.process
def test_full_while_copying(disk: Path, disk_paths: Paths, tmp_path: Path) -> None:
    model = random_gguf(tmp_path / "model.gguf", MODEL_BYTES)
    ballast = Ballast(disk, at=MODEL_BYTES // 2, room=0, during="Copying")
    with pytest.raises(StateError, match="No space left"):
        add(Store(disk_paths), model, progress=ballast)
    assert leftovers(disk_paths) == []
    ballast.file.unlink()
    assert sha256(add(Store(disk_paths), model).path) == sha256(model)


@pytest.mark.process
def test_read_only(disk: Path, disk_paths: Paths, server: HubServer, hub: Hub, tmp_path: Path) -> None:
    server.add(REPO, FILE, random_gguf(tmp_path / "model.gguf", MODEL_BYTES))
    order = resolve_repository(hub, parse_reference(REPO))
    store = Store(disk_paths)
    model = pull(store, hub, order)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert any(entry.path == model.path for entry in installed(disk_paths)), "what is there can still be used"
    for change in (lambda: store.remove(model.name, model.quant), lambda: pull(store, hub, order)):
        with pytest.raises(StateError, match=r"Read-only file system.*mounted read-only"):
            change()
    assert sha256(model.path) == model.sha256


@pytest.mark.process
def test_another_disk_gets_a_copy(disk: Path, disk_paths: Paths, tmp_path: Path) -> None:
    model = random_gguf(tmp_path / "model.gguf", MODEL_BYTES)
    added = add(Store(disk_paths), model)
    assert sha256(added.path) == sha256(model)
    assert added.path.stat().st_nlink == 1
    with pytest.raises(StateError, match="cannot be shared with the store"):
        add(Store(disk_paths), random_gguf(tmp_path / "other.gguf", MODEL_BYTES, seed=3), copy=False)
