"""An answer while it is being written: its text reaches the disk in batches, and what was acknowledged stays.

A lock marks the answer as being written. The kernel drops it with the process, however that ends, so that the next
one to open the history can tell a partial answer from one that another process is still writing.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from typing import TYPE_CHECKING

from edgechat.chat import search
from edgechat.chat.conversation import storable
from edgechat.chat.database import WRITE_HINT, UnusableDiskError
from edgechat.errors import StateError
from edgechat.locks import Lock, try_lock
from edgechat.paths import private_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from edgechat.chat.conversation import Status
    from edgechat.chat.database import Database

BATCH_S = 1.0
"""Text waits this long at most: one commit a second is gentle to an SD card and loses little to a power cut."""
BATCH_CHARS = 2048

_WRITERS = "writing"
"""The directory of the locks."""


class Answer:
    """One answer in the making. Leave its ``with`` block, or call :meth:`close`, to end it in any case.

    Args:
        database: where its row is.
        message: the row's number.
        lock: says that it is being written; None in memory.
        clock: seconds that only rise.
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
        """False once it has its final status on disk."""

    def append(self, text: str, *, is_thought: bool = False) -> bool:
        """Take the next piece of text; True when it, and all before it, is on disk.

        Raises:
            StateError: a batch could not be written. It is tried again with the next one.
        """
        if text:
            (self._thought if is_thought else self._content).append(storable(text))
            self._waiting += len(text)
        if self._waiting >= BATCH_CHARS or (self._waiting and self._clock() - self._written_at >= BATCH_S):
            self.flush()
        return self._waiting == 0

    def flush(self) -> None:
        """Put on disk what waits.

        Raises:
            StateError: it could not be written.
        """
        if self._waiting:
            self._write("streaming", "", ())
            self._written_at = self._clock()

    def finish(
        self, finish_reason: str, *, usage: Mapping[str, int] | None = None, timing: Mapping[str, float] | None = None
    ) -> None:
        """Put the rest on disk, and that the answer is whole; ``cancelled`` and ``timeout`` leave it partial.

        Raises:
            StateError: it could not be written.
        """
        status: Status = "complete" if finish_reason in {"stop", "length"} else "partial"
        facts = (finish_reason, json.dumps(dict(usage or {})), json.dumps(dict(timing or {})))
        self._write(status, ", writer = NULL, finish_reason = ?, usage = ?, timing = ?", facts)
        self._let_go()

    def close(self) -> None:
        """Keep what there is as a partial answer, unless it is finished.

        Raises:
            StateError: it could not be written.
        """
        if self.is_open:
            try:
                self.finish("interrupted")
            finally:
                self._let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, status: Status, more: str, values: tuple[str, ...]) -> None:
        # The whole text each time, so that writing it twice (an interruption just behind the commit) changes nothing.
        content, thought = "".join(self._content), "".join(self._thought)
        with self._database.changing() as connection:
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

    def _let_go(self) -> None:
        self.is_open = False
        if self._lock is not None:
            with contextlib.suppress(OSError):  # the next one to open the history sweeps it away
                self._lock.close(remove=True)
            self._lock.close()
            self._lock = None


def new_writer(file: Path | None) -> tuple[str | None, Lock | None]:
    """A name for somebody who is about to write an answer, and the lock that says that they live.

    Raises:
        UnusableDiskError: the lock cannot be made.
    """
    if file is None:
        return None, None
    folder = private_directory(file.parent / _WRITERS)
    while True:
        name = secrets.token_hex(8)
        try:
            lock = try_lock(folder / name)
        except StateError as error:
            raise UnusableDiskError(error.message, hint=WRITE_HINT) from error
        if lock is not None:  # a sweep may take it between its making and its locking
            return name, lock


def seal_abandoned(database: Database) -> int:
    """Mark the answers as partial whose writers are gone; their number.

    Raises:
        StateError: the history cannot be written.
    """
    sealed = 0
    for row in database.rows("SELECT id, writer FROM message WHERE status = 'streaming'"):
        if _is_alive(database.file, row["writer"]):
            continue
        with database.changing() as connection:
            # Again under the write lock: its writer may have finished it just before it left.
            changed = connection.execute(
                "UPDATE message SET status = 'partial', finish_reason = 'interrupted', writer = NULL"
                " WHERE id = ? AND status = 'streaming'",
                (row["id"],),
            ).rowcount
            if changed:
                (content,) = connection.execute("SELECT content FROM message WHERE id = ?", (row["id"],)).fetchone()
                search.index(connection, row["id"], content)
                sealed += 1
    if database.file is not None and (folder := database.file.parent / _WRITERS).is_dir():
        for path in folder.iterdir():
            if (lock := try_lock(path)) is not None:
                lock.close(remove=True)
    return sealed


def _is_alive(file: Path | None, writer: str | None) -> bool:
    """Whether a writer's lock is held. A writer that ends unlinks it after its last commit."""
    if file is None or writer is None:
        return False
    path = file.parent / _WRITERS / writer
    if not path.exists():
        return False
    lock = try_lock(path)
    if lock is None:
        return True
    lock.close()
    return False
