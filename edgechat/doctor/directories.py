"""Findings about the directories: whether they can be written, whether the models' disk is mounted, how much is free.

Nothing is created: for a directory that does not exist yet, the nearest existing parent is checked.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from edgechat.doctor.finding import Finding, advice, ok, problem
from edgechat.errors import ExitCode, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgechat.paths import Paths

FULL_BYTES = 32 * 1024 * 1024
"""With less free, the engine's log (up to 1.5 MiB) and its state files may fail to be written."""
LOW_BYTES = 512 * 1024 * 1024
"""With less free, no model fits, and conversations and caches soon cannot be written."""


def findings(paths: Paths) -> list[Finding]:
    """Check every directory of one user."""
    return [*_trusted(paths), *_writable(paths), *_models_disk(paths), *_free_space(paths)]


def _trusted(paths: Paths) -> Iterator[Finding]:
    try:
        paths.require_trusted()
    except StateError as error:
        command = error.hint.partition("Run: ")[2].partition("  ")[0]
        yield problem("directory-owner", error.message, command, ExitCode.STATE)
    else:
        yield ok("directory-owner", "No other user can change the directories.")


_CONSEQUENCES = {
    "state": "no engine can start",
    "config": "no setting can be saved",
    "data": "no conversation can be saved",
    "cache": "nothing can be cached",
    "models": "no model can be added",
}


def _writable(paths: Paths) -> Iterator[Finding]:
    # One cause that affects several directories is one finding.
    blocked: dict[Path, list[str]] = {}
    for name in _CONSEQUENCES:
        directory: Path = getattr(paths, name)
        existing = _nearest(directory)
        if _is_directory(existing) and os.access(existing, os.W_OK | os.X_OK):
            continue
        if name == "models" and paths.models_moved and not _is_directory(directory):
            continue  # reported by _models_disk
        blocked.setdefault(existing, []).append(name)
    for place, names in blocked.items():
        what = f"{', '.join(names)} {'directories' if len(names) > 1 else 'directory'}"
        consequences = ", ".join(_CONSEQUENCES[name] for name in names)
        reason, command = _cause(place, is_own=place == getattr(paths, names[0]))
        if "state" in names:
            message = f"The {what} cannot be used, so {consequences}: {reason}."
            yield problem("state-directory", message, command, ExitCode.STATE)
        else:
            message = f"The {what} cannot be written, so {consequences}: {reason}."
            yield advice(f"{names[0]}-directory", message, command)
    if not blocked:
        yield ok("state-directory", "The directories can be written.")


def _cause(place: Path, *, is_own: bool) -> tuple[str, str]:
    """Why a path cannot be written, and the command that fixes it."""
    if not _is_directory(place):
        return f"{place} is not a directory", f"mv {_quote(place)} {_quote(place)}.old"
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        mount = _quote(_mount_point(place))
        return f"{place} is on a read-only file system", f"sudo mount -o remount,rw {mount}"
    reason = f"{place} belongs to {_owner(place)}"
    return reason, f"sudo chown {os.geteuid()} {_quote(place)}" if is_own else "export EDGECHAT_HOME=DIRECTORY"


def _models_disk(paths: Paths) -> Iterator[Finding]:
    if not paths.models_moved:
        return
    if paths.models.is_dir():
        yield ok("models-disk", f"The models' directory {paths.models} exists.")
    else:
        message = f"EDGECHAT_MODELS is {paths.models}, which does not exist: its disk is not mounted, or it was moved."
        # Mounts everything in /etc/fstab that is not mounted.
        yield problem("models-disk", message, "sudo mount -a", ExitCode.STATE)


def _free_space(paths: Paths) -> Iterator[Finding]:
    # The state directory comes first: its disk is reported once, even if the models are on it too.
    disks: dict[int, tuple[Path, Path]] = {}
    for directory in (paths.state, paths.data, paths.models):
        place = _nearest(directory)
        while not _exists(place):  # a broken link
            place = place.parent
        disks.setdefault(place.stat().st_dev, (directory, place))
    is_ok = True
    for directory, place in disks.values():
        disk = os.statvfs(place)
        free = disk.f_bavail * disk.f_frsize
        # A file system without a fixed number of inodes (btrfs) reports 0 of 0.
        is_out_of_files = disk.f_files > 0 and disk.f_favail == 0
        if free >= LOW_BYTES and not is_out_of_files:
            continue
        is_ok = False
        left = "no room for another file" if is_out_of_files else f"{free / 1e6:,.0f} MB left"
        message = f"The disk of {directory} is nearly full: {left}."
        models_here = paths.models.is_dir() and paths.models.stat().st_dev == place.stat().st_dev
        command = "edgechat models list" if models_here else f"du -xh {_quote(_mount_point(place))} | sort -h | tail"
        if (free < FULL_BYTES or is_out_of_files) and directory == paths.state:
            yield problem("disk-space", message, command, ExitCode.STATE)
        else:
            yield advice("disk-space", message, command)
    if is_ok:
        directory, place = next(iter(disks.values()))
        disk = os.statvfs(place)
        yield ok("disk-space", f"{disk.f_bavail * disk.f_frsize / 1e9:,.1f} GB are free for {directory}.")


def _nearest(path: Path) -> Path:
    """The path, or its nearest parent that exists; a broken link counts as existing."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path


def _exists(path: Path) -> bool:
    # Unlike pathlib, os.path returns False below a directory without search permission.
    return os.path.exists(path)  # noqa: PTH110


def _is_directory(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112


def _mount_point(path: Path) -> Path:
    while not path.is_mount():
        path = path.parent
    return path


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:  # the user is unknown in this container
        return f"user {path.stat().st_uid}"


def _quote(path: Path) -> str:
    return shlex.quote(str(path))
