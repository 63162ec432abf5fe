"""Changes to one ``NAME:QUANT`` of the store, made under its lock: install, switch, prune, remove, quarantine.

Each change ends with one rename that makes it visible, so that a process killed at any step leaves the old or the new
version. ``store.py`` takes the lock; ``installed.py`` describes the layout on disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, TypeVar

from edgechat.errors import StateError
from edgechat.files import make_directory, reporting, sync_directory, write_atomically, write_json
from edgechat.locks import IN_USE, Lock, try_lock
from edgechat.models.store.installed import (
    CURRENT,
    MANIFEST,
    MANIFEST_FORMAT,
    InstalledModel,
    read_manifest,
    stamp_of,
    version_history,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from edgechat.models.catalog.entry import CatalogEntry

    Acceptor = Callable[[InstalledModel], None]
    """Tries a new version before it is used; raises to refuse it."""

KEPT_VERSIONS = 2
"""The current version and the one before it, for ``rollback``."""
_VERSION_DIGITS = 12


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a manifest keeps about a model so that a cold start needs no catalog. Fields as in InstalledModel."""

    languages: tuple[str, ...] = ()
    licence: str = ""
    sampling: Mapping[str, float] = field(default_factory=dict)
    thinking: Mapping[str, bool] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)
    n_ctx_max: int | None = None


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a version."""

    role: str
    """``model`` or ``mmproj``."""
    name: str
    """Its file name in the version's directory."""
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StagedFile(ModelFile):
    """A verified file in the staging directory of its model."""

    path: Path


F = TypeVar("F", bound=ModelFile)


def facts_of(entry: CatalogEntry) -> ModelFacts:
    """The facts of a catalog entry that a manifest keeps."""
    return ModelFacts(
        languages=entry.languages,
        licence=entry.licence,
        sampling=entry.sampling.values() if entry.sampling else {},
        thinking=entry.chat.thinking_off,
        prompts=entry.prompts,
        n_ctx_max=entry.n_ctx_max,
    )


def version_of(files: Iterable[ModelFile]) -> str:
    """The name of the version that these files make: it follows from their sha256, so equal bytes are one version."""
    digests = [file.sha256 for file in files]
    joined = digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()
    return joined[:_VERSION_DIGITS]


class LockedModel:
    """One ``NAME:QUANT`` of the store, locked for changes until it is closed; made by ``Store.lock``.

    ``checkpoint`` is called with the name of each step as it is done.
    """

    def __init__(
        self,
        name: str,
        quant: str,
        held: Lock,
        *,
        directory: Path,
        staging: Path,
        quarantine: Path,
        checkpoint: Callable[[str], None],
    ) -> None:
        self.name, self.quant, self._held = name, quant, held
        self.directory, self.staging, self._quarantine = directory, staging, quarantine
        self.checkpoint = checkpoint

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for folder in (self.staging, self.staging.parent):
            with contextlib.suppress(OSError):  # removed only when empty
                folder.rmdir()
        self._held.close(remove=True)

    def installed(self, version: str) -> InstalledModel | None:
        """That version when it is complete, else None; not necessarily the current one."""
        try:
            return read_manifest(self.directory / version)
        except (OSError, ValueError):
            return None

    def reuse(self, files: Iterable[ModelFile], accept: Acceptor) -> InstalledModel | None:
        """Make the version that these files make the current one if it is installed already, else return None.

        Raises:
            EdgechatError: what ``accept`` raises; it is not asked about a version that is in use.
        """
        version = version_of(files)
        self.finish_removals()
        if (model := self.installed(version)) is not None and version_history(self.directory)[:1] != [version]:
            self._accept(version, accept)
        return model

    def stage(self, files: Sequence[F], obtain: Callable[[F, Path], None]) -> list[StagedFile]:
        """Complete every file in the staging directory.

        Args:
            files: all files of one version.
            obtain: gets a file and the path of its part; completes the part or raises.
        """
        self._recover(files)
        staged = []
        for file in files:
            part = self._part(file)
            obtain(file, part)
            staged.append(StagedFile(file.role, file.name, file.size, file.sha256, part))
        return staged

    def remove_parts(self, keep: Iterable[ModelFile]) -> None:
        """Remove the parts of interrupted downloads but those of the files to keep."""
        kept = tuple(_part_name(file) for file in keep)
        with reporting("remove", self.staging):
            for path in self.staging.iterdir() if self.staging.is_dir() else ():
                if path.is_file() and not path.name.startswith(kept):
                    path.unlink()

    def publish(
        self, files: Sequence[StagedFile], facts: ModelFacts, source: str, *, accept: Acceptor = lambda _: None
    ) -> InstalledModel:
        """Make the staged files the current version.

        The steps, each with its checkpoint: the version's directory; each file into it; the manifest, from which on it
        exists; ``accept``, which may try it and raise; the pointer, from which on it is used; versions to prune.

        Raises:
            StateError: the disk refuses; nothing has changed then.
            EdgechatError: what ``accept`` raises; the version that was in use stays so, and the new one is removed.
        """
        version = version_of(files)
        folder = self.directory / version
        if self.installed(version) is None:
            try:
                with reporting("write", folder):
                    self._move_into(folder, files, self._manifest(version, files, facts, source))
            except StateError:
                shutil.rmtree(folder, ignore_errors=True)
                self._remove_empty_directories()
                raise
        self._accept(version, accept)
        for file in files:
            file.path.unlink(missing_ok=True)
        self._prune()
        with reporting("read", folder):
            return read_manifest(folder)

    def switch(self, version: str) -> None:
        """Make an installed version the current one; the others keep their order behind it."""
        with reporting("write", self.directory / CURRENT):
            history = version_history(self.directory)
            if history[:1] != [version]:
                self._write_history([version, *(other for other in history if other != version)])
        self.checkpoint("pointer-switched")

    def remove(self) -> int:
        """Remove every version, the staged files and the quarantine of this model; returns the bytes freed.

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
                for damaged in quarantined_versions(self._quarantine, self.name, self.quant):
                    freed += _freed(damaged)
                    shutil.rmtree(damaged)
                if self.directory.exists():
                    self._remove_version(self.directory)
                    self._remove_empty_directories()
                self.checkpoint("removed")
                shutil.rmtree(self.staging, ignore_errors=True)
        return freed

    def quarantine(self, version: str) -> list[str] | None:
        """Move a damaged version to the quarantine; returns the versions left, or None while an engine has it loaded.

        Raises:
            StateError: the disk refuses.
        """
        folder = self.directory / version
        with reporting("move", folder):
            if folder.is_dir():
                held = _unused(folder)
                if held is None:
                    return None
                with held:
                    target = self._quarantine / f"{self.name}+{self.quant}+{version}"
                    make_directory(target.parent)
                    number = 1
                    while target.exists():
                        number += 1
                        target = target.with_name(f"{self.name}+{self.quant}+{version}+{number}")
                    folder.replace(target)
                    sync_directory(target.parent)
                    self.checkpoint("quarantined")
            left = [other for other in version_history(self.directory) if other != version]
            self._write_history(left)
            self.checkpoint("pointer-corrected")
        return left

    def finish_removals(self) -> None:
        """Remove what a killed process had already moved out of the model's directory."""
        with reporting("remove", self.staging):
            for leftover in self.staging.glob("*.removed*"):
                shutil.rmtree(leftover)

    def _part(self, file: ModelFile) -> Path:
        """Path at which the file is completed; its directory exists."""
        with reporting("write", self.staging):
            make_directory(self.staging)
        return self.staging / _part_name(file)

    def _recover(self, files: Sequence[ModelFile]) -> None:
        """Move the files of a version whose :meth:`publish` was killed back to the staging directory."""
        version = version_of(files)
        folder = self.directory / version
        if not folder.is_dir() or self.installed(version) is not None:
            return
        with reporting("write", folder):
            for file in files:
                if (folder / file.name).is_file():
                    (folder / file.name).replace(self._part(file))
            self._remove_version(folder)

    def _accept(self, version: str, accept: Acceptor) -> None:
        """Try a complete version and switch to it. When ``accept`` raises, remove it unless it was in use."""
        try:
            with reporting("read", self.directory):
                accept(read_manifest(self.directory / version))
        except BaseException:
            with contextlib.suppress(OSError):
                if version not in version_history(self.directory):
                    self._remove_version(self.directory / version)
                    self._remove_empty_directories()
            raise
        self.checkpoint("accepted")
        self.switch(version)

    def _prune(self) -> None:
        """Remove versions beyond ``KEPT_VERSIONS``; one that is loaded stays until the next time."""
        with reporting("remove", self.directory):
            history = version_history(self.directory)
            kept = history[:KEPT_VERSIONS]
            for folder in self._versions():
                if folder.name not in kept and (held := _unused(folder)) is not None:
                    with held:
                        self._remove_version(folder)
            if kept != history:
                self._write_history(kept)
        self.checkpoint("old-pruned")

    def _write_history(self, versions: Sequence[str]) -> None:
        pointer = self.directory / CURRENT
        if versions:
            write_atomically(pointer, ("\n".join(versions) + "\n").encode())
        else:
            pointer.unlink(missing_ok=True)
            sync_directory(self.directory)

    def _move_into(self, folder: Path, files: Sequence[StagedFile], manifest: dict[str, object]) -> None:
        make_directory(folder)
        (folder / IN_USE).touch(mode=0o600)
        self.checkpoint("version-made")
        for file in files:
            file.path.replace(folder / file.name)
            self.checkpoint(f"{file.role}-moved")
        sync_directory(folder)
        write_json(folder / MANIFEST, manifest)
        self.checkpoint("manifest-written")

    def _manifest(self, version: str, files: Sequence[StagedFile], facts: ModelFacts, source: str) -> dict[str, object]:
        return {
            "format": MANIFEST_FORMAT,
            "name": self.name,
            "quant": self.quant,
            "version": version,
            "source": source,
            "files": [
                {"role": f.role, "name": f.name, "bytes": f.size, "sha256": f.sha256, "stamp": stamp_of(f.path.stat())}
                for f in files
            ],
            **asdict(facts),
        }

    def _versions(self) -> Iterator[Path]:
        if self.directory.is_dir():
            yield from sorted(entry for entry in self.directory.iterdir() if entry.is_dir())

    def _remove_version(self, folder: Path) -> None:
        """Move the folder to the staging directory with one rename, then delete it there."""
        make_directory(self.staging)
        number = 0
        while (away := self.staging / f"{folder.name}.removed{number}").exists():
            number += 1
        folder.replace(away)
        sync_directory(folder.parent)
        self.checkpoint("out-of-sight")
        shutil.rmtree(away)

    def _remove_empty_directories(self) -> None:
        for folder in (self.directory, self.directory.parent):
            with contextlib.suppress(OSError):  # another quantization or version is there
                folder.rmdir()


def quarantined_versions(quarantine: Path, name: str, quant: str) -> list[Path]:
    """The damaged versions of ``name:quant``."""
    return sorted(quarantine.glob(f"{name}+{quant}+*")) if quarantine.is_dir() else []


def size_of(folder: Path) -> int:
    """Bytes of all files below ``folder``."""
    return sum(path.lstat().st_size for path in _plain_files(folder))


def _part_name(file: ModelFile) -> str:
    return f"{file.sha256[:16]}.part"


def _unused(folder: Path) -> Lock | None:
    """The exclusive lock of a version, or None while an engine has it loaded."""
    return try_lock(folder / IN_USE)


def _freed(folder: Path) -> int:
    """Bytes that removing ``folder`` frees: files that have another hard link do not count."""
    return sum(path.lstat().st_size for path in _plain_files(folder) if path.lstat().st_nlink == 1)


def _plain_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()] if folder.is_dir() else []
