"""Take a GGUF file that is already on this machine into the store, without a second copy where the disk allows it.

A hard link first, then a copy that shares its blocks (reflink), then a real copy. The header is read before anything
else: a file that llama.cpp would die of does not get in. Which files other programs hold is ``found.py``'s to know.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
from dataclasses import dataclass
from io import FileIO
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError, InvalidModelFileError, StateError
from edgechat.files import PRIVATE_FILE, make_directory, reporting, state_error, write_all
from edgechat.models.download.transfer import SPACE_MARGIN
from edgechat.models.gguf.header import GgufHeader, read_header
from edgechat.models.store.install import Claim, Facts, StagedFile
from edgechat.models.store.installed import InstalledModel, valid_name, valid_quant
from edgechat.models.store.verify import BLOCK, file_sha256
from edgechat.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgechat.models.store.store import Store

FICLONE = 0x40049409
"""Linux's request to share blocks between files (btrfs, xfs, bcachefs): ``man 2 ioctl_ficlone``."""
_UNSAFE = re.compile(r"[^a-z0-9._-]+")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a file is called in the store, and what is known of it."""

    name: str
    quant: str
    facts: Facts


def add(
    store: Store,
    path: Path,
    *,
    name: str = "",
    projector: Path | None = None,
    identify: Callable[[str], Identity | None] = lambda _: None,
    source: str = "",
    copy: bool = True,
    progress: Progress = SILENT,
) -> InstalledModel:
    """Install the GGUF at ``path``; the original stays where it is.

    Args:
        store: where to.
        path: the file.
        name: what to call it; empty takes the catalog's name for these bytes, else the one in its header.
        projector: the mmproj file that lets the model see images.
        identify: the catalog's word on a sha256.
        source: what the manifest says about where it came from.
        copy: whether a real copy may be made when the disk can neither link nor share blocks.
        progress: told about hashing and copying.

    Raises:
        InvalidInputError: there is no such file.
        InvalidModelFileError: it is no GGUF that could be loaded.
        StateError: the store cannot take it.
    """
    if not path.is_file():
        raise InvalidInputError(f"There is no file {path}.", hint="Give the path of a GGUF file.")
    path = path.resolve()  # a link into another program's cache must not be linked as a link
    header = read_header(path)
    _require_model(path, header)
    if projector is not None:
        projector = _require_projector(projector)
    digest = file_sha256(path, progress, f"Checking {path.name}")
    known = identify(digest)
    if known is None or (name and name != known.name):
        facts = Facts(languages=header.languages, licence=header.licence) if known is None else known.facts
        known = Identity(name or _own_name(header, path), _own_quant(header, path), facts)
    with store.claim(known.name, known.quant, waiting=lambda: progress.note("Waiting for another command")) as claim:
        staged = [_stage(claim, "model", path, digest, copy=copy, progress=progress)]
        if projector is not None:
            digest = file_sha256(projector, progress, f"Checking {projector.name}")
            staged.append(_stage(claim, "mmproj", projector, digest, copy=copy, progress=progress))
        return claim.publish(staged, known.facts, source or f"file:{path}")


def safe_file_name(name: str, fallback: str) -> str:
    """The last part of ``name`` when any file system takes it as it is, else ``fallback``."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return last if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,180}\.gguf", last) else fallback


def _require_model(path: Path, header: GgufHeader) -> None:
    if len(header.shards) > 1 or _SHARD.search(path.stem):
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


def _stage(claim: Claim, role: str, path: Path, digest: str, *, copy: bool, progress: Progress) -> StagedFile:
    part = claim.staging / f"adding-{role}.part"
    with reporting("write", part):
        make_directory(claim.staging)
        part.unlink(missing_ok=True)
    try:
        how = _bring(path, part, digest, copy=copy, progress=progress)
        claim.store.checkpoint(f"brought-by-{how}")
        name = safe_file_name(path.name, f"{role}.gguf")
        if role == "mmproj" and not name.startswith("mmproj"):
            name = safe_file_name(f"mmproj-{name}", "mmproj.gguf")  # the model may be called the same
        return StagedFile(role, part, name, part.stat().st_size, digest)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _bring(path: Path, part: Path, digest: str, *, copy: bool, progress: Progress) -> str:
    """Put the bytes at ``part``; says how."""
    try:
        os.link(path, part)
    except OSError as error:
        # Another disk, another owner, or a file system without links: each is a reason for the next way.
        if error.errno not in {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}:
            raise state_error("write", part, error) from error
    else:
        return "link"
    if _reflink(path, part):
        return "reflink"
    if not copy:
        raise StateError(
            f"{path} cannot be shared with the store: it lies on another disk or belongs to another user.",
            hint=f"Copy it in: edgechat models add {path}",
        )
    if _copy(path, part, progress) != digest:
        raise StateError(f"{path} changed while it was copied.", hint="Add it again when nothing writes to it.")
    return "copy"


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
    return FileIO(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE), "r+b")


def _copy(path: Path, part: Path, progress: Progress) -> str:
    size = path.stat().st_size
    disk = os.statvfs(part.parent)
    if disk.f_bavail * disk.f_frsize < size + SPACE_MARGIN:
        raise StateError(
            f"{path} has {size:,} bytes and the disk of {part.parent} has {disk.f_bavail * disk.f_frsize:,} free.",
            hint="Free some space (edgechat models rm MODEL), or move the models with EDGECHAT_MODELS.",
        )
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
    """A name from the header, else from the file's name, in the form of the catalog's names."""
    stem = re.sub(rf"[.-]{re.escape(header.quant)}$", "", path.stem, flags=re.IGNORECASE) if header.quant else path.stem
    for candidate in (header.name, stem):
        slug = _UNSAFE.sub("-", candidate.lower()).strip("-._")
        if valid_name(slug):
            return slug
    return "model"


def _own_quant(header: GgufHeader, path: Path) -> str:
    for candidate in (header.quant, path.stem.rpartition(".")[2], path.stem.rpartition("-")[2]):
        if valid_quant(candidate.upper()):
            return candidate.upper()
    return "UNKNOWN"
