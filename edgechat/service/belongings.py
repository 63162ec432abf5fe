"""What edgechat has put on this machine, how much of the disk that is, and taking it away again.

Follows no link, and leaves alone what belongs to other users, what lies on another file system, and, in the models'
directory, whatever is no part of the store.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.models.installed import CURRENT, quant_directories
from edgechat.models.store import LOCKS, QUARANTINE, STAGING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.paths import Paths


@dataclass(slots=True)
class Belonging:
    """One directory of ours."""

    what: str
    path: Path
    roots: tuple[Path, ...]
    """What below ``path`` (or ``path`` itself) is ours to remove."""
    n_files: int = 0
    freed: int = 0
    """Bytes that removing gives back; a file that also has another name gives none."""
    foreign: list[Path] = field(default_factory=list)
    """What stays: it is not ours."""


def belongings(paths: Paths, *, keep_models: bool) -> list[Belonging]:
    """What there is to remove, looked at and not touched."""
    found = []
    for what, path in (
        ("settings and token", paths.config),
        ("engine state and logs", paths.state),
        ("caches", paths.cache),
        ("models", paths.models),
        ("conversations", paths.data),
    ):
        if not path.is_dir() or (what == "models" and keep_models):
            continue
        each = Belonging(what, path, _store(path) if what == "models" else (path,))
        # Without XDG's or our own variables the models lie inside the conversations' directory.
        kept = paths.models if what == "conversations" and path != paths.models else None
        for file in _walk(each, kept):
            facts = file.lstat()
            each.n_files += 1
            each.freed += facts.st_blocks * 512 if facts.st_nlink == 1 else 0
        if what == "models":
            each.foreign += [child for child in path.iterdir() if not _is_stores(child, each.roots)]
        found.append(each)
    return found


def remove(each: Belonging, kept: Path | None) -> list[str]:
    """Take it away; what could not be removed, and why.

    Args:
        each: what to remove.
        kept: a directory inside that stays.
    """
    troubles = []
    for file in list(_walk(each, kept)):
        try:
            file.unlink()
        except OSError as error:
            troubles.append(f"{file}: {error.strerror}")
    for root in each.roots:
        for directory, _, _ in os.walk(root, topdown=False):
            if kept is None or not Path(directory).is_relative_to(kept):
                _rmdir(directory)
        if root != each.path:
            _rmdir(root.parent)
    _rmdir(each.path)
    return troubles


def _rmdir(directory: str | Path) -> None:
    try:
        os.rmdir(directory)  # noqa: PTH106 - as os.walk gives it
    except OSError:
        return  # not empty: it holds what stays; or a mount point


def _store(models: Path) -> tuple[Path, ...]:
    hidden = tuple(each for name in (STAGING, LOCKS, QUARANTINE) if (each := models / name).is_dir())
    return (*(each for each in quant_directories(models) if (each / CURRENT).is_file()), *hidden)


def _is_stores(child: Path, roots: tuple[Path, ...]) -> bool:
    return any(root == child or root.is_relative_to(child) for root in roots)


def _walk(each: Belonging, kept: Path | None) -> Iterator[Path]:
    """Every file that is ours, links included; what is not ours is noted."""
    device = each.path.lstat().st_dev
    for root in each.roots:
        if root.is_symlink():
            yield root
            continue
        for directory, below, files in os.walk(root):
            here = Path(directory)
            for name in list(below):
                child = here / name
                facts = child.lstat()
                if stat.S_ISLNK(facts.st_mode):
                    yield child
                elif child == kept:
                    below.remove(name)
                elif facts.st_dev != device or not _is_ours(facts):
                    below.remove(name)
                    _note(each, child)
            for name in files:
                if _is_ours((here / name).lstat()):
                    yield here / name
                else:
                    _note(each, here / name)


def _note(each: Belonging, path: Path) -> None:
    if path not in each.foreign:
        each.foreign.append(path)


def _is_ours(facts: os.stat_result) -> bool:
    return os.geteuid() in (0, facts.st_uid)
