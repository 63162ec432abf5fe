"""Finds bundles and model files on mounted media: a stick in the board, a disk, a share.

Reads names only and checks nothing: ``import_bundle.py`` verifies a bundle, ``add.py`` a file.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ROOTS = ("/media", "/run/media", "/mnt", "/Volumes")
_DEPTH = 3
"""``/run/media/USER/STICK/BUNDLE``."""
_MAX_DIRECTORIES = 64
"""Directories listed below one root, at most, so that a large mounted archive takes no long time."""


@dataclass(frozen=True, slots=True)
class MountedItem:
    """A bundle or a model file on mounted media."""

    path: Path
    is_bundle: bool
    """A signed bundle, for ``edgechat models import``; else one GGUF file, for ``edgechat models add``."""

    @property
    def label(self) -> str:
        """Its path without control characters."""
        return clean_line(str(self.path))


def find_mounted(roots: Iterable[Path] = tuple(map(Path, _ROOTS))) -> list[MountedItem]:
    """Every bundle and every GGUF file below ``roots``, bundles first; unreadable directories are left out."""
    found = [each for root in roots for each in _below(root)]
    return sorted(found, key=lambda each: (not each.is_bundle, str(each.path)))


def is_bundle(folder: Path) -> bool:
    """Whether a directory has the layout that ``edgechat models export`` writes."""
    with contextlib.suppress(OSError):
        return (folder / "metadata").is_dir() and (folder / "targets").is_dir()
    return False


def _below(root: Path) -> Iterator[MountedItem]:
    waiting, looked = [(root, 0)], 0
    while waiting and looked < _MAX_DIRECTORIES:
        folder, depth = waiting.pop(0)
        looked += 1
        if is_bundle(folder):
            yield MountedItem(folder, is_bundle=True)
            continue
        with contextlib.suppress(OSError):
            for entry in sorted(folder.iterdir()):
                if entry.suffix.lower() == ".gguf" and entry.is_file():
                    yield MountedItem(entry, is_bundle=False)
                elif depth < _DEPTH and entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
                    waiting.append((entry, depth + 1))
