"""Finds and removes the files that edgechat has written, for ``edgechat uninstall``.

Links are not followed. Files of other users, on other file systems, or that edgechat does not write are kept, so that
``EDGECHAT_STATE=/tmp`` is safe.
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


_PATTERNS = {
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
    # Error messages advise to move a damaged database to chat.damaged or documents.damaged.
    "conversations and documents": (
        *("chat/*history.db*", "chat/writing", "chat.damaged*"),
        *("documents/*documents.db*", "documents.damaged*"),
    ),
}
"""Globs of the files that edgechat writes in each directory; the store's are found by :func:`_store`."""


@dataclass(slots=True)
class OwnedFiles:
    """The files of edgechat in one directory."""

    what: str
    path: Path
    roots: tuple[Path, ...]
    """Files and directories below ``path`` to remove."""
    n_files: int = 0
    freed: int = 0
    """Bytes that removal frees; a file with another hard link frees none."""
    foreign: list[Path] = field(default_factory=list)
    """Files that are kept, because edgechat did not write them."""


def owned_files(paths: Paths, *, keep_models: bool) -> list[OwnedFiles]:
    """Find the files to remove, without changing anything."""
    found = []
    for what, path in (
        ("settings and token", paths.config),
        ("engine state and logs", paths.state),
        ("caches", paths.cache),
        ("models", paths.models),
        ("conversations and documents", paths.data),
    ):
        if not path.is_dir() or (what == "models" and keep_models):
            continue
        each = OwnedFiles(what, path, _roots(what, path))
        for file in _walk(each):
            facts = file.lstat()
            each.n_files += 1
            each.freed += facts.st_blocks * 512 if facts.st_nlink == 1 else 0
        # By default the models' directory is inside that of the conversations.
        each.foreign += [
            child for child in sorted(path.iterdir()) if child != paths.models and not _holds(child, each.roots)
        ]
        found.append(each)
    return found


def remove(each: OwnedFiles) -> list[str]:
    """Remove the files; return a line for each that could not be removed."""
    failures = []
    each.roots = _roots(each.what, each.path)  # the stopped engine has written its metrics
    for file in list(_walk(each)):
        try:
            file.unlink()
        except OSError as error:
            failures.append(f"{file}: {error.strerror}")
    for root in each.roots:
        for directory, _, _ in os.walk(root, topdown=False):
            _rmdir(directory)
        _rmdir(root.parent)
    _rmdir(each.path)
    return failures


def _rmdir(directory: str | Path) -> None:
    try:
        os.rmdir(directory)  # noqa: PTH106 - as os.walk gives it
    except OSError:
        return  # not empty, or a mount point


def _roots(what: str, path: Path) -> tuple[Path, ...]:
    if what == "models":
        return _store(path)
    return tuple(sorted({found for pattern in _PATTERNS[what] for found in path.glob(pattern)}))


def _store(models: Path) -> tuple[Path, ...]:
    hidden = tuple(each for name in (STAGING, LOCKS, QUARANTINE) if (each := models / name).is_dir())
    return (*(each for each in quant_directories(models) if (each / CURRENT).is_file()), *hidden)


def _holds(child: Path, roots: tuple[Path, ...]) -> bool:
    return any(root == child or root.is_relative_to(child) for root in roots)


def _walk(each: OwnedFiles) -> Iterator[Path]:
    """Yield every file to remove, links included; others are added to ``foreign``."""
    device = each.path.lstat().st_dev
    for root in each.roots:
        if root.is_symlink():
            yield root
            continue
        if not root.is_dir():
            if _is_own(root.lstat()):
                yield root
            else:
                _keep(each, root)
            continue
        for directory, below, files in os.walk(root):
            here = Path(directory)
            for name in list(below):
                child = here / name
                facts = child.lstat()
                if stat.S_ISLNK(facts.st_mode):
                    yield child
                elif facts.st_dev != device or not _is_own(facts):
                    below.remove(name)
                    _keep(each, child)
            for name in files:
                if _is_own((here / name).lstat()):
                    yield here / name
                else:
                    _keep(each, here / name)


def _keep(each: OwnedFiles, path: Path) -> None:
    if path not in each.foreign:
        each.foreign.append(path)


def _is_own(facts: os.stat_result) -> bool:
    return os.geteuid() in (0, facts.st_uid)
