"""The right to change one ``NAME:QUANT`` of the store, and every change that can be made with it.

Each change ends with one rename that makes it visible, so that a process killed at any step leaves the old or the new
version. Which models there are is ``store.py``'s; the layout is told in ``installed.py``.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgechat.errors import StateError
from edgechat.files import make_directory, reporting, sync_directory, write_atomically, write_json
from edgechat.locks import IN_USE, Lock, try_lock
from edgechat.models.store.installed import (
    CURRENT,
    MANIFEST,
    MANIFEST_FORMAT,
    InstalledModel,
    read_manifest,
    version_history,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from edgechat.models.store.store import Store

    Acceptor = Callable[[InstalledModel], None]
    """Tries a new version before it is used; raises to refuse it."""

KEPT_VERSIONS = 2
"""The current version and the one before it, for ``rollback``."""
_VERSION_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Facts:
    """What a manifest keeps about a model so that a cold start needs no catalog. Fields as in InstalledModel."""

    languages: tuple[str, ...] = ()
    licence: str = ""
    sampling: Mapping[str, float] = field(default_factory=dict)
    thinking: Mapping[str, bool] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)
    n_ctx_max: int | None = None


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A verified file that waits in the staging directory of its model."""

    role: str
    """``model`` or ``mmproj``."""
    path: Path
    name: str
    """Its name once installed."""
    size: int
    sha256: str


def version_of(digests: Sequence[str]) -> str:
    """The version's name: it follows from the sha256 of its files, so equal bytes are one version."""
    joined = digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()
    return joined[:_VERSION_DIGITS]


class Claim:
    """The right to change one ``NAME:QUANT``, held until closed."""

    def __init__(self, store: Store, name: str, quant: str, held: Lock) -> None:
        self.store, self.name, self.quant, self._held = store, name, quant, held
        self.directory = store.directory(name, quant)
        self.staging = store.staging(name, quant)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for folder in (self.staging, self.staging.parent):
            with contextlib.suppress(OSError):  # only empty ones go, and none of them matters
                folder.rmdir()
        self._held.close(remove=True)

    def part(self, sha256: str) -> Path:
        """Where the file with these bytes grows. The directory exists when this returns."""
        with reporting("write", self.staging):
            make_directory(self.staging)
        return self.staging / f"{sha256[:16]}.part"

    def installed(self, version: str) -> InstalledModel | None:
        """That version when it is complete, else None; not necessarily the current one."""
        try:
            return read_manifest(self.directory / version)
        except (OSError, ValueError):
            return None

    def recover(self, version: str, files: Mapping[str, str]) -> None:
        """Take back what a killed :meth:`publish` had already moved; ``files`` maps names to sha256."""
        folder = self.directory / version
        if not folder.is_dir() or self.installed(version) is not None:
            return
        with reporting("write", folder):
            for name, sha256 in files.items():
                if (folder / name).is_file():
                    (folder / name).replace(self.part(sha256))
            self._discard(folder)

    def publish(
        self, files: Sequence[StagedFile], facts: Facts, source: str, *, accept: Acceptor = lambda _: None
    ) -> InstalledModel:
        """Make the staged files the current version.

        The steps, each with its checkpoint: the version's directory; each file into it; the manifest, from which on
        the version exists; ``accept``, which may try it and raise; the pointer, from which on it is used; old
        versions beyond ``KEPT_VERSIONS`` go.

        Raises:
            StateError: the disk refuses; nothing has changed then.
            EdgechatError: what ``accept`` raises; the version that was in use stays so, and the new one is removed.
        """
        version = version_of([file.sha256 for file in files])
        folder = self.directory / version
        if self.installed(version) is None:
            try:
                with reporting("write", folder):
                    self._lay_out(folder, files, self._manifest(version, files, facts, source))
            except StateError:
                shutil.rmtree(folder, ignore_errors=True)
                self._drop_empty()
                raise
        self.accept(version, accept)
        for file in files:
            file.path.unlink(missing_ok=True)
        self.prune()
        with reporting("read", folder):
            return read_manifest(folder)

    def accept(self, version: str, accept: Acceptor) -> None:
        """Try a complete version and make it the current one, or remove it when ``accept`` raises.

        Raises:
            EdgechatError: what ``accept`` raises. A version that was in use before is kept whatever it says.
        """
        try:
            with reporting("read", self.directory):
                accept(read_manifest(self.directory / version))
        except BaseException:
            with contextlib.suppress(OSError):
                if version not in version_history(self.directory):
                    self._discard(self.directory / version)
                    self._drop_empty()
            raise
        self.store.checkpoint("accepted")
        self.switch(version)

    def switch(self, version: str) -> None:
        """Make an installed version the current one; the others keep their order behind it."""
        with reporting("write", self.directory / CURRENT):
            history = version_history(self.directory)
            if history[:1] != [version]:
                order = [version, *(other for other in history if other != version)]
                write_atomically(self.directory / CURRENT, ("\n".join(order) + "\n").encode())
        self.store.checkpoint("pointer-switched")

    def prune(self) -> None:
        """Remove versions beyond the kept ones; one that is loaded stays until the next time."""
        with reporting("remove", self.directory):
            history = version_history(self.directory)
            kept = history[:KEPT_VERSIONS]
            for folder in self._versions():
                if folder.name not in kept and (held := _unused(folder)) is not None:
                    with held:
                        self._discard(folder)
            if kept != history:
                write_atomically(self.directory / CURRENT, ("\n".join(kept) + "\n").encode())
        self.store.checkpoint("old-pruned")

    def remove(self) -> int:
        """Remove every version, what is staged and what is in quarantine; the bytes that were freed.

        Raises:
            StateError: a version is loaded, or the disk refuses.
        """
        with contextlib.ExitStack() as stack:
            for folder in self._versions():
                held = _unused(folder)
                if held is None:
                    raise StateError(
                        f"{self.name}:{self.quant} is loaded by a running engine.",
                        hint="Stop it first: edgechat stop",
                    )
                stack.enter_context(held)
            with reporting("remove", self.directory):
                freed = _freed(self.directory) + _freed(self.staging)
                for damaged in self.store.quarantine(self.name, self.quant):
                    freed += _freed(damaged)
                    shutil.rmtree(damaged)
                if self.directory.exists():
                    self._discard(self.directory)
                    self._drop_empty()
                self.store.checkpoint("removed")
                shutil.rmtree(self.staging, ignore_errors=True)
        return freed

    def tidy(self) -> None:
        """Finish removals that were begun, and drop versions that never became complete."""
        with reporting("remove", self.staging):
            for leftover in self.staging.glob("*.removed*"):
                shutil.rmtree(leftover)

    def _lay_out(self, folder: Path, files: Sequence[StagedFile], manifest: dict[str, object]) -> None:
        make_directory(folder)
        (folder / IN_USE).touch(mode=0o600)
        self.store.checkpoint("version-made")
        for file in files:
            file.path.replace(folder / file.name)
            self.store.checkpoint(f"{file.role}-moved")
        sync_directory(folder)
        write_json(folder / MANIFEST, manifest)
        self.store.checkpoint("manifest-written")

    def _manifest(self, version: str, files: Sequence[StagedFile], facts: Facts, source: str) -> dict[str, object]:
        return {
            "format": MANIFEST_FORMAT,
            "name": self.name,
            "quant": self.quant,
            "version": version,
            "source": source,
            "files": [
                {"role": file.role, "name": file.name, "bytes": file.size, "sha256": file.sha256} for file in files
            ],
            "languages": list(facts.languages),
            "licence": facts.licence,
            "sampling": dict(facts.sampling),
            "thinking": dict(facts.thinking),
            "prompts": dict(facts.prompts),
            "n_ctx_max": facts.n_ctx_max,
        }

    def _versions(self) -> Iterator[Path]:
        if self.directory.is_dir():
            yield from sorted(entry for entry in self.directory.iterdir() if entry.is_dir())

    def _discard(self, folder: Path) -> None:
        """Out of sight with one rename, then away; a process killed in between leaves work for :meth:`tidy`."""
        make_directory(self.staging)
        number = 0
        while (away := self.staging / f"{folder.name}.removed{number}").exists():
            number += 1
        folder.replace(away)
        sync_directory(folder.parent)
        self.store.checkpoint("out-of-sight")
        shutil.rmtree(away)

    def _drop_empty(self) -> None:
        with contextlib.suppress(OSError):  # another quantization or version lies there
            self.directory.rmdir()
        with contextlib.suppress(OSError):
            self.directory.parent.rmdir()


def _unused(folder: Path) -> Lock | None:
    """The exclusive lock of a version, or None while an engine has it loaded."""
    return try_lock(folder / IN_USE)


def size_of(folder: Path) -> int:
    """Bytes of all files below ``folder``."""
    return sum(path.lstat().st_size for path in _plain_files(folder))


def _freed(folder: Path) -> int:
    """What removing gives back: not the bytes that another name, of another program perhaps, still holds."""
    return sum(path.lstat().st_size for path in _plain_files(folder) if path.lstat().st_nlink == 1)


def _plain_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()] if folder.is_dir() else []
