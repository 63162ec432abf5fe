"""A model that changed after its installation is noticed at load; only what nobody else can write is linked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from edgechat.errors import InvalidModelFileError, StateError
from edgechat.models.store import add as adding
from edgechat.models.store.add import add
from edgechat.models.store.installed import find
from edgechat.models.store.unchanged import changed_files, require_unchanged
from tests.models.store_kit import random_gguf, sha256

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.models.store.store import Store
    from edgechat.paths import Paths

SIZE = 300_000


def overwrite(path: Path) -> None:
    """Other bytes of the same size, through another name of the file."""
    with path.open("r+b") as file:
        file.seek(SIZE // 2)
        file.write(b"changed")


def test_a_linked_model_that_was_overwritten_is_not_loaded(store: Store, tmp_path: Path, paths: Paths) -> None:
    """Same size, other bytes: the answer was empty with exit code 0, and nothing said why."""
    original = random_gguf(tmp_path / "own.Q4_K_M.gguf", SIZE)
    added = add(store, original, name="own")
    require_unchanged(added.path, paths.cache)
    assert added.path.samefile(original)
    overwrite(original)

    with pytest.raises(InvalidModelFileError, match="has changed since it was installed"):
        require_unchanged(added.path, paths.cache)


def test_a_model_that_was_only_touched_is_hashed_once(store: Store, tmp_path: Path, paths: Paths, monkeypatch) -> None:
    added = add(store, random_gguf(tmp_path / "own.Q4_K_M.gguf", SIZE), name="own")
    os.utime(added.path, (1, 1))
    assert changed_files(added) == [added.path]
    require_unchanged(added.path, paths.cache)

    monkeypatch.setattr("edgechat.models.store.unchanged.file_sha256", lambda _: pytest.fail("hashed again"))
    require_unchanged(added.path, paths.cache)


def test_a_projector_that_was_replaced_is_noticed_too(store: Store, tmp_path: Path, paths: Paths) -> None:
    from tests.models.gguf_writer import write_gguf

    projector = write_gguf(tmp_path / "mmproj.gguf", {"general.architecture": "clip"})
    added = add(store, random_gguf(tmp_path / "eye.Q4_K_M.gguf", SIZE), name="eye", projector=projector)
    assert added.mmproj is not None
    added.mmproj.write_bytes(bytes(added.mmproj.stat().st_size))

    with pytest.raises(InvalidModelFileError, match="mmproj"):
        require_unchanged(added.path, paths.cache)


def test_a_file_outside_the_store_has_nothing_to_compare_with(tmp_path: Path, paths: Paths) -> None:
    require_unchanged(random_gguf(tmp_path / "loose.gguf", SIZE), paths.cache)


@pytest.mark.parametrize("mode", [0o664, 0o666])
def test_a_file_that_others_can_write_is_copied(store: Store, tmp_path: Path, mode: int) -> None:
    original = random_gguf(tmp_path / "own.Q4_K_M.gguf", SIZE)
    original.chmod(mode)
    added = add(store, original, name="own")
    assert not added.path.samefile(original)
    overwrite(original)
    assert sha256(added.path) == added.sha256


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's file")
def test_another_users_file_is_copied(store: Store, tmp_path: Path) -> None:
    original = random_gguf(tmp_path / "own.Q4_K_M.gguf", SIZE)
    os.chown(original, 54_321, 54_321)
    added = add(store, original, name="own")
    assert (added.path.samefile(original), added.path.stat().st_uid) == (False, 0)


@pytest.mark.parametrize("way", ["link", "reflink"])
def test_a_file_that_is_replaced_between_hash_and_link_is_refused(
    store: Store, tmp_path: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """It was installed under the sha256 of the file before it."""
    original = random_gguf(tmp_path / "own.Q4_K_M.gguf", SIZE)
    other = random_gguf(tmp_path / "other.gguf", SIZE, seed=1)
    hashing = adding.file_sha256  # type: ignore[attr-defined]

    def hash_then_replace(path, *rest):
        digest = hashing(path, *rest)
        other.replace(original)
        return digest

    monkeypatch.setattr(adding, "file_sha256", hash_then_replace)
    if way == "reflink":
        original.chmod(0o666)
        monkeypatch.setattr(adding, "_reflink", lambda path, part: bool(part.write_bytes(path.read_bytes())))
    with pytest.raises(StateError, match="changed while it was added"):
        add(store, original, name="own")
    assert not paths.models.joinpath("own").exists()


@pytest.mark.engine
def test_the_engine_refuses_a_model_that_changed_and_doctor_says_it(cli, paths, starter_file: Path, tmp_path) -> None:
    import shutil

    original = tmp_path / "own.gguf"
    shutil.copy(starter_file, original)
    assert cli("models", "add", str(original), "--name", "own").returncode == 0
    quant = find(paths, "own").quant
    with original.open("r+b") as file:
        file.seek(original.stat().st_size // 2)
        file.write(b"changed" * 1000)

    done = cli("ask", "-m", f"own:{quant}", "-n", "4", "hi")

    assert (done.returncode, "has changed since it was installed" in done.stderr) == (4, True), done.stderr
    assert "edgechat models verify own" in done.stderr
    assert "was written or replaced" in cli("doctor").stdout
