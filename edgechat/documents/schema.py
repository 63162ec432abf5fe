"""The tables of the document index, and the steps from older versions."""

from __future__ import annotations

from edgechat.storage.schema import Schema

APPLICATION_ID = 0x45436844
"""``EChD`` in ASCII."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # AUTOINCREMENT: a number that was cited once never means another section.
        """CREATE TABLE document (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            collection TEXT NOT NULL,
            path TEXT NOT NULL,
            name TEXT NOT NULL,
            title TEXT NOT NULL,
            format TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            bytes INTEGER NOT NULL,
            changed_ns INTEGER NOT NULL,
            pages INTEGER,
            reader INTEGER NOT NULL,
            added_at TEXT,
            UNIQUE (collection, path)
        )""",
        """CREATE TABLE section (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            document INTEGER NOT NULL REFERENCES document (id) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            headings TEXT NOT NULL,
            text TEXT NOT NULL,
            first_page INTEGER,
            last_page INTEGER,
            tokens INTEGER NOT NULL,
            sha256 TEXT NOT NULL,
            asked INTEGER NOT NULL DEFAULT 0,
            asked_at INTEGER NOT NULL DEFAULT 0
        )""",
        "CREATE INDEX section_by_document ON section (document, position)",
        # rowid: a section's id. Both texts come from search_terms.terms(). Porter: English words by their stems.
        """CREATE VIRTUAL TABLE section_words USING fts5(
            headings, terms, tokenize = "porter unicode61 remove_diacritics 0 categories 'L* M* N* Co'"
        )""",
        # What the engine has read ahead: the file is looked for before a row is believed.
        """CREATE TABLE prepared (
            section INTEGER NOT NULL REFERENCES section (id) ON DELETE CASCADE,
            model TEXT NOT NULL,
            layout TEXT NOT NULL,
            file TEXT NOT NULL,
            tokens INTEGER NOT NULL,
            PRIMARY KEY (section, model)
        )""",
    ),
)
"""One step per schema version, each a sequence of SQL statements."""

DOCUMENTS = Schema("document index", APPLICATION_ID, MIGRATIONS)
"""The schema of this edgechat."""
