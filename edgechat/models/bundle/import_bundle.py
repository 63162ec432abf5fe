"""Import of a bundle: verify it against the trusted keys, then install its models.

Files are copied from the stick as downloads are (``transfer.py``): resumed, hashed while they are written, verified,
then published by the store. ``trust.py`` decides whose keys are trusted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from typing import TYPE_CHECKING

from edgechat.errors import InvalidModelFileError, TransferError
from edgechat.models.bundle.kit import check_installer
from edgechat.models.bundle.manifest import (
    CONTENT,
    TARGETS,
    BundleContents,
    BundledFile,
    BundledModel,
    from_json,
    stored_name,
)
from edgechat.models.bundle.trust import open_plain, read_plain, verified_targets
from edgechat.models.catalog.licences import accept as record_acceptances
from edgechat.models.download.partial import discard
from edgechat.models.download.transfer import ExpectedFile, RangeReply, RetryPolicy, WrongBytesError, fetch
from edgechat.models.gguf.header import read_header
from edgechat.models.store.install import ModelFile, StagedFile
from edgechat.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tuf.api.metadata import TargetFile

    from edgechat.models.store.install import Acceptor
    from edgechat.models.store.installed import InstalledModel
    from edgechat.models.store.store import Store

BLOCK = 1 << 20
_TARGET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,180}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_AGAIN = "Export the bundle again, perhaps onto another stick."


def import_bundle(
    store: Store, bundle: Path, *, progress: Progress = SILENT, accept: Acceptor = lambda _: None
) -> tuple[str, list[InstalledModel]]:
    """Install every model of the bundle in the directory ``bundle``; returns the publisher's fingerprint and models.

    Resumes after an interruption. ``accept`` tries each new version before it replaces the old one, and raises to keep
    the old one.

    Raises:
        UntrustedError: the publisher is not trusted here yet.
        TransferError: it is no bundle, older than one imported before, incomplete, or changed after it was signed.
        StateError: the store's disk failed.
    """
    fingerprint, content, targets = inspect(store, bundle)
    models = [_install(store, bundle, model, targets, progress=progress, accept=accept) for model in content.models]
    if content.acceptances:
        record_acceptances(store.paths, *content.acceptances)
    return fingerprint, models


def inspect(store: Store, bundle: Path) -> tuple[str, BundleContents, dict[str, TargetFile]]:
    """Verify a bundle's metadata and list of models without reading the models' files.

    Returns:
        The publisher's fingerprint, the contents, and the signed targets by name.
    """
    fingerprint, signed = verified_targets(store.paths, bundle)
    targets = dict(signed.targets)
    _check_files(bundle, targets)
    if CONTENT not in targets:
        raise _refused(CONTENT, "the list of models is missing")
    text = read_plain(bundle, TARGETS, stored_name(CONTENT, targets[CONTENT].hashes["sha256"]))
    _verify(targets[CONTENT], text)
    try:
        content = from_json(text)
    except ValueError as error:
        raise _refused(CONTENT, str(error)) from error
    for model in content.models:
        for file in model.files:
            _check_parts(file, targets)
    if content.app is not None:
        check_installer(bundle, content.app.installer)
        if unsigned := [name for name, sha256 in content.app.wheels.items() if _signed_hash(targets, name) != sha256]:
            raise _refused(unsigned[0], "it is not the file in the signed list")
    return fingerprint, content, targets


def check(store: Store, bundle: Path, *, progress: Progress = SILENT) -> tuple[str, BundleContents]:
    """Verify everything in a bundle, every byte of its files too, and install nothing; the fingerprint and contents.

    Raises:
        UntrustedError: the publisher is not trusted here yet.
        TransferError: it is no bundle, older than one imported before, incomplete, or changed after it was signed.
    """
    fingerprint, content, targets = inspect(store, bundle)
    progress.begin(f"Checking {bundle}", sum(target.length for target in targets.values()))
    try:
        for name, target in targets.items():
            digest, stored = hashlib.sha256(), stored_name(name, target.hashes["sha256"])
            for block in _blocks(bundle, [(stored, target.length)], 0):
                digest.update(block)
                progress.advance(len(block))
            if digest.hexdigest() != target.hashes["sha256"]:
                raise _refused(f"{TARGETS}/{stored}", "it was changed after it was signed")
    finally:
        progress.end()
    return fingerprint, content


def _signed_hash(targets: dict[str, TargetFile], name: str) -> str:
    return str(targets[name].hashes["sha256"]) if name in targets else ""


def _check_files(bundle: Path, targets: dict[str, TargetFile]) -> None:
    """Check that every listed file is there with its size, and no other file."""
    expected: dict[str, int] = {}
    for name, target in targets.items():
        digest = target.hashes.get("sha256", "")
        if not _TARGET.fullmatch(name) or not _SHA256.fullmatch(digest):
            raise _refused(repr(name), "it cannot be the name of a file in a bundle")
        expected[stored_name(name, digest)] = target.length
    if len({name.casefold() for name in expected}) < len(expected):
        raise _refused(TARGETS, "two files differ by upper and lower case only")
    for name, size in expected.items():
        handle = open_plain(bundle, TARGETS, name)
        found = os.fstat(handle).st_size
        os.close(handle)
        if found != size:
            raise _refused(f"{TARGETS}/{name}", f"it has {found} bytes and {size} were signed")
    # Desktops leave files with a dot in front on sticks; those are never read.
    extra = {entry for entry in os.listdir(bundle / TARGETS) if not entry.startswith(".")} - set(expected)  # noqa: PTH208
    if extra:
        raise _refused(f"{TARGETS}/{min(extra)}", "it is not in the signed list")


def _check_parts(file: BundledFile, targets: dict[str, TargetFile]) -> None:
    if missing := [part for part in file.parts if part not in targets]:
        raise _refused(file.name, f"its part {missing[0]} is not in the signed list")
    if sum(targets[part].length for part in file.parts) != file.bytes:
        raise _refused(file.name, "its parts do not add up to its size")


def _install(
    store: Store,
    bundle: Path,
    model: BundledModel,
    targets: dict[str, TargetFile],
    *,
    progress: Progress,
    accept: Acceptor,
) -> InstalledModel:
    files = [ModelFile(file.role, file.name, file.bytes, file.sha256) for file in model.files]
    parts = {
        file.name: [(stored_name(name, targets[name].hashes["sha256"]), targets[name].length) for name in file.parts]
        for file in model.files
    }

    def obtain(file: ModelFile, part: Path) -> None:
        _copy(bundle, file, parts[file.name], part, progress=progress, checkpoint=store.checkpoint)

    waiting = f"Another command is changing {model.label}; waiting for it"
    with store.lock(model.name, model.quant, waiting=lambda: progress.note(waiting)) as locked:
        if (known := locked.reuse(files, accept)) is not None:
            return known
        staged = locked.stage(files, obtain)
        store.checkpoint("copied")
        for file in staged:
            _require_gguf(file)
        return locked.publish(staged, model.facts, model.source, accept=accept)


def _copy(
    bundle: Path,
    file: ModelFile,
    parts: list[tuple[str, int]],
    target: Path,
    *,
    progress: Progress,
    checkpoint: Callable[[str], None],
) -> None:
    """Join the parts of one file, each with its name and size, at ``target``."""

    def opener(offset: int, _etag: str | None) -> AbstractContextManager[RangeReply]:
        return contextlib.nullcontext(RangeReply(offset, file.size, None, _blocks(bundle, parts, offset)))

    expected = ExpectedFile(file.name, str(bundle / TARGETS / parts[0][0]), file.size, file.sha256)
    try:
        fetch(expected, target, opener, progress=progress, retry=RetryPolicy(attempts=1), checkpoint=checkpoint)
    except WrongBytesError as error:
        raise TransferError(
            f"{file.name} in the bundle is damaged: its sha256 is {error.found} and {file.sha256} was signed.",
            hint=_AGAIN,
        ) from error


def _blocks(bundle: Path, parts: list[tuple[str, int]], offset: int) -> Iterator[bytes]:
    """The bytes of the parts in order, from ``offset`` of the whole file on."""
    for name, size in parts:
        if offset >= size:
            offset -= size
            continue
        handle = open_plain(bundle, TARGETS, name)
        try:
            os.lseek(handle, offset, os.SEEK_SET)
            offset = 0
            while block := _read(handle, bundle / TARGETS / name):
                yield block
        finally:
            os.close(handle)


def _read(handle: int, path: Path) -> bytes:
    try:
        return os.read(handle, BLOCK)
    except OSError as error:
        raise TransferError(f"Cannot read {path}: {error.strerror}.", hint=_AGAIN) from error


def _require_gguf(file: StagedFile) -> None:
    try:
        read_header(file.path)
    except InvalidModelFileError:
        discard(file.path)
        raise


def _verify(target: TargetFile, content: bytes) -> None:
    from tuf.api.exceptions import LengthOrHashMismatchError  # noqa: PLC0415

    try:
        target.verify_length_and_hashes(content)
    except LengthOrHashMismatchError as error:
        raise _refused(target.path, "it was changed after it was signed") from error


def _refused(name: str, reason: str) -> TransferError:
    return TransferError(f"The bundle is refused: {name}: {reason}.", hint=f"Nothing was imported from it. {_AGAIN}")
