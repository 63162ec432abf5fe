"""edgechat itself on the stick, beside the models: its wheels as signed files, and an installer in the top directory.

The wheels are made and gathered by ``scripts/build-wheel --kit``; nothing is fetched here. ``installer.py`` is what
runs on the board; ``manifest.py`` defines what the signed list says of it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError, TransferError
from edgechat.files import reporting, sync_directory, write_atomically
from edgechat.models.bundle.installer import INSTALLER_FILES, SUMS, expected_sums
from edgechat.models.bundle.trust import read_plain
from edgechat.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHEEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._]*(?:-[A-Za-z0-9._]+){3}-(?P<platform>[A-Za-z0-9._]+)\.whl")
_REQUIRED = ("edgechat", "llama_cpp_python", "pip")
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Kit:
    """The wheels of one kind of board."""

    target: str
    version: str
    wheels: tuple[Path, ...]


def read_kit(folder: Path, target: str) -> Kit:
    """The wheels in a folder, checked for being a kit of this edgechat for ``target``.

    Raises:
        InvalidInputError: a wheel is missing, for another machine, of another version, or not a wheel.
    """
    hint = f"Make them with: scripts/build-wheel --kit --target {target}"
    wheels = tuple(sorted(folder.glob("*.whl"))) if folder.is_dir() else ()
    for wheel in wheels:
        found = _WHEEL.fullmatch(wheel.name)
        if found is None:
            raise InvalidInputError(f"{wheel} has not the name of a wheel.", hint=hint)
        platform = found["platform"]
        if platform != "any" and not platform.endswith(f"_{target}"):
            raise InvalidInputError(f"{wheel} is not for {target}.", hint=hint)
    for name in _REQUIRED:
        found_versions = [wheel.name.split("-")[1] for wheel in wheels if wheel.name.startswith(f"{name}-")]
        if not found_versions:
            raise InvalidInputError(f"{folder} has no wheel of {name}.", hint=hint)
        if len(found_versions) > 1:
            raise InvalidInputError(f"{folder} has {len(found_versions)} wheels of {name}.", hint=hint)
        if name == "edgechat" and found_versions[0] != __version__:
            raise InvalidInputError(
                f"The wheel in {folder} is edgechat {found_versions[0]}, and this is {__version__}.", hint=hint
            )
    return Kit(target, __version__, wheels)


def find_folder(target: str, named: str, checkout: Path | None) -> Path:
    """Where the wheels are: in the folder that EDGECHAT_WHEELS names, or in the checkout's ``wheels/``.

    Raises:
        InvalidInputError: nowhere.
    """
    if named:
        folder = Path(named).expanduser()
        return folder / target if (folder / target).is_dir() else folder
    if checkout is not None:
        return checkout / "wheels" / target
    raise InvalidInputError(
        "The wheels for the kit are not known.",
        hint=f"Set EDGECHAT_WHEELS to the folder that `scripts/build-wheel --kit --target {target}` wrote.",
    )


def installer_files() -> dict[str, bytes]:
    """The files for the top directory of the stick, by name."""
    return {"install.py": (_HERE / "installer.py").read_bytes(), "install.sh": (_HERE / "install.sh").read_bytes()}


def write_installer(directory: Path) -> None:
    """Write the installer, and the checksums of every file of the bundle; last, since it covers the metadata."""
    with reporting("write", directory):
        for name, content in installer_files().items():
            write_atomically(directory / name, content)
        write_atomically(directory / SUMS, expected_sums(directory))
        sync_directory(directory)


def remove_installer(directory: Path) -> None:
    """Remove the installer of an earlier export, which a bundle without edgechat does not have."""
    with reporting("remove", directory):
        for name in (*INSTALLER_FILES, SUMS):
            (directory / name).unlink(missing_ok=True)


def check_installer(directory: Path, signed: Mapping[str, str]) -> None:
    """Compare the installer on the stick with the signed hashes.

    Raises:
        TransferError: a file is missing or was changed.
    """
    for name, sha256 in signed.items():
        if hashlib.sha256(read_plain(directory, ".", name)).hexdigest() != sha256:
            raise TransferError(
                f"The bundle is refused: {name}: it was changed after it was signed.",
                hint="Nothing was imported from it. Export the bundle again, perhaps onto another stick.",
            )
