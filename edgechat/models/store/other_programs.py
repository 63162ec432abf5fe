"""GGUF files that other programs on this machine hold: Ollama, LM Studio, llama.cpp and the hub's cache.

Lists files and checks nothing: ``add.py`` reads the header of each file and hashes it before it is used.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgechat.models.store.file_names import is_model_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MANIFEST_LIMIT = 1 << 20
_OLLAMA_MODEL = "application/vnd.ollama.image.model"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One GGUF of another program."""

    tool: str
    """``ollama``, ``lm-studio``, ``llama.cpp`` or ``hub-cache``."""
    label: str
    """The name that program uses for it."""
    path: Path
    """The file itself, links resolved."""
    size: int


def find_model_files(env: Mapping[str, str]) -> list[FoundFile]:
    """Every model file once, in the order of ``FoundFile.tool``; unreadable directories and files are left out.

    Args:
        env: the environment: ``HOME`` and the variables that move the other programs' directories.
    """
    home = Path(env.get("HOME") or Path.home())
    cache = Path(env.get("XDG_CACHE_HOME") or home / ".cache")
    hub_home = Path(env.get("HF_HOME") or cache / "huggingface")
    hub = Path(env.get("HF_HUB_CACHE") or hub_home / "hub")
    ollama = [Path(env["OLLAMA_MODELS"])] if env.get("OLLAMA_MODELS") else []
    ollama += [home / ".ollama/models", Path("/usr/share/ollama/.ollama/models"), Path("/var/lib/ollama/models")]
    files = [
        *(file for root in ollama for file in _ollama(root)),
        *(
            file
            for root in (home / ".lmstudio/models", home / ".cache/lm-studio/models")
            for file in _tree("lm-studio", root)
        ),
        *_tree("llama.cpp", Path(env.get("LLAMA_CACHE") or cache / "llama.cpp")),
        *_hub_cache(hub),
    ]
    once: dict[Path, FoundFile] = {}
    for file in files:
        once.setdefault(file.path, file)
    return list(once.values())


def _ollama(root: Path) -> Iterator[FoundFile]:
    """``manifests/HOST/NAMESPACE/MODEL/TAG`` are JSON lists of layers, ``blobs/sha256-HEX`` the layers."""
    manifests = root / "manifests"
    for manifest in _files(manifests, "*"):
        digest = _model_layer(manifest)
        blob = root / "blobs" / f"sha256-{digest}"
        parts = manifest.relative_to(manifests).parts
        if digest and len(parts) >= 2:
            yield from _file("ollama", f"{parts[-2]}:{parts[-1]}", blob)


def _model_layer(manifest: Path) -> str:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if manifest.stat().st_size <= MANIFEST_LIMIT:
            value: Any = json.loads(manifest.read_bytes())
            for layer in value["layers"]:
                if layer["mediaType"] == _OLLAMA_MODEL and (match := _DIGEST.fullmatch(layer["digest"])):
                    return match[1]
    return ""


def _hub_cache(root: Path) -> Iterator[FoundFile]:
    """``models--ORG--REPO/snapshots/COMMIT/FILE`` are links to ``models--ORG--REPO/blobs/HEX``."""
    for path in _files(root, "models--*/snapshots/*/**/*.gguf"):
        repository = path.relative_to(root).parts[0].removeprefix("models--").replace("--", "/", 1)
        if is_model_file(path.name):
            yield from _file("hub-cache", f"{repository}:{path.name}", path)


def _tree(tool: str, root: Path) -> Iterator[FoundFile]:
    for path in _files(root, "**/*.gguf"):
        if is_model_file(path.name):
            yield from _file(tool, path.relative_to(root).as_posix(), path)


def _files(root: Path, pattern: str) -> list[Path]:
    with contextlib.suppress(OSError):
        return sorted(
            path for path in (root.rglob(pattern) if pattern == "*" else root.glob(pattern)) if path.is_file()
        )
    return []


def _file(tool: str, label: str, path: Path) -> Iterator[FoundFile]:
    with contextlib.suppress(OSError):
        real = path.resolve(strict=True)
        yield FoundFile(tool, label, real, real.stat().st_size)
