"""Bundles and model files on what is mounted here: a stick in the board, a disk, a share.

Only looks at names, two folders deep, and believes nothing it finds: ``carry.py`` verifies a bundle, ``add.py`` a file.
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
_MOST = 64
"""Folders looked into below one root: a mounted archive must not hold anybody up."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """Something that can be taken in."""

    path: Path
    is_bundle: bool
    """A signed bundle, for ``edgechat models import``; else one GGUF file, for ``edgechat models add``."""

    @property
    def label(self) -> str:
        """Its place, as it may be shown."""
        return clean_line(str(self.path))


def mounted(roots: Iterable[Path] = tuple(map(Path, _ROOTS))) -> list[Mounted]:
    """Every bundle and every GGUF file found there, bundles first. What cannot be read is left out."""
    found = [each for root in roots for each in _below(root)]
    return sorted(found, key=lambda each: (not each.is_bundle, str(each.path)))


def is_bundle(folder: Path) -> bool:
    """Whether a folder looks like what ``edgechat models export`` writes."""
    with contextlib.suppress(OSError):
        return (folder / "metadata").is_dir() and (folder / "targets").is_dir()
    return False


def _below(root: Path) -> Iterator[Mounted]:
    waiting, looked = [(root, 0)], 0
    while waiting and looked < _MOST:
        folder, depth = waiting.pop(0)
        looked += 1
        if is_bundle(folder):
            yield Mounted(folder, is_bundle=True)
            continue
        with contextlib.suppress(OSError):
            for entry in sorted(folder.iterdir()):
                if entry.suffix.lower() == ".gguf" and entry.is_file():
                    yield Mounted(entry, is_bundle=False)
                elif depth < _DEPTH and entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
                    waiting.append((entry, depth + 1))
