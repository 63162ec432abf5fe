"""A SQLite database: several processes, durable commits, readable errors.

WAL with ``synchronous=FULL``: a commit survives a power cut, and readers never wait for a writer.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgechat.errors import StateError
from edgechat.files import PRIVATE_FILE
from edgechat.ownership import open_own
from edgechat.paths import private_directory
from edgechat.storage.schema import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.storage.schema import Schema

BUSY_S = 15.0
"""Longest wait for another writing process. One transaction takes milliseconds, on a worn SD card a second."""

_WAL_BYTES = 4 << 20
"""Size to which the write-ahead log is truncated after a large import."""

_FULL_BYTES = 256 << 10
"""A disk with less free space counts as full: SQLite's shared index alone takes 32 KiB."""

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a private directory is made below it


class UnusableDiskError(StateError):
    """The disk does not let the file be written: it is full, read-only or belongs to another user."""


class DamagedDatabaseError(StateError):
    """The file is no sound SQLite database. It is not changed."""


class Database:
    """One open database. Several threads may use it; calls run one after the other.

    Args:
        connection: in autocommit mode.
        file: its path, for error messages; None in memory.
    """

    def __init__(self, connection: sqlite3.Connection, file: Path | None) -> None:
        self._connection = connection
        self._lock = threading.RLock()
        self.file = file

    @classmethod
    def open(cls, file: Path, schema: Schema) -> Database:
        """Open ``file`` for reading and writing; a missing file is created, readable by this user only.

        Raises:
            UnusableDiskError: it cannot be written; :meth:`open_copy` still reads it.
            DamagedDatabaseError: it is damaged.
            StateError: a newer version or another program wrote it.
        """
        try:
            private_directory(file.parent)
            # SQLite gives its companions (-wal, -shm) the mode of the file itself.
            handle = open_own(file, os.O_RDWR | os.O_CREAT)
        except StateError as error:
            raise UnusableDiskError(error.message, hint=error.hint) from error
        except OSError as error:
            raise UnusableDiskError(f"Cannot open {file}: {error.strerror}.", hint=WRITE_HINT) from error
        with contextlib.suppress(OSError):  # some file systems have no permissions
            if os.fstat(handle).st_mode & 0o077:
                os.fchmod(handle, PRIVATE_FILE)
        log = file.with_name(f"{file.name}-wal")
        # First the log: a process that creates the file at the same time writes it before its log.
        has_log = _size(log) > 0
        is_empty = os.fstat(handle).st_size == 0
        os.close(handle)
        if has_log and is_empty:
            # SQLite would treat it as a new file and delete the log, which holds the newest rows.
            raise DamagedDatabaseError(f"{file} is empty, but its log {log.name} is not.", hint=_damage_hint(file))
        with readable_errors(file):
            connection = _connect(file)
            try:
                # Checks the version before anything is written.
                prepare(connection, file, schema)
                _enable_wal(connection)
            except BaseException:
                connection.close()
                raise
        return cls(connection, file)

    @classmethod
    def open_copy(cls, file: Path, schema: Schema) -> Database:
        """Open a private copy in memory; changes to it are lost.

        Needed to read on a disk that cannot be written: there SQLite cannot open a database with a write-ahead log.

        Raises:
            StateError: the file cannot be read, is damaged, or a newer version wrote it.
        """
        if not file.exists():
            return cls.in_memory(schema)
        parent = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
        try:
            scratch = Path(tempfile.mkdtemp(prefix="edgechat-", dir=parent))
        except OSError as error:
            raise StateError(f"There is no room to read {file}: {error.strerror}.", hint=WRITE_HINT) from error
        memory = _connect(Path(":memory:"))
        try:
            copy = _copy_stable(file, scratch)
            with readable_errors(file), contextlib.closing(_connect(copy)) as connection:
                prepare(connection, copy, schema)
                connection.backup(memory)
        except BaseException:
            memory.close()
            raise
        finally:
            # Removed at once, so that a killed process leaves no text behind.
            shutil.rmtree(scratch, ignore_errors=True)
        return cls(memory, None)

    @classmethod
    def in_memory(cls, schema: Schema) -> Database:
        """Create an empty database that is never on disk."""
        connection = _connect(Path(":memory:"))
        prepare(connection, None, schema)
        _enable_wal(connection)
        return cls(connection, None)

    def close(self) -> None:
        """Close it. The last process to close it merges the write-ahead log into the file."""
        with self._lock:
            self._connection.close()

    def rows(self, sql: str, *values: object) -> list[Any]:
        """All rows of a query."""
        with self._lock, readable_errors(self.file):
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> Any:  # noqa: ANN401 - sqlite3.Row
        """The first row of a query, or None."""
        with self._lock, readable_errors(self.file):
            return self._connection.execute(sql, values).fetchone()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one transaction: committed at its end, rolled back when it raises.

        Raises:
            StateError: it could not be written; nothing of it was saved.
        """
        with self._lock, readable_errors(self.file):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # After some disk errors SQLite has already rolled back by itself.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def _connect(file: Path) -> sqlite3.Connection:
    # Autocommit: this module begins and ends transactions itself, and its own lock serializes threads.
    connection = sqlite3.connect(file, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    # secure_delete: deleted text is overwritten on the disk.
    for pragma in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def _enable_wal(connection: sqlite3.Connection) -> None:
    # A file system without shared memory keeps the rollback journal, which is as durable with FULL.
    for pragma in ("journal_mode = WAL", f"journal_size_limit = {_WAL_BYTES}"):
        connection.execute(f"PRAGMA {pragma}").fetchall()


def _copy_stable(file: Path, scratch: Path) -> Path:
    """Copy the database and its log; up to five times, while another process changes them."""
    log = file.with_name(f"{file.name}-wal")
    for _ in range(5):
        before = _stamps(file, log)
        try:
            for each in (file, log):
                (scratch / each.name).unlink(missing_ok=True)
                if each.exists():
                    shutil.copyfile(each, scratch / each.name)
        except OSError as error:
            raise StateError(f"Cannot read {file}: {error.strerror}.", hint="Check its disk and rights.") from error
        if _stamps(file, log) == before:
            return scratch / file.name
    raise StateError(f"{file} is being changed all the time.", hint="Try again when the other edgechat is at rest.")


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _stamps(*files: Path) -> list[tuple[int, int] | None]:
    facts = [each.stat() if each.exists() else None for each in files]
    return [None if fact is None else (fact.st_size, fact.st_mtime_ns) for fact in facts]


WRITE_HINT = "Free some space or make it writable, or set EDGECHAT_HOME to a directory that can be written."

# Parts of SQLite's messages, the same in all versions; Python 3.10 does not give the error codes.
_MESSAGES: tuple[tuple[str, type[StateError], str, str], ...] = (
    ("database or disk is full", UnusableDiskError, "its disk is full", "Free some space there and try again."),
    ("attempt to write a readonly database", UnusableDiskError, "it is read-only", WRITE_HINT),
    ("unable to open database file", UnusableDiskError, "its directory cannot be written", WRITE_HINT),
    ("disk I/O error", UnusableDiskError, "its disk cannot be written", "Check the disk (dmesg, fsck)."),
    ("file is not a database", DamagedDatabaseError, "it is damaged, or no database of edgechat", ""),
    ("malformed", DamagedDatabaseError, "it is damaged", ""),
    ("database is locked", StateError, "another program keeps it locked", "Close that program and try again."),
    ("no such module: fts5", StateError, "this Python's SQLite has no full-text search (FTS5)", "Use another Python."),
)


@contextlib.contextmanager
def readable_errors(file: Path | None) -> Iterator[None]:
    """Turn SQLite's errors into StateErrors about ``file``; errors in our own SQL pass unchanged."""
    try:
        yield
    except sqlite3.Error as error:
        said = str(error)
        name = str(file or "the database in memory")
        # On a full disk SQLite often says only that writing failed.
        known = "database or disk is full" if "disk I/O error" in said and _is_full(file) else said
        for words, kind, what, hint in _MESSAGES:
            if words in known:
                raise kind(f"Cannot use {name}: {what} ({said}).", hint=hint or _damage_hint(file)) from error
        raise


def _is_full(file: Path | None) -> bool:
    try:
        usage = os.statvfs(file.parent) if file is not None else None
    except OSError:
        return False
    return usage is not None and usage.f_bavail * usage.f_frsize < _FULL_BYTES


def _damage_hint(file: Path | None) -> str:
    if file is None:
        return "Close this conversation and open it again."
    copies = sorted(file.parent.glob(f"{file.name}.v*"))
    kept = f" An older copy is {copies[-1].name} in it." if copies else ""
    # The whole directory: without the write-ahead log the file would lack the newest rows.
    return f"It was left as it is. To start afresh, move it away: mv {file.parent} {file.parent}.damaged{kept}"
