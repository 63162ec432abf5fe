"""The schema version of a database file, and the migration from older versions.

``PRAGMA user_version`` is the schema version, ``PRAGMA application_id`` marks the file as edgechat's. A file of a newer
version or of another program is refused before anything is written to it; an older file is copied before it is changed.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.errors import StateError
from edgechat.files import sync_directory
from edgechat.ownership import open_own

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one kind of database."""

    name: str
    """What the file is, for messages: ``history``."""
    application_id: int
    """Marks the file as this kind of database."""
    migrations: tuple[tuple[str, ...], ...]
    """One step per schema version, each a sequence of SQL statements. The schema version is the number of steps: to
    change the tables, append a step."""


def prepare(connection: sqlite3.Connection, file: Path | None, schema: Schema) -> None:
    """Migrate the database to the newest schema version in one transaction.

    Args:
        connection: in autocommit mode.
        file: path of the database, for the copy of an older version beside it; None in memory.
        schema: the tables that this edgechat knows.

    Raises:
        StateError: a newer version or another program wrote the file, or the copy cannot be made.
        sqlite3.Error: the disk failed.
    """
    migrations = schema.migrations
    if _version(connection, file, schema) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have migrated it meanwhile.
        version = _version(connection, file, schema)
        if 0 < version < len(migrations) and file is not None:
            _copy(file, version)
        for statement in (each for step in migrations[version:] for each in step):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {schema.application_id}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, file: Path | None, schema: Schema) -> int:
    newest = len(schema.migrations)
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    owner = int(connection.execute("PRAGMA application_id").fetchone()[0])
    is_empty = connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None
    if owner != schema.application_id and not (is_empty and version == 0 and owner == 0):
        raise StateError(
            f"{file} is not a {schema.name} of edgechat: another program made it.",
            hint="Move it elsewhere, or set EDGECHAT_HOME to another directory.",
        )
    if version > newest:
        raise StateError(
            f"{file} was written by a newer edgechat (format {version}; this one knows up to {newest}).",
            hint="Use the newer edgechat, or set EDGECHAT_HOME to another directory to start a new one there.",
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
