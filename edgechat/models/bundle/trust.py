"""Trusted publishers, and the verification of a bundle's metadata against them.

Verifies in the order of The Update Framework (specification, section 5): each newer root, timestamp, snapshot, targets.
Each is signed by the keys named before it, and no version is lower than one accepted before. No clock is read.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from edgechat.errors import StateError, TransferError
from edgechat.files import make_directory, reporting, state_error, write_atomically
from edgechat.models.bundle.signing import fingerprint_of, parse_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

    from edgechat.paths import Paths

METADATA_LIMIT = 4 << 20
"""Bytes of one metadata file; a bundle of a thousand models needs a tenth of it."""
MAX_ROOTS = 1024
METADATA = "metadata"

S = TypeVar("S", "Root", "Snapshot", "Targets", "Timestamp")


class UntrustedError(TransferError):
    """A bundle whose publisher is not trusted here.

    Attributes:
        fingerprint: of its root key.
        root: its first root metadata, for :func:`trust_publisher`.
    """

    def __init__(self, fingerprint: str, root: bytes) -> None:
        super().__init__(
            f"The bundle is signed by {fingerprint}, which is not trusted here.",
            hint="Compare that with what the exporting machine shows (edgechat models keys list); then import with "
            f"--trust {fingerprint}",
        )
        self.fingerprint = fingerprint
        self.root = root


@dataclass(frozen=True, slots=True)
class TrustedPublisher:
    """A trusted publisher."""

    fingerprint: str
    folder: Path
    version: int
    """Number of the last accepted bundle; 0 when there is none."""


def trusted_publishers(paths: Paths) -> list[TrustedPublisher]:
    """Every trusted publisher.

    Raises:
        StateError: the record cannot be read.
    """
    folder = _folder(paths)
    with reporting("read", folder):
        entries = (
            sorted(entry for entry in folder.iterdir() if (entry / "root.json").exists()) if folder.exists() else []
        )
    return [TrustedPublisher(entry.name, entry, _accepted_version(entry)) for entry in entries]


def trust_publisher(paths: Paths, root: bytes) -> str:
    """Trust the holder of the root key of this first root metadata; returns the fingerprint.

    Raises:
        TransferError: the bytes are not root metadata signed by its own key.
        StateError: it cannot be recorded.
    """
    fingerprint = _self_signed(root)
    folder = _folder(paths) / fingerprint
    with reporting("write", folder):
        if not (folder / "root.json").exists():
            make_directory(folder)
            write_atomically(folder / "root.json", root)
    return fingerprint


def verified_targets(paths: Paths, bundle: Path) -> tuple[str, Targets]:
    """Verify the metadata of the bundle and record its version; returns the fingerprint and the list of targets.

    Raises:
        UntrustedError: its publisher is not trusted here yet.
        TransferError: it is no bundle, or one of TUF's checks fails; the message says which.
        StateError: the record of accepted metadata cannot be read or written.
    """
    from tuf.api.metadata import Snapshot, Targets, Timestamp  # noqa: PLC0415

    first = read_plain(bundle, METADATA, "1.root.json")
    fingerprint = _self_signed(first)
    folder = _folder(paths) / fingerprint
    pinned = _read_if_present(folder, "root.json")
    if pinned is None:
        raise UntrustedError(fingerprint, first)
    root, accepted = parse_root(pinned), [("root.json", pinned)]
    for content in _newer_roots(bundle, root):
        root = parse_root(content)
        accepted = [("root.json", content)]
    keys_changed = parse_root(pinned).signed.roles[Timestamp.type].keyids != root.signed.roles[Timestamp.type].keyids
    previous = _AcceptedMetadata(None if keys_changed else folder)

    content = read_plain(bundle, METADATA, "timestamp.json")
    timestamp: Timestamp = _signed(root, Timestamp, content, "timestamp.json").signed
    _not_older(timestamp.version, previous.version("timestamp.json"), "timestamp.json")
    if timestamp.version == previous.version("timestamp.json") and content != previous.content("timestamp.json"):
        raise _refused("timestamp.json", f"there are two different bundles with the number {timestamp.version}")
    accepted.append(("timestamp.json", content))

    name = f"{timestamp.snapshot_meta.version}.snapshot.json"
    content = read_plain(bundle, METADATA, name)
    _matches(timestamp.snapshot_meta, content, name)
    snapshot: Snapshot = _signed(root, Snapshot, content, name).signed
    _is_version(snapshot.version, timestamp.snapshot_meta.version, name)
    _not_older(snapshot.version, previous.version("snapshot.json"), name)
    accepted.append(("snapshot.json", content))

    if "targets.json" not in snapshot.meta:
        raise _refused(name, "it does not name the list of files")
    meta = snapshot.meta["targets.json"]
    name = f"{meta.version}.targets.json"
    content = read_plain(bundle, METADATA, name)
    _matches(meta, content, name)
    targets: Targets = _signed(root, Targets, content, name).signed
    _is_version(targets.version, meta.version, name)
    _not_older(targets.version, previous.version("targets.json"), name)
    accepted.append(("targets.json", content))

    with reporting("write", folder):
        for file, accepted_content in accepted:
            write_atomically(folder / file, accepted_content)
    return fingerprint, targets


def read_plain(bundle: Path, folder: str, name: str, limit: int = METADATA_LIMIT) -> bytes:
    """Read a file of a bundle: a plain file of at most ``limit`` bytes in a plain directory, no link and no device.

    Raises:
        TransferError: the file is missing, or something else.
    """
    handle = open_plain(bundle, folder, name)
    with os.fdopen(handle, "rb") as stream:
        try:
            content = stream.read(limit + 1)
        except OSError as error:
            raise TransferError(f"Cannot read {bundle / folder / name}: {error.strerror}.") from error
    if len(content) > limit:
        raise _refused(name, f"it is larger than {limit} bytes")
    return content


def open_plain(bundle: Path, folder: str, name: str) -> int:
    """Open a file for reading, under the same conditions as :func:`read_plain`; the caller closes the handle."""
    try:
        outer = os.open(bundle / folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=outer)
        finally:
            os.close(outer)
    except FileNotFoundError:
        raise TransferError(
            f"{bundle} is not a whole bundle: {folder}/{name} is missing.", hint="Export it again."
        ) from None
    except OSError as error:
        raise _refused(f"{folder}/{name}", f"it is a link or cannot be opened ({error.strerror})") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _refused(f"{folder}/{name}", "it is not a plain file")
    return handle


def _newer_roots(bundle: Path, root: Metadata[Root]) -> Iterator[bytes]:
    for version in range(root.signed.version + 1, root.signed.version + MAX_ROOTS):
        name = f"{version}.root.json"
        if not (bundle / METADATA / name).exists():
            return
        content = read_plain(bundle, METADATA, name)
        new = _parsed_root(content, name)
        for signer in (root, new):
            _verify(signer, new, "root", name)
        _is_version(new.signed.version, version, name)
        root = new
        yield content


def _self_signed(root: bytes) -> str:
    metadata = _parsed_root(root, "1.root.json")
    _verify(metadata, metadata, "root", "1.root.json")
    if metadata.signed.version != 1:
        raise _refused("1.root.json", f"it is version {metadata.signed.version}, not the first")
    return fingerprint_of(root)


def _parsed_root(content: bytes, name: str) -> Metadata[Root]:
    try:
        return parse_root(content)
    except ValueError as error:
        raise _refused(name, str(error)) from error


def _signed(root: Metadata[Root], kind: type[S], content: bytes, name: str) -> Metadata[S]:
    from tuf.api.metadata import Metadata  # noqa: PLC0415
    from tuf.api.serialization import DeserializationError  # noqa: PLC0415

    try:
        metadata: Metadata[S] = Metadata.from_bytes(content)
    except (DeserializationError, RecursionError) as error:
        raise _refused(name, "it is not TUF metadata") from error
    if metadata.signed.type != kind.type:
        raise _refused(name, f"it is {metadata.signed.type} metadata")
    _verify(root, metadata, kind.type, name)
    return metadata


def _verify(signer: Metadata[Root], metadata: Metadata[Any], role: str, name: str) -> None:
    from tuf.api.exceptions import UnsignedMetadataError  # noqa: PLC0415

    try:
        signer.signed.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (UnsignedMetadataError, ValueError) as error:
        raise _refused(name, "its signature is not by the key that is trusted for it") from error


def _matches(meta: Any, content: bytes, name: str) -> None:  # noqa: ANN401 - TUF's MetaFile, imported late
    from tuf.api.exceptions import LengthOrHashMismatchError  # noqa: PLC0415

    try:
        meta.verify_length_and_hashes(content)
    except LengthOrHashMismatchError as error:
        raise _refused(name, "it is not the one that the rest of the bundle was signed with") from error


def _is_version(found: int, expected: int, name: str) -> None:
    if found != expected:
        raise _refused(name, f"it is version {found} and {expected} was announced")


def _not_older(found: int, accepted: int, name: str) -> None:
    if found < accepted:
        raise _refused(
            name, f"the bundle is number {found}, and number {accepted} of this publisher was accepted before"
        )


def _refused(name: str, reason: str) -> TransferError:
    return TransferError(
        f"The bundle is refused: {name}: {reason}.", hint="Nothing was imported from it. Export a new one and compare."
    )


class _AcceptedMetadata:
    """The metadata accepted before; ``folder`` is None after a change of keys, when older metadata no longer counts."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def content(self, name: str) -> bytes | None:
        return None if self._folder is None else _read_if_present(self._folder, name)

    def version(self, name: str) -> int:
        from tuf.api.metadata import Metadata  # noqa: PLC0415
        from tuf.api.serialization import DeserializationError  # noqa: PLC0415

        content = self.content(name)
        try:
            return 0 if content is None else int(Metadata.from_bytes(content).signed.version)
        except DeserializationError as error:
            raise StateError(
                f"{self._folder}/{name} is damaged.", hint="Remove that directory and trust the publisher again."
            ) from error


def _accepted_version(folder: Path) -> int:
    return _AcceptedMetadata(folder).version("timestamp.json")


def _read_if_present(folder: Path, name: str) -> bytes | None:
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise state_error("read", folder / name, error) from error


def _folder(paths: Paths) -> Path:
    return paths.config / "trust"
