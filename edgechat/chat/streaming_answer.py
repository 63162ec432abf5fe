"""An answer while it is being written: its text is committed to disk in batches.

A lock file marks the answer as being written. The kernel releases the lock when the process ends, however it ends, so
the next process that opens the history can tell an abandoned answer from one that is still being written.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from typing import TYPE_CHECKING

from edgechat.chat import search
from edgechat.chat.conversation import storable
from edgechat.errors import StateError
from edgechat.locks import Lock, try_lock
from edgechat.paths import private_directory
from edgechat.storage.database import WRITE_HINT, UnusableDiskError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from typing_extensions import Self

    from edgechat.chat.conversation import Status
    from edgechat.storage.database import Database

BATCH_S = 1.0
"""Longest time between commits: one a second wears an SD card little and loses little to a power cut."""
BATCH_CHARS = 2048

_LOCKS = "writing"
"""The directory of the lock files."""


class StreamingAnswer:
    """One answer that is being written. :meth:`close`, or the end of a ``with`` block, ends it in any case.

    Args:
        database: holds the answer's row.
        message: the row's id.
        lock: held while the answer is being written; None for a database in memory.
        clock: monotonic seconds.
    """

    def __init__(
        self, database: Database, message: int, lock: Lock | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self.message = message
        self._lock = lock
        self._clock = clock
        self._content: list[str] = []
        self._thought: list[str] = []
        self._waiting = 0
        self._written_at = clock()
        self.is_open = True
        """False once the final status is on disk."""

    def append(self, text: str, *, is_thought: bool = False) -> bool:
        """Add text; returns True when it, and all before it, is on disk.

        Raises:
            StateError: a batch could not be written. The next call tries again.
        """
        if text:
            (self._thought if is_thought else self._content).append(storable(text))
            self._waiting += len(text)
        if self._waiting >= BATCH_CHARS or (self._waiting and self._clock() - self._written_at >= BATCH_S):
            self.flush()
        return self._waiting == 0

    def flush(self) -> None:
        """Write the text that is not on disk yet.

        Raises:
            StateError: it could not be written.
        """
        if self._waiting:
            self._write("streaming", "", ())
            self._written_at = self._clock()

    def finish(
        self, finish_reason: str, *, usage: Mapping[str, int] | None = None, timing: Mapping[str, float] | None = None
    ) -> None:
        """Write the rest and the final status: complete for ``stop`` and ``length``, else partial.

        Raises:
            StateError: it could not be written.
        """
        status: Status = "complete" if finish_reason in {"stop", "length"} else "partial"
        facts = (finish_reason, json.dumps(dict(usage or {})), json.dumps(dict(timing or {})))
        self._write(status, ", writer = NULL, finish_reason = ?, usage = ?, timing = ?", facts)
        self._release_lock()

    def close(self) -> None:
        """Save what there is as a partial answer, unless it is finished.

        Raises:
            StateError: it could not be written.
        """
        if self.is_open:
            try:
                self.finish("interrupted")
            finally:
                self._release_lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, status: Status, more: str, values: tuple[str, ...]) -> None:
        # The whole text each time: writing it twice, after an interruption just behind the commit, changes nothing.
        content, thought = "".join(self._content), "".join(self._thought)
        with self._database.transaction() as connection:
            changed = connection.execute(
                f"UPDATE message SET content = ?, thought = ?, status = ?{more} WHERE id = ?",  # noqa: S608
                (content, thought, status, *values, self.message),
            ).rowcount
            if not changed:
                raise StateError("The conversation was removed while its answer was being written.")
            if status != "streaming":
                search.index(connection, self.message, content)
        self._content, self._thought = [content], [thought]
        self._waiting = 0

    def _release_lock(self) -> None:
        self.is_open = False
        if self._lock is not None:
            with contextlib.suppress(OSError):  # the next process that opens the history removes it
                self._lock.close(remove=True)
            self._lock.close()
            self._lock = None


def lock_answer(file: Path | None) -> tuple[str | None, Lock | None]:
    """Create and take the lock of an answer that is about to be written; returns the lock's name and the lock.

    Raises:
        UnusableDiskError: the lock cannot be made.
    """
    if file is None:
        return None, None
    folder = private_directory(file.parent / _LOCKS)
    while True:
        name = secrets.token_hex(8)
        try:
            lock = try_lock(folder / name)
        except StateError as error:
            raise UnusableDiskError(error.message, hint=WRITE_HINT) from error
        if lock is not None:  # mark_abandoned_partial may remove it before it is locked
            return name, lock


def mark_abandoned_partial(database: Database) -> int:
    """Mark answers as partial whose writing process has ended; returns how many.

    Raises:
        StateError: the history cannot be written.
    """
    n_marked = 0
    for row in database.rows("SELECT id, writer FROM message WHERE status = 'streaming'"):
        if _is_locked(database.file, row["writer"]):
            continue
        with database.transaction() as connection:
            # Checked again under the write lock: the process may have finished the answer before it ended.
            changed = connection.execute(
                "UPDATE message SET status = 'partial', finish_reason = 'interrupted', writer = NULL"
                " WHERE id = ? AND status = 'streaming'",
                (row["id"],),
            ).rowcount
            if changed:
                (content,) = connection.execute("SELECT content FROM message WHERE id = ?", (row["id"],)).fetchone()
                search.index(connection, row["id"], content)
                n_marked += 1
    if database.file is not None and (folder := database.file.parent / _LOCKS).is_dir():
        for path in folder.iterdir():
            if (lock := try_lock(path)) is not None:
                lock.close(remove=True)
    return n_marked


def _is_locked(file: Path | None, writer: str | None) -> bool:
    """Whether the lock of an answer is held. It is removed after the answer's last commit."""
    if file is None or writer is None:
        return False
    path = file.parent / _LOCKS / writer
    if not path.exists():
        return False
    lock = try_lock(path)
    if lock is None:
        return True
    lock.close()
    return False
