"""Update and rollback: the old version is used until the new one has been tried, whatever happens in between."""

# ruff: noqa: PLR0917 - fixtures are arguments
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.errors import AnswerError, ModelNotFoundError, StateError
from edgechat.models.catalog.catalog import Catalog
from edgechat.models.catalog.names import parse_reference
from edgechat.models.download.pull import pull, resolve_repository
from edgechat.models.download.update import rollback, update
from edgechat.models.store.add import add
from edgechat.models.store.installed import find, version_history
from tests.models.store_kit import FILE, REPO, impatient, leftovers, random_gguf, sha256

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.models.download.hub import Hub
    from edgechat.models.store.installed import InstalledModel
    from edgechat.models.store.store import Store
    from edgechat.paths import Paths
    from tests.hub.server import HubServer

SIZE = 300_000
NOTHING = Catalog(())


@pytest.fixture
def old(store: Store, hub: Hub, server: HubServer, tmp_path: Path) -> InstalledModel:
    server.add(REPO, FILE, random_gguf(tmp_path / "old.gguf", SIZE))
    return pull(store, hub, resolve_repository(hub, parse_reference(REPO)))


def bring(store: Store, hub: Hub, model: InstalledModel, tried: list[InstalledModel], error: Exception | None = None):
    def accept(new: InstalledModel) -> None:
        assert find(store.paths, model.name).version == model.version, "the new one was used before it was tried"
        assert sha256(new.path) == new.sha256
        tried.append(new)
        if error is not None:
            raise error

    return update(store, hub, model, NOTHING, accept=accept, retry=impatient(attempts=2))


def test_nothing_new_is_not_tried(store: Store, hub: Hub, old: InstalledModel) -> None:
    tried: list[InstalledModel] = []
    assert bring(store, hub, old, tried).status == "current"
    assert tried == []


def test_a_good_new_version_replaces_the_old_one_and_leads_back(
    store: Store, hub: Hub, server: HubServer, old: InstalledModel, tmp_path: Path, paths: Paths
) -> None:
    new = server.add(REPO, FILE, random_gguf(tmp_path / "new.gguf", SIZE, seed=1))
    tried: list[InstalledModel] = []
    assert bring(store, hub, old, tried).status == "updated"
    assert [model.sha256 for model in tried] == [new.sha256]
    assert find(paths, old.name).sha256 == new.sha256
    sent = server.bytes_sent
    assert rollback(store, old.name, old.quant) == (new.sha256[:12], old.version)
    assert find(paths, old.name) == old
    assert rollback(store, old.name, old.quant) == (old.version, new.sha256[:12])
    assert server.bytes_sent == sent


def test_a_new_version_that_fails_is_not_used(
    store: Store, hub: Hub, server: HubServer, old: InstalledModel, tmp_path: Path, paths: Paths
) -> None:
    server.add(REPO, FILE, random_gguf(tmp_path / "new.gguf", SIZE, seed=1))
    outcome = bring(store, hub, old, [], AnswerError("It answers nothing."))
    assert (outcome.status, outcome.detail) == ("kept", "It answers nothing.")
    assert find(paths, old.name) == old
    assert version_history(old.path.parents[1]) == [old.version]
    assert not [entry for entry in old.path.parents[1].iterdir() if entry.is_dir() and entry.name != old.version]
    assert leftovers(paths) == []


def test_an_interrupted_trial_leaves_the_old_version_in_use(
    store: Store, hub: Hub, server: HubServer, old: InstalledModel, tmp_path: Path, paths: Paths
) -> None:
    server.add(REPO, FILE, random_gguf(tmp_path / "new.gguf", SIZE, seed=1))
    with pytest.raises(KeyboardInterrupt):
        bring(store, hub, old, [], KeyboardInterrupt())  # type: ignore[arg-type]
    assert find(paths, old.name) == old


def test_no_network_keeps_what_is_there(store: Store, hub: Hub, server: HubServer, old: InstalledModel) -> None:
    server.faults.html_everywhere = True
    outcome = bring(store, hub, old, [])
    assert outcome.status == "kept"
    assert "did not come from a model hub" in outcome.detail


def test_a_file_of_one_s_own_is_left_alone(store: Store, hub: Hub, tmp_path: Path) -> None:
    own = add(store, random_gguf(tmp_path / "own.gguf", SIZE))
    assert bring(store, hub, own, []).status == "local"


def test_there_is_nothing_to_go_back_to(store: Store, hub: Hub, old: InstalledModel) -> None:
    with pytest.raises(ModelNotFoundError, match="has only the version"):
        rollback(store, old.name, old.quant)
    with pytest.raises(ModelNotFoundError, match="is not in the store"):
        rollback(store, "nothing", "Q4_0")


def test_going_back_to_a_damaged_version_is_refused(store: Store, tmp_path: Path) -> None:
    first = add(store, random_gguf(tmp_path / "0.gguf", SIZE))
    second = add(store, random_gguf(tmp_path / "1.gguf", SIZE, seed=1), name="tiny")
    first.path.unlink()
    with pytest.raises(StateError, match=rf"{first.version} of tiny:Q4_K_M is damaged"):
        rollback(store, "tiny", "Q4_K_M")
    assert find(store.paths, "tiny") == second
