"""The catalog ``models.toml``: reading the file and finding entries.

``entry.py`` holds the schema. Importing this costs pydantic's 0.3 s (0.9 s on a Pi), so the client of a running engine
must not import it: the manifests of installed models hold what is needed there, and ``names.py`` parses names.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import Field, ValidationError, model_validator

from edgechat.errors import InvalidInputError, ModelNotFoundError, StateError
from edgechat.models.catalog.entry import CatalogEntry, CatalogSchema
from edgechat.models.catalog.names import catalog_path, nearest_hint, parse_reference

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class CatalogMatch(NamedTuple):
    """The catalog entry that a reference names."""

    entry: CatalogEntry
    quant: str
    """Upper case; empty when the reference names none."""


class Catalog:
    """The entries, by name. Immutable."""

    def __init__(self, entries: Iterable[CatalogEntry]) -> None:
        self._entries = {entry.name: entry for entry in entries}

    def __iter__(self) -> Iterator[CatalogEntry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name, in the file's order."""
        return tuple(self._entries)

    def find(self, reference: str) -> CatalogMatch:
        """The entry (and quantization) that ``NAME[:QUANT]`` or another tool's well-known tag names, case ignored.

        Raises:
            ModelNotFoundError: no such entry or quantization; the hint names the nearest.
            UsageError: the reference has no known form.
        """
        ref = parse_reference(reference)
        entry = self._entries.get(ref.name)
        if ref.kind != "catalog" or entry is None:
            raise ModelNotFoundError(
                f"{reference} is not in the catalog.",
                hint=nearest_hint(ref.name.rpartition("/")[2], self._entries),
            )
        if ref.quant:
            entry.file(ref.quant)
        return CatalogMatch(entry, ref.quant)


def load_catalog(path: Path | None = None) -> Catalog:
    """Read and check the catalog at ``path``; by default the one installed with edgechat.

    Raises:
        StateError: the file is missing or cannot be read.
        InvalidInputError: it is not TOML or breaks the schema; the message names every entry and field at fault.
    """
    return _installed() if path is None else _load(path)


@lru_cache(maxsize=1)
def _installed() -> Catalog:
    return _load(catalog_path())


def _load(path: Path) -> Catalog:
    try:
        value = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StateError(f"Cannot read the catalog {path}: {error.strerror}.", hint="Reinstall edgechat.") from error
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError alike
        raise InvalidInputError(f"{path} is not valid TOML: {error}.") from error
    return Catalog(_checked(value, path).models)


class _File(CatalogSchema):
    models: Annotated[tuple[CatalogEntry, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _unique(self) -> _File:
        names = [entry.name for entry in self.models]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} is there twice")
        known = {entry.name: entry for entry in self.models}
        for entry in self.models:
            if entry.superseded_by is not None and (fault := _supersession_fault(entry, known)):
                raise ValueError(f"{entry.name}.superseded_by names {entry.superseded_by}, which {fault}")
        return self


def _supersession_fault(old: CatalogEntry, known: dict[str, CatalogEntry]) -> str:
    """Why ``old.superseded_by`` cannot stand for ``old``, or ``""``."""
    new = known.get(old.superseded_by or "")
    if new is None:
        return "is not in the catalog"
    if new.superseded_by is not None:
        return "is superseded itself"
    if new.purpose != old.purpose:
        return f"has another purpose ({new.purpose})"
    if new.quality < old.quality:
        return f"has a lower quality ({new.quality})"
    return "needs an acceptance of its licence" if old.free and not new.free else ""


def _checked(value: dict[str, Any], path: Path) -> _File:
    try:
        # TOML has arrays only; strict mode would take tuples only.
        return _File.model_validate(_tuples(value))
    except ValidationError as error:
        lines = [f"{_place(item['loc'], value)}: {item['msg']}" for item in error.errors(include_url=False)]
        raise InvalidInputError(f"{path} breaks the catalog's schema. " + "; ".join(lines) + ".") from error


def _place(loc: tuple[int | str, ...], value: dict[str, Any]) -> str:
    """``smollm2-135m-instruct.files.Q4_K_M.bytes`` for where pydantic says ``models, 0, files, Q4_K_M, bytes``."""
    if len(loc) > 1 and loc[0] == "models" and isinstance(loc[1], int):
        entry = value["models"][loc[1]]
        name = entry.get("name") if isinstance(entry, dict) else None
        return ".".join([str(name or f"entry {loc[1] + 1}"), *map(str, loc[2:])])
    return ".".join(map(str, loc)) or "the file"


def _tuples(value: Any) -> Any:  # noqa: ANN401 - whatever TOML holds
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
