"""The model store: versions of each model side by side, one pointer to the current one, and nothing half installed.

``installed.py`` describes the layout on disk and reads it. Every change to one ``NAME:QUANT`` is made under its lock,
by ``install.py``. Knows no network, no header format and no catalog.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from edgechat.errors import ModelNotFoundError, StateError, UsageError
from edgechat.files import make_directory, reporting
from edgechat.locks import lock, try_lock
from edgechat.models.store.install import LockedModel, quarantined_versions, size_of
from edgechat.models.store.installed import MANIFEST, quant_directories, valid_name, valid_quant, version_history

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edgechat.locks import Lock
    from edgechat.paths import Paths

STAGING = ".staging"
LOCKS = ".locks"
QUARANTINE = ".quarantine"


class Store:
    """The store below ``paths.models``.

    Args:
        paths: the directories of edgechat.
        checkpoint: called with the name of each step as it is done; tests stop the process there.
    """

    def __init__(self, paths: Paths, *, checkpoint: Callable[[str], None] = lambda _: None) -> None:
        self.paths = paths
        self.root = paths.models
        self.checkpoint = checkpoint

    def lock(self, name: str, quant: str, *, waiting: Callable[[], None] | None = None) -> LockedModel:
        """Lock ``name:quant`` for changes; waits for another command that has it and calls ``waiting`` first.

        Raises:
            StateError: the store cannot be written, or its disk is not mounted.
            UsageError: the name or the quantization cannot be a directory's name.
        """
        return self._locked(name, quant, lock(self._lock_path(name, quant), waiting=waiting))

    def try_lock(self, name: str, quant: str) -> LockedModel | None:
        """:meth:`lock` without waiting; None while another command has it."""
        held = try_lock(self._lock_path(name, quant))
        return None if held is None else self._locked(name, quant, held)

    def remove(self, name: str, quant: str) -> int:
        """Remove all of ``name:quant``: versions, interrupted downloads, quarantine; returns the bytes freed.

        Raises:
            ModelNotFoundError: there is nothing of that name.
            StateError: it is loaded or being fetched, or cannot be removed.
        """
        directory, staging = self.directory(name, quant), self._staging(name, quant)
        folder = self.root / QUARANTINE
        with reporting("read", folder):
            damaged = quarantined_versions(folder, name, quant)
        if not directory.exists() and not staging.exists() and not damaged:
            raise ModelNotFoundError(f"{name}:{quant} is not in the store.", hint="See: edgechat models list")
        locked = self.try_lock(name, quant)
        if locked is None:
            raise StateError(
                f"{name}:{quant} is being fetched or changed by another edgechat command.",
                hint="Wait for it or stop it, then remove the model.",
            )
        with locked:
            return locked.remove()

    def unfinished(self) -> dict[str, int]:
        """Bytes that interrupted downloads hold, by ``NAME:QUANT``."""
        return {label: size for label, size in self._sizes(STAGING).items() if size}

    def quarantined(self) -> dict[str, int]:
        """Bytes that damaged versions hold, by ``NAME:QUANT``."""
        return self._sizes(QUARANTINE)

    def finish_removals(self) -> None:
        """Finish the removals that a killed process had begun; models that another command is changing are left out."""
        folder = self.root / STAGING
        with reporting("read", folder):
            models = [entry.name.partition("+") for entry in folder.iterdir()] if folder.is_dir() else []
        for name, _, quant in models:
            if valid_name(name) and valid_quant(quant) and (locked := self.try_lock(name, quant)) is not None:
                with locked:
                    locked.finish_removals()

    def directory(self, name: str, quant: str) -> Path:
        """The directory of the versions of ``name:quant``.

        Raises:
            UsageError: the name or the quantization cannot be a directory's name.
        """
        if not valid_name(name) or not valid_quant(quant):
            raise UsageError(
                f"{name}:{quant} cannot be the name of a model.",
                hint="Names are lower case with digits, dots and dashes; quantizations are upper case.",
            )
        return self.root / name / quant

    def find_content(self, sha256: str) -> Path | None:
        """An installed file of any model that has these bytes, by the manifests."""
        with contextlib.suppress(OSError):
            for directory in quant_directories(self.root):
                for path, digest in _files_of(directory):
                    if digest == sha256:
                        return path
        return None

    def _locked(self, name: str, quant: str, held: Lock) -> LockedModel:
        return LockedModel(
            name,
            quant,
            held,
            directory=self.directory(name, quant),
            staging=self._staging(name, quant),
            quarantine=self.root / QUARANTINE,
            checkpoint=self.checkpoint,
        )

    def _staging(self, name: str, quant: str) -> Path:
        return self.root / STAGING / self.directory(name, quant).relative_to(self.root).as_posix().replace("/", "+")

    def _lock_path(self, name: str, quant: str) -> Path:
        staging = self._staging(name, quant)
        folder = self.paths.require_models() / LOCKS
        with reporting("write", self.root):
            make_directory(folder)
        return folder / staging.name

    def _sizes(self, name: str) -> dict[str, int]:
        folder, sizes = self.root / name, dict[str, int]()
        with reporting("read", folder):
            for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
                label = ":".join(entry.name.split("+")[:2])
                sizes[label] = sizes.get(label, 0) + size_of(entry)
        return sizes


def _files_of(directory: Path) -> Iterator[tuple[Path, str]]:
    for version in version_history(directory):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            manifest = json.loads((directory / version / MANIFEST).read_bytes())
            for entry in manifest["files"]:
                yield directory / version / entry["name"], entry["sha256"]
