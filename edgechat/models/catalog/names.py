"""Names of models: parsing MODEL arguments, tags of other tools, nearest names, and the names in the catalog.

MODEL is a catalog name, a repository on the hub, the path of a file, or another tool's tag. Whether such a model exists
is for the catalog, the store and the hub to say. Standard library only, since every cold start imports it.
"""

from __future__ import annotations

import difflib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgechat.errors import ModelNotFoundError, StateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

ReferenceKind = Literal["catalog", "hub", "path"]

QUANT_PATTERN = r"(?:UD-)?(?:I?Q[1-8]_[A-Z0-9_]+|TQ[12]_0|MXFP4(?:_MOE)?|NVFP4|BF16|F16|F32)"
"""Names of llama.cpp's file types as publishers write them; ``UD-`` marks one publisher's own layouts."""
_QUANT = re.compile(QUANT_PATTERN)
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_HUB_HOSTS = ("https://huggingface.co/", "https://hf.co/", "huggingface.co/", "hf.co/")
_TAG_VARIANT = re.compile(r"-(instruct|it|chat|text)(-[0-9]{4}|-v[0-9.]+)?$")
_SEPARATORS = re.compile(r"[^a-z0-9]+")
_MAX_NEAREST = 3
_NEAR_ENOUGH = 0.6
"""difflib's ratio below which a typing mistake is no longer likely (its own default)."""

# Tags of the Ollama library, whose spelling most tutorials use, by family and size. "" is the family's bare name
# (and `latest`), given only where the size it stands for is certain.
WELL_KNOWN: dict[str, dict[str, str]] = {
    "gemma2": {"2b": "gemma-2-2b-it"},
    "gemma3": {"270m": "gemma-3-270m-it", "1b": "gemma-3-1b-it", "4b": "gemma-3-4b-it", "": "gemma-3-4b-it"},
    "gemma4": {"e2b": "gemma-4-e2b-it", "e4b": "gemma-4-e4b-it", "12b": "gemma-4-12b-it"},
    "gpt-oss": {"20b": "gpt-oss-20b", "": "gpt-oss-20b"},
    "granite4": {"350m": "granite-4.0-350m", "1b": "granite-4.0-1b"},
    "granite4.1": {"3b": "granite-4.1-3b", "8b": "granite-4.1-8b"},
    "llama3": {"8b": "llama-3-8b-instruct", "": "llama-3-8b-instruct"},
    "llama3.2": {"1b": "llama-3.2-1b-instruct", "3b": "llama-3.2-3b-instruct", "": "llama-3.2-3b-instruct"},
    "ministral-3": {"3b": "ministral-3-3b-instruct"},
    "mistral-nemo": {"12b": "mistral-nemo-instruct-2407", "": "mistral-nemo-instruct-2407"},
    "phi3.5": {"3.8b": "phi-3.5-mini-instruct", "mini": "phi-3.5-mini-instruct", "": "phi-3.5-mini-instruct"},
    "phi4-mini": {"3.8b": "phi-4-mini-instruct", "": "phi-4-mini-instruct"},
    "qwen2.5": {
        "0.5b": "qwen2.5-0.5b-instruct",
        "1.5b": "qwen2.5-1.5b-instruct",
        "3b": "qwen2.5-3b-instruct",
        "7b": "qwen2.5-7b-instruct",
        "14b": "qwen2.5-14b-instruct",
        "": "qwen2.5-7b-instruct",
    },
    "qwen3": {
        "0.6b": "qwen3-0.6b",
        "1.7b": "qwen3-1.7b",
        "4b": "qwen3-4b-instruct-2507",
        "8b": "qwen3-8b",
        "14b": "qwen3-14b",
        "": "qwen3-8b",
    },
    "qwen3-vl": {"2b": "qwen3-vl-2b-instruct"},
    "qwen3.5": {"0.8b": "qwen3.5-0.8b", "2b": "qwen3.5-2b", "4b": "qwen3.5-4b", "9b": "qwen3.5-9b"},
    "qwen3.6": {"35b-a3b": "qwen3.6-35b-a3b", "35b": "qwen3.6-35b-a3b"},
    "smollm2": {
        "135m": "smollm2-135m-instruct",
        "360m": "smollm2-360m-instruct",
        "1.7b": "smollm2-1.7b-instruct",
        "": "smollm2-1.7b-instruct",
    },
    "smollm3": {"3b": "smollm3-3b"},
    "tinyllama": {"1.1b": "tinyllama-1.1b-chat", "": "tinyllama-1.1b-chat"},
}


@dataclass(frozen=True, slots=True)
class ModelRef:
    """One parsed MODEL argument."""

    kind: ReferenceKind
    name: str
    """Catalog name in lower case, ``ORG/REPO`` as written, or the path as written."""
    quant: str = ""
    """Quantization in upper case (``Q4_K_M``); empty when the plan chooses it."""
    file: str = ""
    """A file inside the repository, when one was named."""
    tag: str = ""
    """The tag of another tool that was recognised, as written; empty for every other name."""

    def __str__(self) -> str:
        suffix = self.file or self.quant
        return f"{self.name}:{suffix}" if suffix else self.name


def parse_reference(text: str) -> ModelRef:
    """Parse a MODEL argument: ``NAME[:QUANT]``, ``ORG/REPO[:QUANT|:FILE]``, a GGUF file's path, or a known tag.

    A path is what starts with ``/``, ``./``, ``../`` or ``~``, or ends in ``.gguf`` outside a repository; write ``./``
    before a relative path that looks like a repository.

    Raises:
        UsageError: the argument is empty, or has none of these forms.
        ModelNotFoundError: a name whose part after the colon is neither a quantization nor a known tag.
    """
    text = text.strip()
    if not text or any(not character.isprintable() for character in text):
        raise UsageError("The model's name is empty or has control characters.", hint="See: edgechat models list")
    if text.startswith(("/", "./", "../", "~")):
        return ModelRef("path", text)
    bare = _without_hub(text)
    head, colon, tail = bare.partition(":")
    if _REPO.fullmatch(head) and (colon or not head.lower().endswith(".gguf")):
        return _hub_reference(text, head, tail, colon=bool(colon))
    if text.lower().endswith(".gguf") and bare == text:
        return ModelRef("path", text)
    if "/" in bare:
        raise UsageError(
            f"{text} is neither a catalog name, nor ORG/REPO, nor the path of a GGUF file.",
            hint="Write ./ before a relative path; repositories are ORG/REPO, ORG/REPO:QUANT or ORG/REPO:FILE.gguf.",
        )
    return _named_reference(text, head, tail, colon=bool(colon))


def is_quant(text: str) -> bool:
    """Whether ``text`` names a quantization of llama.cpp files, in upper or lower case."""
    return _QUANT.fullmatch(text.upper()) is not None


def is_repository(text: str) -> bool:
    """Whether ``text`` has the form of a repository: ``ORG/REPO``, with or without ``:QUANT`` or ``:FILE``."""
    return _REPO.fullmatch(_without_hub(text.strip()).partition(":")[0]) is not None


def nearest(wanted: str, known: Iterable[str], limit: int = _MAX_NEAREST) -> list[str]:
    """The known names that ``wanted`` is most likely a misspelling of, best first; empty when none is similar.

    Punctuation does not count. A name that contains all of ``wanted`` comes before one that only resembles it.
    """
    plain = _plain(wanted)
    if not plain:
        return []
    ranked: list[tuple[float, str]] = []
    for name in known:
        other = _plain(name)
        ratio = difflib.SequenceMatcher(a=plain, b=other).ratio()
        if plain in other:
            ratio += 1
        elif ratio < _NEAR_ENOUGH:
            continue
        ranked.append((-ratio, name))
    return [name for _, name in sorted(ranked)[:limit]]


def nearest_hint(wanted: str, known: Iterable[str]) -> str:
    """A hint after an unknown name: the nearest names, else the command that lists all."""
    if near := nearest(wanted, known):
        return f"Did you mean {' or '.join(near)}?"
    return "See what there is: edgechat models list --all"


def catalog_path() -> Path:
    """The catalog ``models.toml`` inside the package, or beside it in a source tree."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "models.toml"
    return inside if inside.is_file() else package.parent / "models.toml"


def catalog_names() -> tuple[str, ...]:
    """The names of the catalog's models, in the file's order; read without pydantic, for hints after an unknown name.

    Raises:
        StateError: the file is missing or damaged.
    """
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415 - only an unknown name needs it
    else:
        import tomli as tomllib  # noqa: PLC0415

    file = catalog_path()
    try:
        return tuple(str(entry["name"]) for entry in tomllib.loads(file.read_text(encoding="utf-8"))["models"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StateError(f"Cannot read the catalog {file}.", hint="Reinstall edgechat.") from error


def _named_reference(text: str, head: str, tail: str, *, colon: bool) -> ModelRef:
    if found := recognise_tag(text):
        name, quant = found
        return ModelRef("catalog", name, quant, tag=text)
    if colon and not is_quant(tail):
        sizes = sorted(size for size in WELL_KNOWN.get(head.lower(), {}) if size)
        hint = f"Known: {', '.join(f'{head.lower()}:{size}' for size in sizes)}." if sizes else ""
        raise ModelNotFoundError(
            f"{text} is not a model edgechat knows: {tail or 'nothing'} after the colon is not a quantization.",
            hint=hint or "Write NAME or NAME:QUANT (for example :q4_k_m); names: edgechat models list --all",
        )
    return ModelRef("catalog", head.lower(), tail.upper())


def _hub_reference(text: str, repo: str, tail: str, *, colon: bool) -> ModelRef:
    if not colon:
        return ModelRef("hub", repo)
    if tail.lower().endswith(".gguf"):
        if tail.startswith("/") or "\\" in tail or ".." in tail.split("/"):
            raise UsageError(f"{text} names a file outside its repository.", hint="Write ORG/REPO:FILE.gguf.")
        return ModelRef("hub", repo, file=tail)
    if not is_quant(tail):
        raise UsageError(
            f"{text}: {tail or 'nothing'} after the colon is neither a quantization nor a .gguf file.",
            hint=f"For example {repo}:Q4_K_M.",
        )
    return ModelRef("hub", repo, tail.upper())


def _without_hub(text: str) -> str:
    """Remove the hub's address in front of a pasted repository."""
    for host in _HUB_HOSTS:
        if text.lower().startswith(host):
            return text[len(host) :].removesuffix("/")
    return text


def recognise_tag(tag: str) -> tuple[str, str] | None:
    """Catalog name and quantization (upper case or ``""``) of another tool's tag; None for an unknown tag.

    Instruct variants and quantizations of a size are recognised: ``qwen2.5:1.5b-instruct-q4_K_M``.
    """
    family, _, variant = tag.strip().lower().partition(":")
    sizes = WELL_KNOWN.get(family)
    if sizes is None:
        return None
    quant = ""
    if variant == "latest":
        variant = ""
    elif is_quant(last := variant.rpartition("-")[2]):
        variant, quant = variant[: -len(last)].removesuffix("-"), last.upper()
    name = sizes.get(variant) or sizes.get(_TAG_VARIANT.sub("", variant))
    return (name, quant) if name else None


def _plain(name: str) -> str:
    return _SEPARATORS.sub("", name.lower())
