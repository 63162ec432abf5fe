"""The tables of the history, their schema version, and the migration from older versions.

``PRAGMA user_version`` is the schema version, ``PRAGMA application_id`` marks the file as edgechat's. A file of a newer
version or of another program is refused before anything is written to it; an older file is copied before it is changed.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

from edgechat.errors import StateError
from edgechat.files import sync_directory
from edgechat.ownership import open_own

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION_ID = 0x45436861
"""``ECha`` in ASCII."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # AUTOINCREMENT: no id is used twice, so ids give the order even after the newest rows were removed.
        """CREATE TABLE conversation (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            uid TEXT NOT NULL UNIQUE,
            title TEXT NOT NULL DEFAULT '',
            system TEXT NOT NULL DEFAULT '',
            model TEXT,
            origin TEXT NOT NULL,
            created_at TEXT,
            forked_from INTEGER REFERENCES message (id) ON DELETE SET NULL,
            touched INTEGER NOT NULL UNIQUE,
            deleted INTEGER NOT NULL DEFAULT 0
        )""",
        """CREATE TABLE message (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            conversation INTEGER NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
            role TEXT NOT NULL CHECK (role IN ('user', 'assistant', 'system')),
            content TEXT NOT NULL,
            thought TEXT NOT NULL DEFAULT '',
            status TEXT NOT NULL CHECK (status IN ('complete', 'partial', 'streaming')),
            finish_reason TEXT,
            model TEXT,
            quant TEXT,
            usage TEXT NOT NULL DEFAULT '{}',
            timing TEXT NOT NULL DEFAULT '{}',
            created_at TEXT,
            retracted INTEGER NOT NULL DEFAULT 0,
            writer TEXT
        )""",
        "CREATE INDEX message_by_conversation ON message (conversation, retracted, id)",
        "CREATE INDEX message_being_written ON message (writer) WHERE status = 'streaming'",
        "CREATE INDEX conversation_by_fork ON conversation (forked_from) WHERE forked_from IS NOT NULL",
        # rowid: a message's id, or minus a conversation's id for its title. The text comes from search.terms(),
        # which has already split Japanese and Chinese into pairs and removed accents.
        """CREATE VIRTUAL TABLE words USING fts5(
            terms, tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* Co'"
        )""",
    ),
    (
        # Where the prompt starts for a conversation that has outgrown the context.
        """CREATE TABLE horizon (
            conversation INTEGER PRIMARY KEY REFERENCES conversation (id) ON DELETE CASCADE,
            message INTEGER NOT NULL,
            n_ctx INTEGER NOT NULL,
            summary TEXT NOT NULL
        )""",
    ),
)
"""One step per schema version, each a sequence of SQL statements. The schema version is the number of steps: to change
the schema, append a step."""


def prepare(
    connection: sqlite3.Connection, file: Path | None, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS
) -> None:
    """Migrate the database to the newest schema version in one transaction.

    Args:
        connection: in autocommit mode.
        file: path of the database, for the copy of an older version beside it; None in memory.
        migrations: the steps.

    Raises:
        StateError: a newer version or another program wrote the file, or the copy cannot be made.
        sqlite3.Error: the disk failed.
    """
    if _version(connection, file, len(migrations)) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have migrated it meanwhile.
        version = _version(connection, file, len(migrations))
        if 0 < version < len(migrations) and file is not None:
            _copy(file, version)
        for statement in (each for step in migrations[version:] for each in step):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, file: Path | None, newest: int) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    owner = int(connection.execute("PRAGMA application_id").fetchone()[0])
    is_empty = connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None
    if owner != APPLICATION_ID and not (is_empty and version == 0 and owner == 0):
        raise StateError(
            f"{file} is not a history of edgechat: another program made it.",
            hint="Move it elsewhere, or set EDGECHAT_HOME to another directory.",
        )
    if version > newest:
        raise StateError(
            f"{file} was written by a newer edgechat (format {version}; this one knows up to {newest}).",
            hint="Use the newer edgechat, or set EDGECHAT_HOME to another directory to start a history of its own.",
        )
    return version


def _copy(file: Path, version: int) -> None:
    """Copy the database to ``NAME.vVERSION`` beside it, durably."""
    target = file.with_name(f"{file.name}.v{version}")
    temporary = file.with_name(f".{target.name}.new")
    try:
        temporary.unlink(missing_ok=True)
        handle = open_own(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            # A connection of its own: SQLite copies from no connection that holds the write lock.
            with (
                contextlib.closing(sqlite3.connect(file)) as source,
                contextlib.closing(sqlite3.connect(temporary)) as copy,
            ):
                source.backup(copy)
            os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(target)
        sync_directory(file.parent)
    except (OSError, sqlite3.Error) as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise StateError(
            f"Cannot keep a copy of {file} before changing its format: {error}. It was left as it is.",
            hint="Free some space there and try again.",
        ) from error
