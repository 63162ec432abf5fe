"""Which directories and files of this user can be trusted: those that no other user can change.

Another user who can write in the state directory could place a socket, a lock or a link there before edgechat does.
Directories of another owner or writable by others are refused, as ``ssh`` refuses such keys, and files that edgechat
writes are opened without following a link.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterable

_PRIVATE_FILE = 0o600
_WRITERS = stat.S_IWGRP | stat.S_IWOTH


def open_own(path: Path, flags: int, *, mode: int = _PRIVATE_FILE) -> int:
    """Open a file that edgechat writes, and return its descriptor; follows no symbolic link.

    Args:
        path: the file.
        flags: as for :func:`os.open`; ``O_TRUNC`` takes effect after the checks.
        mode: of a file that is created.

    Raises:
        OSError: it cannot be opened, or it is a link, no regular file, or another user's.
    """
    handle = os.open(path, flags & ~os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, mode)
    try:
        _require_own_file(os.fstat(handle), path)
        if flags & os.O_TRUNC:
            os.ftruncate(handle, 0)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _require_own_file(facts: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    if facts.st_uid not in {os.geteuid(), 0}:
        raise OSError(errno.EPERM, "the file belongs to another user", str(path))
    # In a directory that others can write, a second name may be that of a file elsewhere.
    if facts.st_nlink > 1 and path.parent.stat().st_mode & _WRITERS:
        raise OSError(errno.EPERM, "it is a hard link to another file", str(path))


def follow_own_link(path: Path) -> Path:
    """The target of a symbolic link that this user or root made; ``path`` itself where it is no link.

    Raises:
        StateError: another user made the link.
    """
    if not path.is_symlink():
        return path
    if path.lstat().st_uid not in {os.geteuid(), 0}:
        raise StateError(
            f"{path} is a symbolic link that {_user(path.lstat().st_uid)} made.",
            hint="Remove it, or write to another file.",
        )
    return Path(os.path.realpath(path))


def require_trusted(directories: Iterable[Path]) -> None:
    """Check that no other user can change these directories; those that do not exist yet are skipped.

    A directory itself must be this user's or root's, and nobody else may write in it. The directories above it may be
    writable by others where the sticky bit keeps them from replacing it, or where root gave that right to a group.

    Raises:
        StateError: another user could change one of them; the hint has the command that ends this.
    """
    strict = list(directories)
    above = dict.fromkeys(parent for each in strict for parent in _chain(each))
    for place in strict:
        _require(place, is_above=False)
    for place in above:
        if place not in strict:
            _require(place, is_above=True)


def _chain(path: Path) -> list[Path]:
    """The directories above a path: as it is written, and with all links followed."""
    return [*path.parents, *Path(os.path.realpath(path)).parents]


def _require(place: Path, *, is_above: bool) -> None:
    try:
        facts = place.stat()
    except OSError:
        return  # it does not exist yet, or its user of files reports why it cannot be used
    if not stat.S_ISDIR(facts.st_mode):
        return
    if facts.st_uid not in _trusted_users(is_above=is_above):
        raise StateError(
            f"{place} belongs to {_user(facts.st_uid)}, who could change what edgechat keeps or runs there.",
            hint=f"Run: sudo chown {os.geteuid()} {place}  or set EDGECHAT_HOME to a directory of your own.",
        )
    writers = facts.st_mode & _WRITERS
    if is_above and (facts.st_mode & stat.S_ISVTX or (facts.st_uid == 0 and not writers & stat.S_IWOTH)):
        return
    if writers & stat.S_IWOTH or (writers and not _is_private_group(facts.st_gid)):
        raise StateError(
            f"{place} can be written by other users (mode {stat.S_IMODE(facts.st_mode):04o}), who could change what "
            "edgechat keeps or runs there.",
            hint=f"Run: chmod go-w {place}  (exFAT and FAT know no modes: mount that disk with the option umask=077)",
        )


def _trusted_users(*, is_above: bool) -> set[int]:
    users = {os.geteuid(), 0}
    if is_above and (unmapped := _unmapped_user()) is not None:
        users.add(unmapped)
    return users


def _unmapped_user() -> int | None:
    """Inside a user name space (``PrivateUsers=`` of systemd, rootless containers): how root's files outside look."""
    try:
        inside, _, count = Path("/proc/self/uid_map").read_text(encoding="ascii").split()[:3]
        if (inside, count) == ("0", "4294967295"):
            return None
        return int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None  # not Linux


def _is_private_group(group: int) -> bool:
    """Whether this user alone is in a group, as distributions with a group for each user arrange it."""
    import grp  # noqa: PLC0415 - rarely needed
    import pwd  # noqa: PLC0415

    try:
        entry, me = grp.getgrgid(group), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return entry.gr_name == me.pw_name and group == me.pw_gid and set(entry.gr_mem) <= {me.pw_name}


def _user(number: int) -> str:
    import pwd  # noqa: PLC0415 - only for an error

    try:
        return f"the user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"
