"""Export of installed models to a signed bundle in a directory, on a USB stick for instance.

Every byte is hashed while it is copied and compared with the installed sha256. ``timestamp.json`` is replaced last, so
the directory holds the old bundle or the new one. ``manifest.py`` defines the contents, ``signing.py`` the keys.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgechat.errors import TransferError
from edgechat.files import make_directory, reporting, sync_directory, write_all, write_atomically
from edgechat.models.bundle.kit import Kit, installer_files, remove_installer, write_installer
from edgechat.models.bundle.manifest import (
    CONTENT,
    TARGETS,
    BundleContents,
    BundledApp,
    BundledFile,
    BundledModel,
    stored_name,
    to_json,
)
from edgechat.models.bundle.signing import NEVER, Publisher
from edgechat.models.bundle.trust import METADATA
from edgechat.models.store.disk_space import require_space
from edgechat.models.store.install import ModelFacts
from edgechat.ownership import open_own
from edgechat.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from tuf.api.metadata import TargetFile

    from edgechat.models.catalog.licences import LicenceAcceptance
    from edgechat.models.store.installed import InstalledModel

PART_BYTES = 4_000_000_000
"""Size of one part: FAT32 allows files of 4 GiB - 1."""
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Exported:
    """The outcome of an export."""

    fingerprint: str
    number: int
    size: int
    """Bytes written."""


def export(
    models: Sequence[InstalledModel],
    target: Path,
    signer: Publisher,
    *,
    acceptances: Iterable[LicenceAcceptance] = (),
    kit: Kit | None = None,
    progress: Progress = SILENT,
    part_bytes: int = PART_BYTES,
    checkpoint: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write a bundle of these models into the directory ``target``, replacing the bundle in it.

    Args:
        models: the models.
        target: the directory.
        signer: whose keys sign it.
        acceptances: of the models' licences.
        kit: edgechat itself, to be installed from there.
        progress: is told about every block.
        part_bytes: size of the parts that a model's file is cut into.
        checkpoint: is called between the steps, for tests.

    Raises:
        StateError: ``target`` cannot be written or has too little space.
        TransferError: an installed file has changed since it was installed.
    """
    folder = target / TARGETS
    with reporting("write", target):
        make_directory(folder)
        make_directory(target / METADATA)
    need = sum(model.file_bytes + (model.mmproj.stat().st_size if model.mmproj else 0) for model in models)
    need += sum(wheel.stat().st_size for wheel in kit.wheels) if kit is not None else 0
    require_space(folder, need, "The bundle", margin=BLOCK, hint="Use a larger stick.")
    files = _TargetFiles(folder, part_bytes, progress)
    try:
        bundled = tuple(_copy_model(model, files) for model in models)
        number = signer.count_export()
        app = None if kit is None else _copy_kit(kit, number, files)
        files.add_small(CONTENT, to_json(BundleContents(bundled, tuple(acceptances), app)))
        checkpoint("files-written")
        files.place()
    except BaseException:
        files.drop()
        raise
    checkpoint("files-placed")
    remove_installer(target)  # until all of the new bundle is there
    _sign(target / METADATA, signer, number, files.listed, checkpoint)
    _remove_old_files(target, number, len(signer.roots), files.listed)
    checkpoint("old-removed")
    if kit is not None:
        write_installer(target)
    return Exported(signer.fingerprint, number, sum(file.length for file in files.listed.values()))


@dataclass
class _TargetFiles:
    """The targets while they are written: hidden until all are complete, since readers refuse unlisted files."""

    folder: Path
    part_bytes: int
    progress: Progress
    listed: dict[str, TargetFile] = field(default_factory=dict)

    def copy(self, path: Path, stem: str, sha256: str | None, label: str) -> tuple[int, str, tuple[str, ...]]:
        """Copy one file in parts, hashing the whole and each part in one pass; returns size, sha256 and part names."""
        whole = hashlib.sha256()
        size = path.stat().st_size
        names = tuple(f"{stem}.{number:03}" for number in range(-(-size // self.part_bytes)))
        self.progress.begin(f"{label} to {self.folder.parent}", size)
        try:
            with reporting("copy", path), path.open("rb", buffering=0) as source:
                for name in names:
                    self._copy_part(source.fileno(), name, whole.update)
        finally:
            self.progress.end()
        if sha256 not in {None, whole.hexdigest()}:
            raise TransferError(
                f"{path} has changed since it was installed.", hint=f"Run: edgechat models verify {label}"
            )
        return size, whole.hexdigest(), names

    def copy_whole(self, path: Path) -> str:
        """Copy a file under its own name, in one part; returns its sha256."""
        with reporting("copy", path):
            content = path.read_bytes()
        self.add_small(path.name, content)
        return hashlib.sha256(content).hexdigest()

    def add_small(self, name: str, content: bytes) -> None:
        """Write a file that fits the memory."""
        with reporting("write", self.folder / name):
            write_atomically(self._hidden(name), content)
        self._list(name, len(content), hashlib.sha256(content).hexdigest())

    def place(self) -> None:
        """Rename every file to its signed name."""
        with reporting("write", self.folder):
            for name, file in self.listed.items():
                self._hidden(name).replace(self.folder / stored_name(name, file.hashes["sha256"]))
            sync_directory(self.folder)

    def drop(self) -> None:
        """Remove the files that have not been renamed."""
        for path in self.folder.glob(".*.new"):
            with contextlib.suppress(OSError):
                path.unlink()

    def _copy_part(self, source: int, name: str, update: Callable[[bytes], None]) -> None:
        hasher, at = hashlib.sha256(), 0
        handle = open_own(self._hidden(name), os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode=0o644)
        try:
            while at < self.part_bytes and (block := os.read(source, min(BLOCK, self.part_bytes - at))):
                write_all(handle, block, at)
                hasher.update(block)
                update(block)
                at += len(block)
                self.progress.advance(len(block))
            os.fsync(handle)
        finally:
            os.close(handle)
        self._list(name, at, hasher.hexdigest())

    def _list(self, name: str, size: int, sha256: str) -> None:
        from tuf.api.metadata import TargetFile  # noqa: PLC0415 - 0.1 s

        self.listed[name] = TargetFile(size, {"sha256": sha256}, name)

    def _hidden(self, name: str) -> Path:
        return self.folder / f".{name}.new"


def _copy_model(model: InstalledModel, files: _TargetFiles) -> BundledModel:
    wanted = [("model", model.path, model.sha256)]
    if model.mmproj is not None:
        wanted.append(("mmproj", model.mmproj, model.mmproj_sha256))
    copied = []
    for role, path, sha256 in wanted:
        size, digest, parts = files.copy(path, f"{model.name}-{model.quant}-{role}", sha256, model.label)
        copied.append(BundledFile(role, path.name, size, digest, parts))
    facts = ModelFacts(
        languages=model.languages,
        licence=model.licence,
        sampling=dict(model.sampling),
        thinking=dict(model.thinking),
        prompts=dict(model.prompts),
        n_ctx_max=model.n_ctx_max,
    )
    return BundledModel(model.name, model.quant, model.source, tuple(copied), facts)


def _copy_kit(kit: Kit, number: int, files: _TargetFiles) -> BundledApp:
    wheels = {wheel.name: files.copy_whole(wheel) for wheel in kit.wheels}
    installer = {name: hashlib.sha256(content).hexdigest() for name, content in installer_files().items()}
    return BundledApp(f"{kit.version}-{number}", kit.version, kit.target, wheels, installer)


def _sign(
    folder: Path, signer: Publisher, number: int, listed: dict[str, TargetFile], checkpoint: Callable[[str], None]
) -> None:
    from tuf.api.metadata import Metadata, MetaFile, Snapshot, Targets, Timestamp  # noqa: PLC0415

    def signed(value: Any) -> tuple[bytes, MetaFile]:  # noqa: ANN401 - any of TUF's roles
        metadata = Metadata(value)
        metadata.sign(signer.publisher_key)
        content = metadata.to_bytes()
        return content, MetaFile(number, len(content), {"sha256": hashlib.sha256(content).hexdigest()})

    targets, targets_meta = signed(Targets(version=number, expires=NEVER, targets=listed))
    snapshot, snapshot_meta = signed(Snapshot(version=number, expires=NEVER, meta={"targets.json": targets_meta}))
    timestamp, _ = signed(Timestamp(version=number, expires=NEVER, snapshot_meta=snapshot_meta))
    with reporting("write", folder):
        for version, root in enumerate(signer.roots, start=1):
            write_atomically(folder / f"{version}.root.json", root)
        write_atomically(folder / f"{number}.targets.json", targets)
        write_atomically(folder / f"{number}.snapshot.json", snapshot)
        checkpoint("metadata-written")
        write_atomically(folder / "timestamp.json", timestamp)
    checkpoint("timestamp-replaced")


def _remove_old_files(target: Path, number: int, n_roots: int, listed: dict[str, TargetFile]) -> None:
    """Remove the files of an older bundle."""
    kept = {f"{version}.root.json" for version in range(1, n_roots + 1)}
    kept |= {"timestamp.json", f"{number}.snapshot.json", f"{number}.targets.json"}
    kept |= {stored_name(name, file.hashes["sha256"]) for name, file in listed.items()}
    with reporting("remove", target):
        for folder in (target / METADATA, target / TARGETS):
            for path in folder.iterdir():
                if path.name not in kept and not path.is_dir():
                    path.unlink()
            sync_directory(folder)
