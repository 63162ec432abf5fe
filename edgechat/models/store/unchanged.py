"""Whether the files of an installed model are the ones whose sha256 was recorded, checked at each load.

Hashing takes seconds for each gigabyte, so inode, size and time of modification are compared, and the file is hashed
only when they differ: after a restore from a backup, on exFAT after each mount, or because another program that holds a
hard link to the file has written to it. What was found right is kept in the cache.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edgechat.errors import InvalidModelFileError
from edgechat.files import make_directory, write_json
from edgechat.models.store.installed import MANIFEST, InstalledModel, read_manifest, stamp_of
from edgechat.models.store.verify import file_sha256

if TYPE_CHECKING:
    from pathlib import Path

_FOLDER = "verified"


def changed_files(model: InstalledModel) -> list[Path]:
    """The files of a model whose inode, size or time differ from those at its installation."""
    files = [(model.path, model.stamp), (model.mmproj, model.mmproj_stamp)]
    return [path for path, stamp in files if path is not None and stamp_of(path.stat()) != stamp]


def require_unchanged(path: Path, cache: Path) -> None:
    """Check a model before it is loaded; a file outside the store is not checked.

    Args:
        path: the GGUF file.
        cache: the cache directory, where the result is kept.

    Raises:
        InvalidModelFileError: a file is not the one that was installed.
        StateError: it cannot be read.
    """
    if not (path.parent / MANIFEST).is_file():
        return
    try:
        model = read_manifest(path.parent)
    except (OSError, ValueError) as error:
        raise InvalidModelFileError(
            f"{path.parent} cannot be loaded: {error}.", hint="Check it: edgechat models verify"
        ) from error
    for file, expected in ((model.path, model.sha256), (model.mmproj, model.mmproj_sha256)):
        if file is None or file not in changed_files(model):
            continue
        stamp = stamp_of(file.stat())
        kept = cache / _FOLDER / f"{expected}.json"
        if _read(kept) == stamp:
            continue
        if file_sha256(file) != expected or stamp_of(file.stat()) != stamp:
            raise InvalidModelFileError(
                f"{file.name} of {model.label} has changed since it was installed, and is not loaded.",
                hint=f"Check it, and fetch or add it again: edgechat models verify {model.label}",
            )
        make_directory(kept.parent)
        write_json(kept, stamp, sync=False)


def _read(kept: Path) -> list[int] | None:
    try:
        value = json.loads(kept.read_bytes())
    except (OSError, ValueError):
        return None  # absent or damaged: the file is hashed again
    return value if isinstance(value, list) else None
