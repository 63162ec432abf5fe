"""The index of documents: one SQLite file with the sections of every collection and their words.

A document is written in one transaction: a reader sees its old sections or its new ones. A section whose headings and
text did not change keeps its number when its document is added again.
"""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from edgechat.documents.retrieval import HEADING_WEIGHT, TEXT_WEIGHT, match_expression, phrase, question_terms, rarity
from edgechat.documents.schema import DOCUMENTS
from edgechat.documents.stored import StoredDocument, StoredSection
from edgechat.errors import InvalidInputError, UsageError
from edgechat.storage.database import Database, UnusableDiskError
from edgechat.storage.search_terms import terms

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    from typing_extensions import Self

    from edgechat.documents.sections import Section
    from edgechat.documents.stored import NewDocument
    from edgechat.paths import Paths

DEFAULT_COLLECTION = "manuals"
READER_VERSION = 2
"""Raise it when the same file would give other sections: documents are then read again when they are added again."""


def index_file(paths: Paths) -> Path:
    """Path of the index. Its directory holds nothing else."""
    return paths.data / "documents" / "documents.db"


class Library:
    """One user's documents. Close it, or use it in a ``with`` block. Any method may raise StateError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, paths: Paths) -> Library:
        """Open for reading and writing."""
        return cls(Database.open(index_file(paths), DOCUMENTS))

    @classmethod
    def open_to_read(cls, paths: Paths) -> Library:
        """Open for commands that only read: the file if possible, else a copy in memory. Creates no file."""
        if not index_file(paths).exists():
            return cls(Database.in_memory(DOCUMENTS))
        try:
            return cls.open(paths)
        except UnusableDiskError:
            return cls(Database.open_copy(index_file(paths), DOCUMENTS))

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, document: NewDocument, found: Sequence[Section]) -> int:
        """Store a document in place of what was stored under its path; returns the number of sections that changed."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT id FROM document WHERE collection = ? AND path = ?", (document.collection, document.path)
            ).fetchone()
            values = {**_fields(document), "reader": READER_VERSION, "added_at": _now()}
            if row is None:
                names = ", ".join(values)
                marks = ", ".join("?" * len(values))
                connection.execute(f"INSERT INTO document ({names}) VALUES ({marks})", tuple(values.values()))  # noqa: S608 - our own names
                number = int(connection.execute("SELECT last_insert_rowid()").fetchone()[0])
            else:
                number = int(row["id"])
                changes = ", ".join(f"{name} = ?" for name in values)
                connection.execute(f"UPDATE document SET {changes} WHERE id = ?", (*values.values(), number))  # noqa: S608
            return _store_sections(connection, number, document, found)

    def is_current(self, collection: str, path: str, sha256: str) -> bool:
        """Whether exactly this content is stored under this path already."""
        row = self._database.row(
            "SELECT 1 FROM document WHERE collection = ? AND path = ? AND sha256 = ? AND reader = ?",
            collection, path, sha256, READER_VERSION,
        )  # fmt: skip
        return row is not None

    def is_unchanged(self, collection: str, path: str, size: int, changed_ns: int) -> bool:
        """Whether a file has the size and time of what is stored, so that it need not be read to be compared."""
        row = self._database.row(
            "SELECT 1 FROM document WHERE collection = ? AND path = ? AND bytes = ? AND changed_ns = ? AND reader = ?",
            collection, path, size, changed_ns, READER_VERSION,
        )  # fmt: skip
        return row is not None

    def documents(self, name: str | None = None) -> list[StoredDocument]:
        """The documents, or those that ``name`` means: a collection, or a document's name, title, path or ``#ID``.

        Raises:
            UsageError: nothing has this name.
        """
        found = [_document(row) for row in self._database.rows(_DOCUMENTS)]
        if name is None:
            return found
        chosen = [each for each in found if each.collection == name] or [
            each for each in found if name in {each.name, each.title, each.path, f"#{each.id}"}
        ]
        if not chosen:
            known = list(dict.fromkeys([*(each.collection for each in found), *(each.name for each in found)]))
            shown = f"There are: {', '.join(known[:8])}{', …' if len(known) > 8 else ''}."
            hint = shown if known else "Add some first: edgechat docs add PATH"
            raise UsageError(f"No collection and no document is named {name!r}.", hint=hint)
        return chosen

    def is_known(self, name: str) -> bool:
        """Whether ``name`` means a collection or a document."""
        try:
            return bool(self.documents(name))
        except UsageError:
            return False

    def remove(self, documents: Sequence[StoredDocument]) -> None:
        """Remove documents with all that was kept for them."""
        with self._database.transaction() as connection:
            for document in documents:
                connection.execute(
                    "DELETE FROM section_words WHERE rowid IN (SELECT id FROM section WHERE document = ?)",
                    (document.id,),
                )
                connection.execute("DELETE FROM document WHERE id = ?", (document.id,))

    def sections(self, document: int) -> list[StoredSection]:
        """The sections of a document, in order."""
        return [
            _section(row) for row in self._database.rows(f"{_SECTIONS} WHERE d.id = ? ORDER BY s.position", document)
        ]

    def section(self, number: int) -> StoredSection:
        """One section.

        Raises:
            InvalidInputError: there is none with this number.
        """
        row = self._database.row(f"{_SECTIONS} WHERE s.id = ?", number)
        if row is None:
            raise InvalidInputError(f"There is no section {number}.", hint="Its document was removed or has changed.")
        return _section(row)

    def search(
        self, question: str, limit: int, documents: Sequence[StoredDocument] | None = None
    ) -> list[StoredSection]:
        """The sections that fit a question best, by BM25.

        Args:
            question: in the words of the user.
            limit: the largest number of sections.
            documents: search these alone; None searches all.
        """
        wanted = question_terms(question)
        if not wanted or documents == []:
            return []
        among = "" if documents is None else f"AND s.document IN ({', '.join(str(each.id) for each in documents)})"
        rows = self._database.rows(_SEARCH.format(among=among), match_expression(wanted), limit)
        return [_section(row, score=-row["rank"]) for row in rows]

    def matched(
        self, question: str, sections: Sequence[StoredSection], documents: Sequence[StoredDocument] | None = None
    ) -> float:
        """The share of a question's terms, by their rarity, that sections hold between them: 0 to 1.

        Args:
            question: as in :meth:`search`.
            sections: found there.
            documents: among which a term is rare or common.
        """
        among = "1" if documents is None else f"document IN ({', '.join(str(each.id) for each in documents)})"
        n_sections = self._database.row(f"SELECT count(*) AS n FROM section WHERE {among}")["n"]  # noqa: S608 - ids
        count = (
            "SELECT count(*) AS n FROM section_words w JOIN section s ON s.id = w.rowid"
            " WHERE section_words MATCH ? AND "
        )
        here = f"s.id IN ({', '.join(str(each.id) for each in sections)})"
        total = held = 0.0
        for term in question_terms(question):
            weight = rarity(n_sections, self._database.row(count + among, phrase(term))["n"])
            total += weight
            held += weight * bool(self._database.row(count + here, phrase(term))["n"])
        return held / total if total else 0.0

    def count_question(self, sections: Sequence[int]) -> None:
        """Note that sections were asked about: what is asked most is read ahead first."""
        with self._database.transaction() as connection:
            last = connection.execute("SELECT coalesce(max(asked_at), 0) + 1 FROM section").fetchone()[0]
            connection.executemany(
                "UPDATE section SET asked = asked + 1, asked_at = ? WHERE id = ?", [(last, each) for each in sections]
            )

    @property
    def database(self) -> Database:
        """For the other modules of this room."""
        return self._database


def _store_sections(
    connection: sqlite3.Connection, number: int, document: NewDocument, found: Sequence[Section]
) -> int:
    old: dict[str, list[int]] = {}
    for row in connection.execute("SELECT id, sha256 FROM section WHERE document = ? ORDER BY position", (number,)):
        old.setdefault(row["sha256"], []).append(row["id"])
    changed = 0
    for position, section in enumerate(found):
        digest = section.sha256
        if kept := old.get(digest):
            connection.execute(
                "UPDATE section SET position = ?, first_page = ?, last_page = ? WHERE id = ?",
                (position, section.first_page, section.last_page, kept.pop(0)),
            )
            continue
        changed += 1
        connection.execute(
            "INSERT INTO section (document, position, headings, text, first_page, last_page, tokens, sha256)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (number, position, json.dumps(section.headings, ensure_ascii=False), section.text, section.first_page,
             section.last_page, section.tokens, digest),
        )  # fmt: skip
        headings = " \n ".join((document.title, *section.headings, *section.inner_headings))
        connection.execute(
            "INSERT INTO section_words (rowid, headings, terms) VALUES (last_insert_rowid(), ?, ?)",
            (terms(headings), terms(_joined(section.text))),
        )
    gone = [(each,) for ids in old.values() for each in ids]
    connection.executemany("DELETE FROM section_words WHERE rowid = ?", gone)
    connection.executemany("DELETE FROM section WHERE id = ?", gone)
    return changed + len(gone)


def _joined(text: str) -> str:
    """Text whose lines end within Japanese or Chinese words, for the index alone."""
    lines = text.split("\n")
    made = lines[:1]
    for before, line in pairwise(lines):
        is_run = before[-1:] > "\u2e7f" and line[:1] > "\u2e7f"
        made.append(line if is_run else f"\n{line}")
    return "".join(made)


_DOCUMENTS = """
SELECT d.*, count(s.id) AS sections, coalesce(sum(s.tokens), 0) AS n_tokens
FROM document d LEFT JOIN section s ON s.document = d.id GROUP BY d.id ORDER BY d.collection, d.name, d.id
"""
_SECTIONS = (
    "SELECT s.*, d.name AS document_name, d.title, d.collection FROM section s JOIN document d ON d.id = s.document"
)
_SEARCH = f"""
SELECT s.*, d.name AS document_name, d.title, d.collection, found.rank FROM (
    SELECT w.rowid AS section, bm25(section_words, {HEADING_WEIGHT}, {TEXT_WEIGHT}) AS rank
    FROM section_words w JOIN section s ON s.id = w.rowid
    WHERE section_words MATCH ?1 {{among}} ORDER BY rank LIMIT ?2
) found JOIN section s ON s.id = found.section JOIN document d ON d.id = s.document ORDER BY found.rank
"""  # noqa: S608 - our own numbers


def _fields(document: NewDocument) -> dict[str, Any]:
    names = ("collection", "path", "name", "title", "format", "sha256", "bytes", "changed_ns", "pages")
    return {name: getattr(document, name) for name in names}


def _document(row: Any) -> StoredDocument:  # noqa: ANN401 - sqlite3.Row's items are untyped
    names = ("id", "collection", "path", "name", "title", "format", "sha256", "bytes", "pages", "sections")
    return StoredDocument(**{name: row[name] for name in names}, tokens=row["n_tokens"])


def _section(row: Any, score: float = 0.0) -> StoredSection:  # noqa: ANN401
    return StoredSection(
        id=row["id"],
        document=row["document_name"],
        title=row["title"],
        collection=row["collection"],
        headings=tuple(json.loads(row["headings"])),
        text=row["text"],
        first_page=row["first_page"],
        last_page=row["last_page"],
        tokens=row["tokens"],
        score=score,
    )


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
