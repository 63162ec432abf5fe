"""What edgechat has put on this machine, how much of the disk that is, and taking it away again.

Follows no link, and leaves alone what belongs to other users, what lies on another file system, and whatever edgechat
does not write itself: ``EDGECHAT_STATE=/tmp`` makes no directory ours.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.models.store.installed import CURRENT, quant_directories
from edgechat.models.store.store import LOCKS, QUARANTINE, STAGING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.paths import Paths


_WRITTEN = {
    "settings and token": (
        "config.toml",
        "*licences.json*",
        "*pin.json*",
        "*serve.token*",
        "*tui.json*",
        "trust",
        *("keys/exports.json", "keys/.*.new", "keys/*.publisher.pem", "keys/*.root.pem", "keys/*.root.json"),
    ),
    "engine state and logs": (
        *("engine.sock", "engine.lock", "engine.start.lock", "engine.death.json*", "engine.deaths.jsonl*"),
        *("*calibration.json*", "figures.json*", "stepped-down.json*", "tightness.json*", "proof"),
        *("logs/engine.log*", "logs/serve.log*", "logs/answers.log*", "logs/defect.log"),
    ),
    "caches": ("answers.sqlite*", "prefixes", "templates", "vocabularies"),
    # `edgechat history` advises to move a damaged one to chat.damaged.
    "conversations": ("chat/*history.db*", "chat/writing", "chat.damaged*"),
}
"""What edgechat writes in each of its directories, as globs; the store knows its own."""


@dataclass(slots=True)
class Belonging:
    """What is ours in one directory."""

    what: str
    path: Path
    roots: tuple[Path, ...]
    """Files and directories below ``path`` that are ours to remove."""
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
        each = Belonging(what, path, _roots(what, path))
        for file in _walk(each):
            facts = file.lstat()
            each.n_files += 1
            each.freed += facts.st_blocks * 512 if facts.st_nlink == 1 else 0
        # Without XDG's or our own variables the models lie inside the conversations' directory.
        each.foreign += [
            child for child in sorted(path.iterdir()) if child != paths.models and not _holds(child, each.roots)
        ]
        found.append(each)
    return found


def remove(each: Belonging) -> list[str]:
    """Take it away; what could not be removed, and why."""
    troubles = []
    each.roots = _roots(each.what, each.path)  # an engine that was stopped meanwhile has left its last figures
    for file in list(_walk(each)):
        try:
            file.unlink()
        except OSError as error:
            troubles.append(f"{file}: {error.strerror}")
    for root in each.roots:
        for directory, _, _ in os.walk(root, topdown=False):
            _rmdir(directory)
        _rmdir(root.parent)
    _rmdir(each.path)
    return troubles


def _rmdir(directory: str | Path) -> None:
    try:
        os.rmdir(directory)  # noqa: PTH106 - as os.walk gives it
    except OSError:
        return  # not empty: it holds what stays; or a mount point


def _roots(what: str, path: Path) -> tuple[Path, ...]:
    if what == "models":
        return _store(path)
    return tuple(sorted({found for pattern in _WRITTEN[what] for found in path.glob(pattern)}))


def _store(models: Path) -> tuple[Path, ...]:
    hidden = tuple(each for name in (STAGING, LOCKS, QUARANTINE) if (each := models / name).is_dir())
    return (*(each for each in quant_directories(models) if (each / CURRENT).is_file()), *hidden)


def _holds(child: Path, roots: tuple[Path, ...]) -> bool:
    return any(root == child or root.is_relative_to(child) for root in roots)


def _walk(each: Belonging) -> Iterator[Path]:
    """Every file that is ours, links included; what is not ours is noted."""
    device = each.path.lstat().st_dev
    for root in each.roots:
        if root.is_symlink():
            yield root
            continue
        if not root.is_dir():
            if _is_ours(root.lstat()):
                yield root
            else:
                _note(each, root)
            continue
        for directory, below, files in os.walk(root):
            here = Path(directory)
            for name in list(below):
                child = here / name
                facts = child.lstat()
                if stat.S_ISLNK(facts.st_mode):
                    yield child
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
