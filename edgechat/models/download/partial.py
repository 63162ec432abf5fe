"""A partial file and the log beside it, from which a download resumes after a crash or a power cut.

``X.part.log`` has a line for every sync to disk, with the offset and the sha256 of everything before it, and a line for
each boot that wrote. After a killed process the whole file is trusted; after a power cut it is truncated to the last
logged offset whose sha256 is still right. A ``.part`` without a log is complete; it may be a hard link to another
model's file, so it is only read.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.files import append
from edgechat.ownership import open_own

if TYPE_CHECKING:
    from io import RawIOBase

    from edgechat.progress import Progress

    Hasher = hashlib._Hash

READ_BLOCK = 1 << 20
_BOOT = "boot "
_HEX_DIGITS = 64


def discard(part: Path) -> None:
    """Remove a partial file and its log."""
    for path in (part, log_path(part)):
        path.unlink(missing_ok=True)


def log_path(part: Path) -> Path:
    """The log beside a partial file."""
    return part.with_name(part.name + ".log")


def log_boot(part: Path) -> None:
    """Log that this boot writes from now on. The log has to exist before the partial file does."""
    append(log_path(part), f"{_BOOT}{_boot_id()}\n".encode("ascii"))


def log_sync(part: Path, at: int, hasher: Hasher) -> None:
    """Log that everything before the offset ``at`` is on disk, and its sha256."""
    append(log_path(part), f"{at} {hasher.hexdigest()}\n".encode("ascii"))


def digest(path: Path, progress: Progress) -> str:
    """The sha256 of a whole file, reported to ``progress``, which the caller begins and ends."""
    hasher = hashlib.sha256()
    block = memoryview(bytearray(READ_BLOCK))
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(block):
            hasher.update(block[:count])
            progress.advance(count)
    return hasher.hexdigest()


def resume(part: Path, size: int, progress: Progress, label: str) -> tuple[Hasher, int]:
    """Truncate the partial file to the bytes that can be trusted; returns their hash and their number.

    Args:
        part: the partial file; it may be missing.
        size: the size of the complete file; a longer partial file is wrong from the start.
        progress: told about the bytes that are read again.
        label: the label for ``progress``.
    """
    try:
        stream = os.fdopen(open_own(part, os.O_RDWR), "r+b", buffering=0)
    except FileNotFoundError:
        log_path(part).unlink(missing_ok=True)
        return hashlib.sha256(), 0
    marks, same_boot = _read_log(log_path(part))
    with stream:
        length = os.fstat(stream.fileno()).st_size
        if length > size:
            marks, length = {}, 0
        elif not same_boot:
            length = min(length, max(marks, default=0))
        if length:
            progress.begin(label, length)
        try:
            hasher, at = _read_good(stream, marks, length, progress)
        finally:
            progress.end()
        stream.truncate(at)
    return hasher, at


def _read_good(stream: RawIOBase, marks: dict[int, str], length: int, progress: Progress) -> tuple[Hasher, int]:
    """Hash up to ``length``, or up to the last logged offset before the first one whose sha256 is wrong."""
    hasher: Hasher = hashlib.sha256()
    good, at = (hasher.copy(), 0), 0
    block = memoryview(bytearray(READ_BLOCK))
    for end, digest in [*((end, digest) for end, digest in marks.items() if end < length), (length, marks.get(length))]:
        while at < end and (count := stream.readinto(block[: min(READ_BLOCK, end - at)])):
            hasher.update(block[:count])
            at += count
            progress.advance(count)
        if at < end or (digest is not None and hasher.hexdigest() != digest):
            return good
        good = (hasher.copy(), at)
    return good


def _read_log(log: Path) -> tuple[dict[int, str], bool]:
    """The logged offsets with their sha256, ascending, and whether this boot wrote last; ends at an incomplete line."""
    marks: dict[int, str] = {}
    boot = None
    try:
        lines = log.read_text(encoding="ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return marks, False
    for line in lines:
        if line.startswith(_BOOT):
            boot = line.removeprefix(_BOOT)
            continue
        offset, _, digest = line.partition(" ")
        if not offset.isdecimal() or len(digest) != _HEX_DIGITS:
            break
        if marks and int(offset) <= max(marks):
            marks = {}  # the download began again from the start
        marks[int(offset)] = digest
    return marks, boot == _boot_id()


def _boot_id() -> str:
    """The boot's id on Linux; elsewhere a constant, so that an end that was not synced is trusted there."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
