"""A cache of task results on disk, keyed by model, task and input.

Its size is limited in bytes; the least recently used answers are evicted first. Every answer can be generated again, so
a damaged file is replaced by an empty one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from typing import TYPE_CHECKING, Any

from edgechat.errors import StateError
from edgechat.paths import private_directory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from typing_extensions import Self

FILE = "answers.sqlite"
DEFAULT_BYTES = 100_000_000
_OVERHEAD = 120
"""Bytes per row besides the answer: key, counters, unused page space (measured on 10,000 rows of 1 KB)."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answer (key BLOB PRIMARY KEY, used INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answer_by_use ON answer (used);
CREATE TABLE IF NOT EXISTS total (bytes INTEGER NOT NULL, clock INTEGER NOT NULL);
INSERT INTO total SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM total);
"""


class AnswerCache:
    """The answer cache in a directory. Not thread-safe; other processes may use the same file.

    Raises:
        StateError: the directory cannot be created or the file cannot be opened.
    """

    def __init__(self, directory: Path, limit_bytes: int = DEFAULT_BYTES) -> None:
        self._path = private_directory(directory) / FILE
        self._limit = limit_bytes
        try:
            try:
                self._db = self._open()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                for suffix in ("", "-wal", "-shm"):
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
                self._db = self._open()
        except (sqlite3.Error, OSError) as error:
            raise _state_error(self._path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, key: bytes) -> dict[str, Any] | None:
        """The answer under ``key``, or None; marks it as just used."""
        try:
            row = self._db.execute("SELECT value FROM answer WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            self._db.execute("UPDATE answer SET used = ? WHERE key = ?", (self._tick(), key))
        except sqlite3.Error as error:
            raise _state_error(self._path, error) from error
        answer: dict[str, Any] = json.loads(row[0])
        return answer

    def put(self, key: bytes, answer: Mapping[str, Any]) -> None:
        """Store an answer and evict old ones until all fit. An answer larger than the limit is not stored."""
        value = json.dumps(answer, separators=(",", ":")).encode("ascii")
        if len(value) + _OVERHEAD > self._limit:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._remove(key)
                self._db.execute("INSERT INTO answer VALUES (?, ?, ?)", (key, self._tick(), value))
                self._db.execute("UPDATE total SET bytes = bytes + ?", (len(value) + _OVERHEAD,))
                while self.size_bytes > self._limit:
                    self._remove(self._db.execute("SELECT key FROM answer ORDER BY used LIMIT 1").fetchone()[0])
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _state_error(self._path, error) from error

    @property
    def size_bytes(self) -> int:
        """Approximate size of all answers."""
        return int(self._db.execute("SELECT bytes FROM total").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _open(self) -> sqlite3.Connection:
        # Autocommit; put() opens its own transaction. Nothing is synced, since every answer can be generated again.
        db = sqlite3.connect(self._path, isolation_level=None, timeout=10.0)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = OFF")
            db.executescript(_SCHEMA)
            db.execute("SELECT bytes, clock FROM total").fetchone()
        except BaseException:
            db.close()
            raise
        return db

    def _tick(self) -> int:
        return int(self._db.execute("UPDATE total SET clock = clock + 1 RETURNING clock").fetchone()[0])

    def _remove(self, key: bytes) -> None:
        row = self._db.execute("DELETE FROM answer WHERE key = ? RETURNING length(value)", (key,)).fetchone()
        if row is not None:
            self._db.execute("UPDATE total SET bytes = bytes - ?", (int(row[0]) + _OVERHEAD,))


def answer_key(**parts: object) -> bytes:
    """The cache key: SHA-256 of everything that the answer depends on (model, task, version, input, …)."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("ascii")).digest()


def _state_error(path: Path, error: Exception) -> StateError:
    return StateError(
        f"Cannot use {path}: {error}.", hint="Remove that file (it is only a cache), or run with --no-cache."
    )
