"""Findings about the directories: can they be written, is the models' disk there, how much room is left.

Creates and writes nothing: a directory that is not there yet is judged by the nearest one above it that is.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from edgechat.doctor.finding import Finding, advice, ok, problem
from edgechat.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgechat.paths import Paths

FULL_BYTES = 32 * 1024 * 1024
"""Below this the engine's log (bounded to 1.5 MiB) and the notes beside it may no longer be written."""
LOW_BYTES = 512 * 1024 * 1024
"""Below this no model fits, and conversations and caches soon will not."""


def findings(paths: Paths) -> list[Finding]:
    """Look at every directory of one user."""
    return [*_writable(paths), *_models_disk(paths), *_room(paths)]


_NEEDS = {
    "state": "no engine can be started",
    "config": "no setting can be kept",
    "data": "no conversation can be kept",
    "cache": "work that could be saved is done again",
    "models": "no model can be added",
}


def _writable(paths: Paths) -> Iterator[Finding]:
    # What stands in the way of several directories is one finding.
    hindered: dict[Path, list[str]] = {}
    for name in _NEEDS:
        directory: Path = getattr(paths, name)
        there = _nearest(directory)
        if _is_directory(there) and os.access(there, os.W_OK | os.X_OK):
            continue
        if name == "models" and paths.models_moved and not _is_directory(directory):
            continue  # the missing disk is a finding of its own
        hindered.setdefault(there, []).append(name)
    for there, names in hindered.items():
        what = f"{', '.join(names)} {'directories' if len(names) > 1 else 'directory'}"
        needs = ", ".join(_NEEDS[name] for name in names)
        reason, command = _hindrance(there, is_ours=there == getattr(paths, names[0]))
        if "state" in names:
            message = f"The {what} cannot be used, so {needs}: {reason}."
            yield problem("state-directory", message, command, ExitCode.STATE)
        else:
            message = f"The {what} cannot be written, so {needs}: {reason}."
            yield advice(f"{names[0]}-directory", message, command)
    if not hindered:
        yield ok("state-directory", "The directories can be written.")


def _hindrance(there: Path, *, is_ours: bool) -> tuple[str, str]:
    """Why nothing can be written at a path, and the command that changes that."""
    if not _is_directory(there):
        return f"{there} is in the way", f"mv {_quote(there)} {_quote(there)}.old"
    if os.statvfs(there).f_flag & os.ST_RDONLY:
        mount = _quote(_mount_point(there))
        return f"{there} is on a read-only file system", f"sudo mount -o remount,rw {mount}"
    reason = f"{there} belongs to {_owner(there)}"
    return reason, f"sudo chown {os.geteuid()} {_quote(there)}" if is_ours else "export EDGECHAT_HOME=DIRECTORY"


def _models_disk(paths: Paths) -> Iterator[Finding]:
    if not paths.models_moved:
        return
    if paths.models.is_dir():
        yield ok("models-disk", f"The models' directory {paths.models} is there.")
    else:
        message = f"EDGECHAT_MODELS is {paths.models}, which does not exist: its disk is not mounted, or it was moved."
        # Mounts whatever /etc/fstab knows and is not mounted yet.
        yield problem("models-disk", message, "sudo mount -a", ExitCode.STATE)


def _room(paths: Paths) -> Iterator[Finding]:
    # The disk of the state comes first: when the models lie there too, it is one finding.
    disks: dict[int, tuple[Path, Path]] = {}
    for directory in (paths.state, paths.data, paths.models):
        there = _nearest(directory)
        while not _exists(there):  # a link that leads nowhere
            there = there.parent
        disks.setdefault(there.stat().st_dev, (directory, there))
    well = True
    for directory, there in disks.values():
        disk = os.statvfs(there)
        free = disk.f_bavail * disk.f_frsize
        # A file system without a fixed number of inodes (btrfs) says 0 of 0.
        is_out_of_files = disk.f_files > 0 and disk.f_favail == 0
        if free >= LOW_BYTES and not is_out_of_files:
            continue
        well = False
        left = "no room for another file" if is_out_of_files else f"{free / 1e6:,.0f} MB left"
        message = f"The disk of {directory} is nearly full: {left}."
        models_here = paths.models.is_dir() and paths.models.stat().st_dev == there.stat().st_dev
        command = "edgechat models list" if models_here else f"du -xh {_quote(_mount_point(there))} | sort -h | tail"
        if (free < FULL_BYTES or is_out_of_files) and directory == paths.state:
            yield problem("disk-space", message, command, ExitCode.STATE)
        else:
            yield advice("disk-space", message, command)
    if well:
        directory, there = next(iter(disks.values()))
        disk = os.statvfs(there)
        yield ok("disk-space", f"{disk.f_bavail * disk.f_frsize / 1e9:,.1f} GB are free for {directory}.")


def _nearest(path: Path) -> Path:
    """The path itself, or the nearest thing above it that exists (a link that leads nowhere is a thing)."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path


def _exists(path: Path) -> bool:
    # Unlike pathlib's, os.path's tests are False for what lies below a directory that may not be searched.
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
    except KeyError:  # a user that this container does not know
        return f"user {path.stat().st_uid}"


def _quote(path: Path) -> str:
    return shlex.quote(str(path))
