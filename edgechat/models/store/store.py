"""The model store: versions of a model side by side, one pointer to the current one, nothing half done in sight.

The layout is told in ``installed.py``, which reads it. Every change to one ``NAME:QUANT`` is made under its lock, by
``claim.py``. Knows no network, no header format and no catalog.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from edgechat.errors import ModelNotFoundError, StateError, UsageError
from edgechat.files import make_directory, reporting
from edgechat.locks import lock, try_lock
from edgechat.models.store.install import Claim, size_of
from edgechat.models.store.installed import MANIFEST, quant_directories, valid_name, valid_quant, version_history

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edgechat.paths import Paths

STAGING = ".staging"
LOCKS = ".locks"
QUARANTINE = ".quarantine"


class Store:
    """The store below ``paths.models``.

    Args:
        paths: where it lies.
        checkpoint: called with the name of each step as it is done; tests stop the process there.
    """

    def __init__(self, paths: Paths, *, checkpoint: Callable[[str], None] = lambda _: None) -> None:
        self.paths = paths
        self.root = paths.models
        self.checkpoint = checkpoint

    def claim(self, name: str, quant: str, *, waiting: Callable[[], None] | None = None) -> Claim:
        """Take the one right to change ``name:quant``, waiting for whoever has it; ``waiting`` is called then.

        Raises:
            StateError: the store cannot be written, or its disk is not mounted.
            UsageError: the name or the quantization cannot be a directory's name.
        """
        return Claim(self, name, quant, lock(self._lock_path(name, quant), waiting=waiting))

    def try_claim(self, name: str, quant: str) -> Claim | None:
        """:meth:`claim`, or None when somebody else is changing that model."""
        held = try_lock(self._lock_path(name, quant))
        return None if held is None else Claim(self, name, quant, held)

    def remove(self, name: str, quant: str) -> int:
        """Remove all there is of ``name:quant``: versions, broken-off downloads, quarantine; the bytes that were freed.

        Raises:
            ModelNotFoundError: there is nothing of that name.
            StateError: it is loaded or being fetched at this moment, or cannot be removed.
        """
        directory, staging = self.directory(name, quant), self.staging(name, quant)
        if not directory.exists() and not staging.exists() and not self.quarantine(name, quant):
            raise ModelNotFoundError(f"{name}:{quant} is not in the store.", hint="See: edgechat models list")
        claim = self.try_claim(name, quant)
        if claim is None:
            raise StateError(
                f"{name}:{quant} is being fetched or changed by another edgechat command.",
                hint="Wait for it or stop it, then remove the model.",
            )
        with claim:
            return claim.remove()

    def unfinished(self) -> dict[str, int]:
        """Bytes that broken-off downloads hold, by ``NAME:QUANT``."""
        folder = self.root / STAGING
        with reporting("read", folder):
            if not folder.is_dir():
                return {}
            sizes = {entry.name.replace("+", ":"): size_of(entry) for entry in sorted(folder.iterdir())}
        return {label: size for label, size in sizes.items() if size}

    def quarantine(self, name: str, quant: str) -> list[Path]:
        """The damaged versions of ``name:quant`` that ``verify`` took out of use."""
        folder = self.root / QUARANTINE
        with reporting("read", folder):
            return sorted(folder.glob(f"{name}+{quant}+*")) if folder.is_dir() else []

    def quarantined(self) -> dict[str, int]:
        """Bytes that damaged versions hold, by ``NAME:QUANT``."""
        folder, sizes = self.root / QUARANTINE, dict[str, int]()
        with reporting("read", folder):
            for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
                label = ":".join(entry.name.split("+")[:2])
                sizes[label] = sizes.get(label, 0) + size_of(entry)
        return sizes

    def sweep(self) -> None:
        """Finish the removals that a killed process had begun, wherever nobody is at work."""
        folder = self.root / STAGING
        with reporting("read", folder):
            waiting = [entry.name.partition("+") for entry in folder.iterdir()] if folder.is_dir() else []
        for name, _, quant in waiting:
            if valid_name(name) and valid_quant(quant) and (claim := self.try_claim(name, quant)) is not None:
                with claim:
                    claim.tidy()

    def directory(self, name: str, quant: str) -> Path:
        """Where the versions of ``name:quant`` lie."""
        if not valid_name(name) or not valid_quant(quant):
            raise UsageError(
                f"{name}:{quant} cannot be the name of a model.",
                hint="Names are lower case with digits, dots and dashes; quantizations are upper case.",
            )
        return self.root / name / quant

    def staging(self, name: str, quant: str) -> Path:
        """Where files of ``name:quant`` wait until they are whole."""
        return self.root / STAGING / self.directory(name, quant).relative_to(self.root).as_posix().replace("/", "+")

    def same_content(self, sha256: str) -> Path | None:
        """An installed file that has these bytes, of whatever model."""
        with contextlib.suppress(OSError):
            for directory in quant_directories(self.root):
                for path, digest in _files_of(directory):
                    if digest == sha256:
                        return path
        return None

    def _lock_path(self, name: str, quant: str) -> Path:
        staging = self.staging(name, quant)
        folder = self.paths.require_models() / LOCKS
        with reporting("write", self.root):
            make_directory(folder)
        return folder / staging.name


def _files_of(directory: Path) -> Iterator[tuple[Path, str]]:
    for version in version_history(directory):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            manifest = json.loads((directory / version / MANIFEST).read_bytes())
            for entry in manifest["files"]:
                yield directory / version / entry["name"], entry["sha256"]
