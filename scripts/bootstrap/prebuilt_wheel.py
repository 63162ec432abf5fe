"""A llama-cpp-python wheel that somebody built for this kind of machine, so that this one needs no compiler.

Looked for where EDGECHAT_WHEELS says, in the checkout's wheels/, beside the checkout, and among those used before. The
file name decides whether it fits, as it does for pip: version, processor, and the glibc it needs.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.bootstrap.supervised import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NAME = re.compile(
    r"llama_cpp_python-(?P<version>[^-]+)-py3-none-(?:manylinux_(?P<major>\d+)_(?P<minor>\d+)|linux)_(?P<machine>\w+)\.whl"
)
NONE = "none"
"""EDGECHAT_WHEELS=none: build here."""


@dataclass(frozen=True)
class Machine:
    """What a wheel has to fit."""

    name: str
    """As ``uname -m`` says: ``aarch64``, ``x86_64``."""
    glibc: tuple[int, int]
    """(0, 0) where the C library is another one, such as Alpine's or macOS's."""

    @classmethod
    def here(cls) -> Machine:
        """The running machine."""
        try:
            said = os.confstr("CS_GNU_LIBC_VERSION") or ""
        except (AttributeError, ValueError, OSError):
            said = ""
        found = re.fullmatch(r"glibc (\d+)\.(\d+).*", said)
        return cls(platform.machine(), (int(found[1]), int(found[2])) if found else (0, 0))


def places(root: Path, environ: Mapping[str, str]) -> list[Path]:
    """The folders that are looked through, in order."""
    named = environ.get("EDGECHAT_WHEELS", "")
    return [*([Path(named).expanduser()] if named else []), root / "wheels", root.parent, kept(root)]


def kept(root: Path) -> Path:
    """Where a wheel that was installed is kept, since the stick it came from will be gone."""
    return root / ".build/wheels/prebuilt"


def find(root: Path, version: str, environ: Mapping[str, str], machine: Machine, *, vision: bool) -> Path | None:
    """The first wheel that fits this machine.

    Args:
        root: the checkout.
        version: the pinned version of llama-cpp-python.
        environ: for EDGECHAT_WHEELS.
        machine: this machine.
        vision: image input is wanted, and a wheel without it will not do.

    Raises:
        SetupError: EDGECHAT_WHEELS names a folder without a wheel that fits.
    """
    named = environ.get("EDGECHAT_WHEELS", "")
    if named == NONE:
        return None
    for folder in places(root, environ):
        wheels = sorted(folder.glob("llama_cpp_python-*.whl")) if folder.is_dir() else []
        for wheel in wheels:
            if fits(wheel.name, version, machine) and _is_ours(wheel) and (not vision or _has_vision(wheel)):
                return wheel
        if named and folder == Path(named).expanduser():
            raise SetupError(_nothing_fits(named, version, machine, (wheel.name for wheel in wheels), vision=vision), 2)
    return None


def fits(name: str, version: str, machine: Machine) -> bool:
    """Whether a wheel's file name promises that it runs here."""
    found = _NAME.fullmatch(name)
    if found is None or found["version"] != version or found["machine"] != machine.name:
        return False
    return found["major"] is None or (int(found["major"]), int(found["minor"])) <= machine.glibc


def keep(root: Path, wheel: Path) -> Path:
    """Copy a wheel to where it stays, instead of the one kept before."""
    folder = kept(root)
    if wheel.parent == folder:
        return wheel
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / "copy.new"
    shutil.copyfile(wheel, draft)
    for old in folder.glob("*.whl"):
        old.unlink()
    return draft.replace(folder / wheel.name)


def _nothing_fits(named: str, version: str, machine: Machine, names: Iterable[str], *, vision: bool) -> str:
    there = ", ".join(names) or "none of it"
    glibc = f" and glibc {machine.glibc[0]}.{machine.glibc[1]} or older" if machine.glibc > (0, 0) else ""
    image = " with image input" if vision else ""
    return (
        f"EDGECHAT_WHEELS={named} has no llama-cpp-python {version} for {machine.name}{glibc}{image} "
        f"(there is {there}). Make one with `scripts/build-wheel --target {machine.name}`, or build here with "
        f"EDGECHAT_WHEELS={NONE}."
    )


def _is_ours(wheel: Path) -> bool:
    """Whether nobody else could have put the file there: a checkout may lie in a folder that others write to."""
    owner = wheel.stat()
    return owner.st_uid in (0, os.getuid()) and not owner.st_mode & 0o002


def _has_vision(wheel: Path) -> bool:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return any(name.startswith("llama_cpp/lib/libmtmd.") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False
