"""kill -9 at every step of every change: the old or the new version, never a mixture, and the next command works."""

# ruff: noqa: PLR0917 - fixtures are arguments
from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from edgechat.errors import TransferError
from edgechat.models.bundle.export import export
from edgechat.models.bundle.import_bundle import import_bundle
from edgechat.models.bundle.signing import publisher
from edgechat.models.bundle.trust import trust_publisher
from edgechat.models.catalog.catalog import Catalog
from edgechat.models.catalog.names import parse_reference
from edgechat.models.download.pull import pull, resolve_repository
from edgechat.models.download.update import rollback, update
from edgechat.models.store.add import add
from edgechat.models.store.installed import damaged, find, installed
from edgechat.models.store.store import Store
from edgechat.models.store.verify import verify
from edgechat.paths import Paths
from tests.models.store_kit import FILE, REPO, leftovers, random_gguf, sha256

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.models.download.hub import Hub
    from tests.hub.server import HubServer

pytestmark = pytest.mark.process

SIZE = 400_000
PULL_STEPS = ("transfer-begun", "transfer-verified", "model-fetched", "header-checked", "version-made", "model-moved",
              "manifest-written", "pointer-switched", "old-pruned")  # fmt: skip
ADD_STEPS = ("brought-by-link", "version-made", "model-moved", "manifest-written", "pointer-switched", "old-pruned")


def killed(home: Path, step: str, *action: str) -> None:
    """Run the child; it must have been killed at the step, or the step would prove nothing."""
    command = [sys.executable, "-m", "tests.models.store.store_child", str(home), f"{step}:kill:1", *action]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, f"{step} was not reached: {done.stdout}{done.stderr}"


def in_use(paths: Paths) -> set[str]:
    """The checksums of what is installed, each read from the file itself."""
    assert damaged(paths) == []
    found = [model for model in installed(paths) if not model.source.startswith("package:")]
    for model in found:
        assert sha256(model.path) == model.sha256
    return {str(model.sha256) for model in found}


@pytest.mark.process
@pytest.mark.parametrize("step", PULL_STEPS)
def test_first_pull(step: str, tmp_path: Path, paths: Paths, server: HubServer, hub: Hub, store: Store) -> None:
    entry = server.add(REPO, FILE, random_gguf(tmp_path / "model.gguf", SIZE))
    killed(tmp_path / "home", step, "pull", server.endpoint, REPO)
    assert in_use(paths) in (set(), {entry.sha256})
    server.bytes_sent = 0
    pull(store, hub, resolve_repository(hub, parse_reference(REPO)))
    assert in_use(paths) == {entry.sha256}
    assert leftovers(paths) == []
    if step != "transfer-begun":
        assert server.bytes_sent == 0, "what had been fetched was fetched again"


@pytest.mark.process
@pytest.mark.parametrize("step", PULL_STEPS)
def test_pull_of_a_new_version(
    step: str, tmp_path: Path, paths: Paths, server: HubServer, hub: Hub, store: Store
) -> None:
    versions = []
    for seed in range(3):  # the third pushes the first out
        versions.append(server.add(REPO, FILE, random_gguf(tmp_path / f"{seed}.gguf", SIZE, seed=seed)).sha256)
        if seed < 2:
            pull(store, hub, resolve_repository(hub, parse_reference(REPO)))
    assert in_use(paths) == {versions[1]}
    killed(tmp_path / "home", step, "pull", server.endpoint, REPO)
    reached = PULL_STEPS.index(step) >= PULL_STEPS.index("pointer-switched")
    assert in_use(paths) == ({versions[2]} if reached else {versions[1]})
    pull(store, hub, resolve_repository(hub, parse_reference(REPO)))
    assert in_use(paths) == {versions[2]}
    assert leftovers(paths) == []


@pytest.mark.process
@pytest.mark.parametrize("step", [*PULL_STEPS[:-2], "accepted", *PULL_STEPS[-2:]])
def test_update(step: str, tmp_path: Path, paths: Paths, server: HubServer, hub: Hub, store: Store) -> None:
    old = server.add(REPO, FILE, random_gguf(tmp_path / "0.gguf", SIZE)).sha256
    pull(store, hub, resolve_repository(hub, parse_reference(REPO)))
    new = server.add(REPO, FILE, random_gguf(tmp_path / "1.gguf", SIZE, seed=1)).sha256
    killed(tmp_path / "home", step, "update", server.endpoint, "tiny-instruct")
    reached = step in {"pointer-switched", "old-pruned"}
    assert in_use(paths) == {new if reached else old}
    model = find(paths, "tiny-instruct")
    outcome = update(store, hub, model, Catalog(()), accept=lambda _: None)
    assert outcome.status == ("current" if reached else "updated")
    assert in_use(paths) == {new}
    assert rollback(store, "tiny-instruct", "Q4_K_M") == (new[:12], old[:12])
    assert leftovers(paths) == []


@pytest.mark.process
def test_rollback(tmp_path: Path, paths: Paths, store: Store) -> None:
    old = add(store, random_gguf(tmp_path / "0.gguf", SIZE))
    add(store, random_gguf(tmp_path / "1.gguf", SIZE, seed=1), name="tiny")
    killed(tmp_path / "home", "pointer-switched", "rollback", "tiny", "Q4_K_M")
    assert in_use(paths) == {old.sha256}
    rollback(store, "tiny", "Q4_K_M")
    assert in_use(paths) != {old.sha256}


@pytest.mark.process
@pytest.mark.parametrize("step", ADD_STEPS)
def test_add(step: str, tmp_path: Path, paths: Paths, store: Store) -> None:
    model = random_gguf(tmp_path / "own.gguf", SIZE)
    before = sha256(model)
    killed(tmp_path / "home", step, "add", str(model))
    assert in_use(paths) in (set(), {before})
    add(store, model)
    assert in_use(paths) == {before}
    assert sha256(model) == before, "the original was touched"
    assert leftovers(paths) == []


@pytest.mark.process
@pytest.mark.parametrize("step", ["out-of-sight", "removed"])
def test_rm(step: str, tmp_path: Path, paths: Paths, store: Store) -> None:
    model = add(store, random_gguf(tmp_path / "own.gguf", SIZE))
    killed(tmp_path / "home", step, "rm", model.name, model.quant)
    assert in_use(paths) == set()
    add(store, tmp_path / "own.gguf")
    assert in_use(paths) == {model.sha256}
    store.remove(model.name, model.quant)
    store.finish_removals()
    assert leftovers(paths) == []


@pytest.mark.process
@pytest.mark.parametrize("step", ["quarantined", "pointer-corrected"])
def test_verify_of_a_damaged_version(step: str, tmp_path: Path, paths: Paths, store: Store) -> None:
    model = add(store, random_gguf(tmp_path / "own.gguf", SIZE))
    with model.path.open("r+b") as stream:
        stream.seek(200_000)
        stream.write(b"damage")
    killed(tmp_path / "home", step, "verify")
    verify(store)
    assert in_use(paths) == set()
    add(store, random_gguf(tmp_path / "again.gguf", SIZE))
    assert in_use(paths) == {model.sha256}


IMPORT_STEPS = ("transfer-begun", "transfer-verified", "copied", "version-made", "model-moved", "manifest-written",
                "pointer-switched", "old-pruned")  # fmt: skip
EXPORT_STEPS = ("files-written", "files-placed", "metadata-written", "timestamp-replaced", "old-removed")


class TestBundle:
    @pytest.fixture
    def stick(self, tmp_path: Path, store: Store) -> Path:
        """The home of the tests trusts this stick's publisher and has taken its first bundle."""
        sender = Paths.from_env({"EDGECHAT_HOME": str(tmp_path / "sender")})
        first = add(Store(sender), random_gguf(tmp_path / "0.gguf", SIZE))
        export([first], tmp_path / "stick", publisher(sender))
        trust_publisher(store.paths, (tmp_path / "stick/metadata/1.root.json").read_bytes())
        import_bundle(store, tmp_path / "stick")
        add(Store(sender), random_gguf(tmp_path / "1.gguf", SIZE, seed=1), name="tiny")
        return tmp_path / "stick"

    @pytest.mark.process
    @pytest.mark.parametrize("step", IMPORT_STEPS)
    def test_import(self, step: str, tmp_path: Path, paths: Paths, stick: Path, store: Store) -> None:
        sender = Paths.from_env({"EDGECHAT_HOME": str(tmp_path / "sender")})
        new = find(sender, "tiny")
        export([new], stick, publisher(sender))
        (old,) = in_use(paths)
        killed(tmp_path / "home", step, "import", str(stick))
        reached = IMPORT_STEPS.index(step) >= IMPORT_STEPS.index("pointer-switched")
        assert in_use(paths) == {new.sha256 if reached else old}
        import_bundle(store, stick)
        assert in_use(paths) == {new.sha256}
        assert leftovers(paths) == []

    @pytest.mark.process
    @pytest.mark.parametrize("step", EXPORT_STEPS)
    def test_export(self, step: str, tmp_path: Path, paths: Paths, stick: Path, store: Store) -> None:
        sender = Paths.from_env({"EDGECHAT_HOME": str(tmp_path / "sender")})
        (old,) = in_use(paths)
        killed(tmp_path / "sender", step, "export", "tiny", str(stick))
        new = find(sender, "tiny").sha256
        if step in {"files-placed", "metadata-written", "timestamp-replaced"}:
            with pytest.raises(TransferError, match="it is not in the signed list"):
                import_bundle(store, stick)  # two bundles lie there; refused rather than guessed at
            assert in_use(paths) == {old}
        else:
            import_bundle(store, stick)
            assert in_use(paths) == {old if step == "files-written" else new}
        export([find(sender, "tiny")], stick, publisher(sender))
        import_bundle(store, stick)
        assert in_use(paths) == {find(sender, "tiny").sha256}
        assert not [path for path in stick.rglob("*") if path.name.endswith(".new")]
