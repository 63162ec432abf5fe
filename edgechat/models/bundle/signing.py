"""The keys with which this installation signs bundles, and the chain of root metadata that names the keys to importers.

Two Ed25519 keys, made on first use: the root key signs the list of keys, the publisher key signs exports. Their files
are numbered like the root metadata that names them, so a rotation is complete when ``N.root.json`` is in place.
Format: The Update Framework, https://theupdateframework.github.io/specification/latest/. The libraries cost 0.1 s.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from edgechat.errors import StateError
from edgechat.files import make_directory, reporting, state_error, sync_directory, write_atomically, write_json
from edgechat.ownership import open_own

if TYPE_CHECKING:
    from pathlib import Path

    from securesystemslib.signer import CryptoSigner
    from tuf.api.metadata import Metadata, Root

    from edgechat.paths import Paths

NEVER = datetime(9999, 12, 31, tzinfo=timezone.utc)
"""Expiry of everything: boards have no battery clock, so freshness is told by version numbers alone."""
_FINGERPRINT_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Publisher:
    """The signing keys of this installation."""

    folder: Path
    roots: tuple[bytes, ...]
    """Every root metadata from version 1 on, serialized."""
    root_key: CryptoSigner
    publisher_key: CryptoSigner
    exports: int
    """Number of bundles made: the version of the last one."""

    @property
    def fingerprint(self) -> str:
        """The fingerprint that people compare on both machines."""
        return fingerprint_of(self.roots[0])

    def count_export(self) -> int:
        """The number of the next bundle, recorded before it is used so that no number is used twice.

        Raises:
            StateError: it cannot be recorded.
        """
        number = _read_count(self.folder) + 1
        with reporting("write", self.folder):
            write_json(self.folder / "exports.json", {"version": number})
        return number


def publisher(paths: Paths) -> Publisher:
    """The keys of this installation; makes them when there are none.

    Raises:
        StateError: they cannot be read or written.
    """
    folder = paths.config / "keys"
    version = _latest(folder)
    if version == 0:
        _create_keys(folder, 1, None)
        version = 1
    return _load(folder, version)


def has_publisher(paths: Paths) -> bool:
    """Whether this installation has keys."""
    return _latest(paths.config / "keys") > 0


def rotate(paths: Paths) -> Publisher:
    """Replace both keys; the new root is signed with the old key too, so that importers follow by themselves.

    Raises:
        StateError: keys cannot be read or written.
    """
    old = publisher(paths)
    _create_keys(old.folder, len(old.roots) + 1, old)
    return publisher(paths)


def backup(paths: Paths, target: Path) -> Publisher:
    """Copy keys, roots and the count of exports to the new directory ``target``.

    Raises:
        StateError: ``target`` exists, or cannot be written.
    """
    own = publisher(paths)
    if target.exists():
        raise StateError(f"{target} exists already.", hint="Name a directory that does not.")
    with reporting("write", target):
        make_directory(target.parent)
        shutil.copytree(own.folder, target)
        for file in target.iterdir():
            with os.fdopen(open_own(file, os.O_RDWR), "rb+") as stream:
                stream.flush()
        sync_directory(target)
    return own


def fingerprint_of(root: bytes) -> str:
    """Groups of four hex digits that name the root key of a chain's first root metadata."""
    from tuf.api.metadata import Root  # noqa: PLC0415

    metadata = parse_root(root)
    keyid = min(metadata.signed.roles[Root.type].keyids)[:_FINGERPRINT_DIGITS]
    return "-".join(keyid[start : start + 4] for start in range(0, len(keyid), 4))


def parse_root(content: bytes) -> Metadata[Root]:
    """Root metadata from its bytes, without any check of signatures.

    Raises:
        ValueError: the bytes are not root metadata.
    """
    from tuf.api.metadata import Metadata, Root  # noqa: PLC0415
    from tuf.api.serialization import DeserializationError  # noqa: PLC0415

    try:
        metadata = Metadata[Root].from_bytes(content)
    except (DeserializationError, RecursionError) as error:
        raise ValueError("it is not TUF metadata") from error
    if metadata.signed.type != Root.type or not metadata.signed.roles[Root.type].keyids:
        raise ValueError("it is not root metadata")
    return metadata


def _create_keys(folder: Path, version: int, old: Publisher | None) -> None:
    """Make a pair of keys and the root metadata that names them; they are valid once the metadata's file is written."""
    from securesystemslib.signer import CryptoSigner  # noqa: PLC0415
    from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp  # noqa: PLC0415

    root_key, publisher_key = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()
    root = Root(version=version, expires=NEVER, consistent_snapshot=True)
    root.add_key(root_key.public_key, Root.type)
    for role in (Targets.type, Snapshot.type, Timestamp.type):
        root.add_key(publisher_key.public_key, role)
    metadata = Metadata(root)
    metadata.sign(root_key)
    if old is not None:
        metadata.sign(old.root_key, append=True)
    with reporting("write", folder):
        make_directory(folder)
        write_atomically(folder / f"{version}.root.pem", root_key.private_bytes)
        write_atomically(folder / f"{version}.publisher.pem", publisher_key.private_bytes)
        write_atomically(folder / f"{version}.root.json", metadata.to_bytes())


def _load(folder: Path, version: int) -> Publisher:
    try:
        roots = tuple((folder / f"{number}.root.json").read_bytes() for number in range(1, version + 1))
        root_key = _signer((folder / f"{version}.root.pem").read_bytes())
        publisher_key = _signer((folder / f"{version}.publisher.pem").read_bytes())
    except OSError as error:
        raise state_error("read", folder, error) from error
    except ValueError as error:
        raise StateError(f"A key in {folder} is damaged.", hint="Restore the directory from your backup.") from error
    return Publisher(folder, roots, root_key, publisher_key, _read_count(folder))


def _signer(pem: bytes) -> CryptoSigner:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
    from securesystemslib.signer import CryptoSigner  # noqa: PLC0415

    key = load_pem_private_key(pem, None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("not an Ed25519 key")  # noqa: TRY004 - a damaged file, not a wrong call
    return CryptoSigner(key)


def _latest(folder: Path) -> int:
    with reporting("read", folder):
        numbers = [int(path.name.partition(".")[0]) for path in folder.glob("[0-9]*.root.json")]
    return max(numbers, default=0)


def _read_count(folder: Path) -> int:
    path = folder / "exports.json"
    try:
        return int(json.loads(path.read_bytes())["version"])
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise state_error("read", path, error) from error
    except (ValueError, KeyError, TypeError) as error:
        # Counting from 0 again would make importers refuse every new bundle as an old one.
        raise StateError(f"{path} is damaged.", hint="Restore it from your backup of the keys.") from error
