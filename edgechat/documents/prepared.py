"""Which sections were read ahead, by which model, and in which file the engine keeps the state.

The engine may delete a state at any time, to stay within its bound: a row counts only while its file is whole.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.documents.library import Library
    from edgechat.documents.stored import StoredDocument, StoredSection
    from edgechat.paths import Paths


@dataclass(frozen=True, slots=True)
class PreparedState:
    """A section's KV state on disk."""

    section: int
    model: str
    """``NAME:QUANT``."""
    layout: str
    """Of the prompt it belongs to."""
    file: Path
    tokens: int
    bytes: int


def state_directory(paths: Paths) -> Path:
    """Where the engine keeps the states of prefixes."""
    return paths.cache / "prefixes"


def states(library: Library, paths: Paths, *, layout: str) -> list[PreparedState]:
    """The states that are there and whole, for the prompt's layout."""
    directory = state_directory(paths)
    found = []
    for row in library.database.rows("SELECT * FROM prepared WHERE layout = ? ORDER BY section, model", layout):
        file = directory / Path(row["file"]).name
        # The engine writes the digest last; a state without one is not read.
        if file.with_suffix(".sha256").exists() and file.exists():
            size = file.stat().st_size
            found.append(PreparedState(row["section"], row["model"], layout, file, row["tokens"], size))
    return found


def counts(library: Library, paths: Paths, *, layout: str) -> dict[int, int]:
    """How many sections of each document are prepared, for whatever model; by the document's id."""
    found = {each.section for each in states(library, paths, layout=layout)}
    rows = library.database.rows("SELECT id, document FROM section") if found else []
    return Counter(row["document"] for row in rows if row["id"] in found)


def remember(library: Library, section: int, *, model: str, layout: str, file: Path, tokens: int) -> None:
    """Note that a section's state is in a file."""
    with library.database.transaction() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO prepared (section, model, layout, file, tokens) VALUES (?, ?, ?, ?, ?)",
            (section, model, layout, file.name, tokens),
        )


def in_order(library: Library, documents: Sequence[StoredDocument]) -> list[StoredSection]:
    """The sections of documents in the order in which they are worth reading ahead: most asked, last asked, first."""
    found = [section for each in documents for section in library.sections(each.id)]
    asked = {row["id"]: (row["asked"], row["asked_at"]) for row in library.database.rows(_ASKED)}
    return sorted(found, key=lambda each: asked.get(each.id, (0, 0)), reverse=True)


_ASKED = "SELECT id, asked, asked_at FROM section WHERE asked > 0"
