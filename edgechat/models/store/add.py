"""Adding a GGUF file of this machine to the store, without a second copy where the disk allows it.

A hard link first, where the file is this user's and nobody else can write to it; then a copy that shares its blocks
(reflink), then a real copy. The header is read before anything
else, so that no file gets in that would end llama.cpp. ``other_programs.py`` finds files that other programs hold.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import itertools
import os
import re
import stat
from dataclasses import dataclass, replace
from io import FileIO
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError, InvalidModelFileError, StateError
from edgechat.files import make_directory, reporting, state_error, write_all
from edgechat.models.gguf.header import GgufHeader, read_header
from edgechat.models.store.disk_space import require_space
from edgechat.models.store.file_names import is_shard, safe_file_name
from edgechat.models.store.install import LockedModel, ModelFacts, StagedFile, facts_of
from edgechat.models.store.installed import InstalledModel, installed, stamp_of, valid_name, valid_quant
from edgechat.models.store.verify import BLOCK, file_sha256
from edgechat.ownership import open_own
from edgechat.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgechat.models.store.store import Store

FICLONE = 0x40049409
"""Linux's request to share blocks between files (btrfs, xfs, bcachefs): ``man 2 ioctl_ficlone``."""
_UNSAFE = re.compile(r"[^a-z0-9._-]+")
_NAMELESS = re.compile(r"(?:^|[-_])[0-9a-f]{32,}$|^(?:ggml-)?model$|^blob$|^\d+$")
"""Names of files that say nothing: a hash, ``model``, ``ggml-model``, a number."""
_LEAST_LETTERS = 4
"""Of a name whose other letters a directory may not have: fewer are a number or a unit, and no name."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """The name of a model file in the store, and the facts for its manifest."""

    name: str
    quant: str
    facts: ModelFacts


def add(
    store: Store,
    path: Path,
    *,
    name: str = "",
    projector: Path | None = None,
    identify: Callable[[str], KnownModel | None] = lambda _: None,
    source: str = "",
    copy: bool = True,
    progress: Progress = SILENT,
) -> InstalledModel:
    """Install the GGUF file at ``path``; the original stays where it is.

    Args:
        store: the store to install it in.
        path: the file.
        name: its name in the store; empty takes the catalog's name for these bytes, else the file's own name. Another
            model with that name is kept: the new one gets a number.
        projector: the mmproj file that lets the model see images.
        identify: maps a sha256 to a known model; see :func:`identify_in_catalog`.
        source: the manifest's text about where the file came from.
        copy: whether a real copy may be made when the disk can neither link nor share blocks.
        progress: told about hashing and copying.

    Raises:
        InvalidInputError: there is no such file.
        InvalidModelFileError: it is no GGUF that could be loaded.
        StateError: the store cannot take it.
    """
    if not path.is_file():
        raise InvalidInputError(f"There is no file {path}.", hint="Give the path of a GGUF file.")
    file_name = path
    path = path.resolve()  # a link into another program's cache must not be linked as a link
    header = read_header(path)
    _require_model(path, header)
    if projector is not None:
        projector = _require_projector(projector)
    before = path.stat()
    digest = file_sha256(path, progress, f"Checking {path.name}")
    source = source or f"file:{path}"
    known = identify(digest)
    if known is None or (name and name != known.name):
        facts = ModelFacts(languages=header.languages, licence=header.licence) if known is None else known.facts
        known = KnownModel(name or _own_name(header, file_name), _own_quant(header, file_name), facts)
        if not name:
            known = replace(known, name=_free_name(store, known, digest, source))
    with store.lock(known.name, known.quant, waiting=lambda: progress.note("Waiting for another command")) as locked:
        staged = [_stage(locked, "model", path, before, digest, copy=copy, progress=progress)]
        if projector is not None:
            before = projector.stat()
            digest = file_sha256(projector, progress, f"Checking {projector.name}")
            staged.append(_stage(locked, "mmproj", projector, before, digest, copy=copy, progress=progress))
        return locked.publish(staged, known.facts, source)


def identify_in_catalog(sha256: str) -> KnownModel | None:
    """The catalog's name for the file with these bytes, or None."""
    from edgechat.models.catalog.catalog import load_catalog  # noqa: PLC0415 - 0.3 s

    for entry in load_catalog():
        for quant, file in entry.files.items():
            if file.sha256 == sha256:
                return KnownModel(entry.name, quant, facts_of(entry))
    return None


def _require_model(path: Path, header: GgufHeader) -> None:
    if len(header.shards) > 1 or is_shard(path.stem):
        raise InvalidModelFileError(
            f"{path} is one part of a model that was split.", hint="Join the parts first: llama-gguf-split --merge"
        )
    if header.arch == "clip":
        raise InvalidModelFileError(
            f"{path} is the projector of a vision model, not a model.",
            hint="Give it together with its model: edgechat models add MODEL.gguf --mmproj FILE",
        )


def _require_projector(path: Path) -> Path:
    if not path.is_file():
        raise InvalidInputError(f"There is no file {path}.", hint="Give the path of the projector (mmproj).")
    path = path.resolve()
    if read_header(path).arch != "clip":
        raise InvalidModelFileError(
            f"{path} is not a projector.", hint="Give the mmproj file that was published with the model."
        )
    return path


def _stage(
    locked: LockedModel,
    role: str,
    path: Path,
    before: os.stat_result,
    digest: str,
    *,
    copy: bool,
    progress: Progress,
) -> StagedFile:
    part = locked.staging / f"adding-{role}.part"
    with reporting("write", part):
        make_directory(locked.staging)
        part.unlink(missing_ok=True)
    try:
        how = _link_or_copy(path, part, before, digest, copy=copy, progress=progress)
        locked.checkpoint(f"brought-by-{how}")
        name = safe_file_name(path.name, f"{role}.gguf")
        if role == "mmproj" and not name.startswith("mmproj"):
            name = safe_file_name(f"mmproj-{name}", "mmproj.gguf")  # the model may be called the same
        return StagedFile(role, name, part.stat().st_size, digest, part)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _link_or_copy(
    path: Path, part: Path, before: os.stat_result, digest: str, *, copy: bool, progress: Progress
) -> str:
    """Make ``part`` a file with the bytes of ``path``; returns ``link``, ``reflink`` or ``copy``."""
    if _is_ours_alone(before):
        try:
            os.link(path, part)
        except OSError as error:
            # Another disk, or a file system without links: each is a reason for the next way.
            if error.errno not in {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}:
                raise state_error("write", part, error) from error
        else:
            _require_same(path, part.stat(), before)
            return "link"
    if _reflink(path, part):
        _require_same(path, path.stat(), before)
        return "reflink"
    if not copy:
        raise StateError(
            f"{path} cannot be shared with the store: it lies on another disk, or another user can write to it.",
            hint=f"Copy it in: edgechat models add {path}",
        )
    if _copy(path, part, progress) != digest:
        raise StateError(f"{path} changed while it was copied.", hint="Add it again when nothing writes to it.")
    return "copy"


def _is_ours_alone(facts: os.stat_result) -> bool:
    """Whether no other user can write to a file: through a hard link, the model would change under us."""
    return facts.st_uid == os.geteuid() and not facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _require_same(path: Path, found: os.stat_result, before: os.stat_result) -> None:
    """Check that a file is the one that was hashed.

    Raises:
        StateError: it was replaced or written meanwhile.
    """
    if stamp_of(found) != stamp_of(before):
        raise StateError(f"{path} changed while it was added.", hint="Add it again when nothing writes to it.")


def _reflink(path: Path, part: Path) -> bool:
    try:
        with path.open("rb") as source, _create(part) as target:
            fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
            os.fsync(target.fileno())
    except OSError:
        part.unlink(missing_ok=True)
        return False
    return True


def _create(part: Path) -> FileIO:
    # With its mode from the start: some file systems (FAT) refuse to change it.
    return FileIO(open_own(part, os.O_RDWR | os.O_CREAT | os.O_EXCL), "r+b")


def _copy(path: Path, part: Path, progress: Progress) -> str:
    """Copy the file; returns the sha256 of what was copied."""
    size = path.stat().st_size
    require_space(part.parent, size, str(path))
    hasher, at = hashlib.sha256(), 0
    block = memoryview(bytearray(BLOCK))
    progress.begin(f"Copying {path.name}", size)
    try:
        with reporting("copy to", part), path.open("rb", buffering=0) as source, _create(part) as target:
            while count := source.readinto(block):
                hasher.update(block[:count])
                write_all(target.fileno(), block[:count], at)
                at += count
                progress.advance(count)
            os.fsync(target.fileno())
    finally:
        progress.end()
    return hasher.hexdigest()


def _own_name(header: GgufHeader, path: Path) -> str:
    """A name in the catalog's form: from the file's name, which people know, else from the header.

    Many files carry the name of the model they were made from, or of a format, in their header. Files that other
    programs named by a hash, or in letters that no directory of the store may have, are named by the header.
    """
    stem = (
        re.sub(rf"[._-]{re.escape(header.quant)}$", "", path.stem, flags=re.IGNORECASE) if header.quant else path.stem
    )
    names = (header.name, stem) if _NAMELESS.search(stem.lower()) else (stem, header.name)
    for candidate in names:
        slug = _UNSAFE.sub("-", candidate.lower()).strip("-._")
        if valid_name(slug) and (candidate.isascii() or len(slug) >= _LEAST_LETTERS):
            return slug
    return "model"


def _free_name(store: Store, known: KnownModel, digest: str, source: str) -> str:
    """The name, or the first numbered one under which no other file is installed: none replaces another silently.

    A file that was added from the same place before is replaced: its earlier version stays for ``rollback``.
    """
    taken = {model.name: model for model in installed(store.paths) if model.quant == known.quant}
    for number in itertools.count(1):
        name = known.name if number == 1 else f"{known.name}-{number}"
        holder = taken.get(name)
        if holder is None or holder.sha256 == digest or holder.source == source:
            return name
    raise AssertionError


def _own_quant(header: GgufHeader, path: Path) -> str:
    for candidate in (header.quant, path.stem.rpartition(".")[2], path.stem.rpartition("-")[2]):
        if valid_quant(candidate.upper()):
            return candidate.upper()
    return "UNKNOWN"
