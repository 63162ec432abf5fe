"""Writing files so that a reader, or a restart after a power cut, never sees a part of one.

A file is written under a temporary name, synced, renamed, and its directory is synced. Errors of the disk become a
StateError that names the path and what to do.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from typing import TYPE_CHECKING

from edgechat.errors import StateError, UsageError
from edgechat.ownership import follow_own_link, open_own

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRIVATE_DIRECTORY = 0o700
"""Only this user may list such a directory."""
PRIVATE_FILE = 0o600

_ADVICE = {
    errno.ENOSPC: "Free some space there, or move the models with EDGECHAT_MODELS.",
    errno.EDQUOT: "Your quota there is used up: free some space, or move the models with EDGECHAT_MODELS.",
    errno.EROFS: "That file system is mounted read-only: remount it for writing, or set EDGECHAT_MODELS.",
    errno.EACCES: "Give yourself the right to write there, or set EDGECHAT_MODELS.",
    errno.EPERM: "Give yourself the right to write there, or set EDGECHAT_MODELS.",
    errno.EIO: "The disk reports errors: check it before trusting anything on it (dmesg, fsck).",
    errno.EFBIG: "That file system cannot hold a file of this size (FAT32 ends at 4 GiB): use ext4 or exFAT.",
}


def state_error(doing: str, path: Path, error: OSError) -> StateError:
    """The StateError for a file that could not be used; ``doing`` is "write", "read", "remove" or "lock"."""
    reason = error.strerror or str(error)
    advice = _ADVICE.get(error.errno or 0, "Check that disk and its permissions, or set EDGECHAT_MODELS.")
    return StateError(f"Cannot {doing} {path}: {reason}.", hint=advice)


@contextlib.contextmanager
def reporting(doing: str, path: Path) -> Iterator[None]:
    """Turn every OSError of the block into a StateError about ``path``."""
    try:
        yield
    except OSError as error:
        raise state_error(doing, path, error) from error


def sync_directory(path: Path) -> None:
    """Make the names in ``path`` durable; does nothing where a directory cannot be synced (FAT, some networks)."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EBADF}:
            raise
    finally:
        os.close(handle)


def make_directory(path: Path) -> None:
    """Create ``path`` and missing parents, readable by this user alone, and make the new names durable."""
    missing = []
    above = path
    while not above.is_dir():
        missing.append(above)
        above = above.parent
    for folder in reversed(missing):
        folder.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        sync_directory(folder.parent)


def is_at(handle: int, path: Path) -> bool:
    """Whether ``path`` still names the open file ``handle``."""
    mine = os.fstat(handle)
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def replaceable(path: Path) -> Path:
    """The path to write to when a user names ``path`` as output: the target of a symbolic link, so that the link stays.

    Renaming a new file over a device or a pipe would destroy it (for root, the ``/dev/null`` of the whole machine).

    Raises:
        UsageError: ``path`` exists and is not a regular file.
        StateError: ``path`` cannot be examined, or is a link that another user made.
    """
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is not a file.", hint="Name a file; without --out it goes to standard output.")
    except OSError as error:
        raise StateError(f"Cannot write {path}: {error.strerror}.", hint="Choose another place with --out.") from error
    return follow_own_link(path)


def write_atomically(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Replace ``path`` as a whole: a reader sees the old content or the new one, never a part.

    The temporary file has one fixed name and writers take turns (flock), so the next writer reuses what a killed one
    left behind.

    Args:
        path: the file to replace; its directory exists.
        content: the new bytes.
        sync: wait until content and name are on the disk, so that the file also survives a power cut whole.

    Raises:
        OSError: the disk is full, read-only or broken, and no temporary file is left behind then; or another user
            placed something under the temporary file's name.
    """
    temporary = path.with_name(f".{path.name}.new")
    handle = _open_locked(temporary)
    try:
        os.ftruncate(handle, 0)
        with os.fdopen(os.dup(handle), "wb") as stream:
            stream.write(content)
        if sync:
            os.fsync(handle)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    finally:
        os.close(handle)
    if sync:
        sync_directory(path.parent)


def write_json(path: Path, value: object, *, sync: bool = True) -> None:
    """:func:`write_atomically` of a JSON value, indented; a lone surrogate is written as a JSON escape."""
    text = json.dumps(value, ensure_ascii=False, indent=1) + "\n"
    write_atomically(path, text.encode("utf-8", "backslashreplace"), sync=sync)


def _open_locked(temporary: Path) -> int:
    while True:
        handle = open_own(temporary, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if is_at(handle, temporary):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # another writer has renamed it meanwhile


def append(path: Path, data: bytes) -> None:
    """Append to a file of edgechat in one write; creates it, and follows no link.

    Raises:
        OSError: it cannot be written, or is not a regular file of this user.
    """
    handle = open_own(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(handle, data)
    finally:
        os.close(handle)


def write_all(handle: int, block: bytes | memoryview, at: int) -> None:
    """Write the whole block at offset ``at``, in several calls where the disk takes only a part at first."""
    written = os.pwrite(handle, block, at)
    while written < len(block):
        written += os.pwrite(handle, memoryview(block)[written:], at + written)
