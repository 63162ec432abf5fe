"""Pulling from a hub, a network and a proxy that misbehave: resumed or refused, never installed wrong."""

# ruff: noqa: PLR0917 - fixtures are arguments
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.errors import TransferError
from edgechat.models.catalog.names import parse_reference
from edgechat.models.download.pull import ResolvedModel, pull, resolve_repository
from edgechat.models.store.installed import find, installed
from tests.hub.server import Faults, HubServer
from tests.models.store_kit import FILE, REPO, impatient, leftovers, random_gguf, sha256

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgechat.models.download.hub import Hub
    from edgechat.models.store.store import Store
    from edgechat.paths import Paths

SIZE = 6_000_000


@pytest.fixture
def order(server: HubServer, hub: Hub, tmp_path: Path) -> ResolvedModel:
    server.add(REPO, FILE, random_gguf(tmp_path / "model.gguf", SIZE))
    return resolve_repository(hub, parse_reference(REPO))


def nothing_installed(paths: Paths) -> bool:
    return all(model.name != "tiny-instruct" for model in installed(paths))


SURVIVED: dict[str, Callable[[], Faults]] = {
    "drops": lambda: Faults(drop_after=1_500_000, drops=3),
    "drops before the first byte": lambda: Faults(drop_after=0, drops=3),
    "ignores Range": lambda: Faults(ignore_range=True, drop_after=4_000_000, drops=1),
    "changes its ETag": lambda: Faults(changing_etag=True, drop_after=1_500_000, drops=3),
    "changes its ETag and ignores Range": lambda: Faults(
        changing_etag=True, ignore_range=True, drop_after=4_000_000, drops=2
    ),
    "stalls": lambda: Faults(stall_after=2_000_000, stalls=2),
    "is overloaded": lambda: Faults(unavailable=3),
    "lets locations expire": lambda: Faults(expired=3),
    "asks to slow down": lambda: Faults(too_many=3),
    "sends one wrong byte once": lambda: Faults(wrong_byte_at=5_000_000, wrong_bytes=1),
}


@pytest.mark.parametrize("name", SURVIVED)
def test_survives_a_server_that(
    name: str, store: Store, hub: Hub, server: HubServer, order: ResolvedModel, paths: Paths
) -> None:
    server.faults = SURVIVED[name]()
    pulled = pull(store, hub, order, retry=impatient())
    assert sha256(pulled.path) == order.files[0].sha256
    assert leftovers(paths) == []


REFUSED: dict[str, tuple[Callable[[], Faults], str]] = {
    "always drops at the same place": (lambda: Faults(drop_after=0, drops=-1), "connection was cut"),
    "ignores Range and always drops": (
        lambda: Faults(ignore_range=True, drop_after=4_000_000, drops=-1),
        "connection was cut",
    ),
    "offers more than there is": (lambda: Faults(lie_about_length=1000), "offers 6.* bytes and the file has"),
    "offers less than there is": (lambda: Faults(lie_about_length=-1000), "offers 5.* bytes and the file has"),
    "always sends one wrong byte": (lambda: Faults(wrong_byte_at=5_000_000), "not the right ones, twice"),
    "sends another range": (
        lambda: Faults(wrong_range=True, drop_after=3_000_000, drops=1),
        "sent bytes from .* where .* was asked",
    ),
    "always stalls": (lambda: Faults(stall_after=0, stalls=-1), "stalled"),
    "redirects in a circle": (lambda: Faults(redirect_circle=True), "redirects in a circle"),
    "sends a web page": (lambda: Faults(html=True), "web page instead of the file"),
    "sends a web page everywhere": (lambda: Faults(html_everywhere=True), "web page instead of the file"),
    "is always overloaded": (lambda: Faults(unavailable=-1), "is overloaded"),
    "never accepts its own locations": (lambda: Faults(expired=-1), "no longer accepts the location"),
    "lost the file meanwhile": (lambda: Faults(not_found_after_info=True), "is no longer on"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_a_server_that(
    name: str, store: Store, hub: Hub, server: HubServer, order: ResolvedModel, paths: Paths
) -> None:
    faults, words = REFUSED[name]
    server.faults = faults()
    with pytest.raises(TransferError, match=words) as refused:
        pull(store, hub, order, retry=impatient())
    assert order.files[0].sha256 in refused.value.hint, "the way out without this connection"
    assert nothing_installed(paths)
    server.faults = Faults()
    assert sha256(pull(store, hub, order).path) == order.files[0].sha256, "a following command works"
    assert leftovers(paths) == []


def test_a_wrong_size_at_the_hub_is_noticed(store: Store, hub: Hub, server: HubServer, order: ResolvedModel) -> None:
    server.faults.linked_size = 5
    assert sha256(pull(store, hub, order).path) == order.files[0].sha256, "the API's size agrees with the bytes"


def test_no_checksum_anywhere_is_refused(server: HubServer, hub: Hub, order: ResolvedModel) -> None:
    server.faults.no_sha256 = True
    with pytest.raises(TransferError, match="gives no sha256"):
        resolve_repository(hub, parse_reference(REPO))


def test_a_page_instead_of_the_api_is_named(server: HubServer, hub: Hub, order: ResolvedModel) -> None:
    server.faults.html_everywhere = True
    with pytest.raises(TransferError, match="did not come from a model hub"):
        resolve_repository(hub, parse_reference(REPO))


def test_what_arrived_is_kept_and_only_the_rest_is_fetched(
    store: Store, hub: Hub, server: HubServer, order: ResolvedModel, paths: Paths
) -> None:
    server.faults = Faults(drop_after=2_000_000, drops=1, unavailable=0)
    with pytest.raises(TransferError):
        pull(store, hub, order, retry=impatient(attempts=1))
    assert store.unfinished() == {"tiny-instruct:Q4_K_M": pytest.approx(2_000_000, rel=0.5)}
    held = store.unfinished()["tiny-instruct:Q4_K_M"]
    server.bytes_sent = 0
    pull(store, hub, order)
    assert server.bytes_sent <= order.size - held + 200, "the log beside the part is counted in what is held"
    ranges = [headers.get("Range") for _, path, headers in server.requests if path.startswith("/storage/")]
    assert ranges[-1] is not None


def test_a_resumed_download_names_the_version_it_continues(
    store: Store, hub: Hub, server: HubServer, order: ResolvedModel
) -> None:
    server.faults = Faults(drop_after=2_000_000, drops=1)
    pull(store, hub, order, retry=impatient())
    last = [headers for _, path, headers in server.requests if path.startswith("/storage/")][-1]
    assert last["If-Range"] == f'"{order.files[0].sha256[:32]}"'


def test_a_new_version_upstream_does_not_continue_the_old_one_s_download(
    store: Store, hub: Hub, server: HubServer, order: ResolvedModel, paths: Paths, tmp_path: Path
) -> None:
    server.faults = Faults(drop_after=2_000_000, drops=1)
    with pytest.raises(TransferError):
        pull(store, hub, order, retry=impatient(attempts=1))
    new = server.add(REPO, FILE, random_gguf(tmp_path / "new.gguf", SIZE, seed=7))
    pulled = pull(store, hub, resolve_repository(hub, parse_reference(REPO)))
    assert sha256(pulled.path) == new.sha256
    assert leftovers(paths) == []


def test_a_damaged_partial_file_costs_time_and_nothing_else(
    store: Store, hub: Hub, server: HubServer, order: ResolvedModel, paths: Paths
) -> None:
    server.faults = Faults(drop_after=4_000_000, drops=1)
    with pytest.raises(TransferError):
        pull(store, hub, order, retry=impatient(attempts=1))
    part = next((paths.models / ".staging").rglob("*.part"))
    with part.open("r+b") as stream:
        stream.seek(1_000_000)
        stream.write(b"damage")
    assert sha256(pull(store, hub, order, retry=impatient()).path) == order.files[0].sha256
    assert find(paths, "tiny-instruct").sha256 == order.files[0].sha256
