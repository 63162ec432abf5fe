"""The history: conversations and messages of one user, kept so that what was acknowledged is never lost.

Every method that changes something returns when it is on disk. Order is the order of keeping, told by numbers; clocks
are only shown. Knows no engine and no screen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgechat.chat import rows, search
from edgechat.chat.conversation import (
    Conversation,
    Hit,
    Horizon,
    Message,
    Origin,
    Transcript,
    moment,
    storable,
)
from edgechat.chat.database import Database, UnusableDiskError
from edgechat.chat.streaming_answer import Answer, new_writer, seal_abandoned
from edgechat.errors import InvalidInputError
from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from edgechat.paths import Paths

_CONVERSATION = (
    "SELECT c.*, (SELECT count(*) FROM message m WHERE m.conversation = c.id AND m.retracted = 0) AS messages"
    " FROM conversation c"
)


def history_file(paths: Paths) -> Path:
    """Where the history lies. Its directory holds nothing else."""
    return paths.data / "chat" / "history.db"


class History:
    """One user's conversations. Close it, or leave its ``with`` block.

    Several processes may have it open, and several threads may use one object. Any method may raise StateError when
    the disk fails, and InvalidInputError for a conversation or message that is not there.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, paths: Paths) -> History:
        """Open it for reading and writing.

        Raises:
            UnusableDiskError: it cannot be written here; :meth:`open_copy` still reads it.
            DamagedHistoryError: the file is damaged; it is left as it is.
            StateError: the file is of a newer edgechat or of another program.
        """
        return cls._settled(Database.open(history_file(paths)))

    @classmethod
    def open_copy(cls, paths: Paths) -> History:
        """A copy in memory, for when nothing can be written: reads as the real one, and forgets what it is told."""
        return cls._settled(Database.open_copy(history_file(paths)))

    @classmethod
    def open_to_read(cls, paths: Paths) -> History:
        """For commands that only read: the real one where that is possible, else a copy. Makes no file."""
        if not history_file(paths).exists():
            return cls(Database.in_memory())
        try:
            return cls.open(paths)
        except UnusableDiskError:
            return cls.open_copy(paths)

    @classmethod
    def _settled(cls, database: Database) -> History:
        try:
            seal_abandoned(database)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        """Close it."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Conversations

    def conversations(self, limit: int = -1, *, skip: int = 0, is_deleted: bool = False) -> list[Conversation]:
        """Conversations, the one that was spoken in last first; ``limit`` -1 means all."""
        found = self._database.rows(
            f"{_CONVERSATION} WHERE (c.deleted > 0) = ? ORDER BY c.touched DESC LIMIT ? OFFSET ?",
            is_deleted,
            limit,
            skip,
        )
        return [rows.to_conversation(row) for row in found]

    def conversation(self, number: int) -> Conversation:
        """One conversation, deleted or not."""
        row = self._database.row(f"{_CONVERSATION} WHERE c.id = ?", number)
        if row is None:
            raise InvalidInputError(f"There is no conversation {number}.", hint="See: edgechat history list")
        return rows.to_conversation(row)

    def last(self, origin: Origin | None = None) -> Conversation | None:
        """The conversation that was spoken in last, of all or of one origin; None when there is none."""
        row = self._database.row(
            f"{_CONVERSATION} WHERE c.deleted = 0 AND (?1 IS NULL OR c.origin = ?1) ORDER BY c.touched DESC", origin
        )
        return None if row is None else rows.to_conversation(row)

    def start(self, *, title: str = "", system: str = "", origin: Origin = "chat") -> Conversation:
        """Begin a conversation. Without a title it takes one from its first message."""
        with self._database.changing() as connection:
            number = rows.insert(connection, Conversation(title, system, origin=origin, created_at=moment()))
        return self.conversation(number)

    def rename(self, number: int, title: str) -> Conversation:
        """Give a conversation another title."""
        line = clean_line(storable(title))
        if not line:
            raise InvalidInputError("A title has at least one character.")
        with self._database.changing() as connection:
            rows.change(connection, number, "title", line)
            search.index(connection, -number, line)
        return self.conversation(number)

    def set_system(self, number: int, system: str) -> Conversation:
        """Give a conversation another system prompt, from its next answer on."""
        with self._database.changing() as connection:
            rows.change(connection, number, "system", storable(system))
        return self.conversation(number)

    def delete(self, number: int) -> None:
        """Put a conversation out of sight; :meth:`restore` brings it back until :meth:`purge`."""
        with self._database.changing() as connection:
            rows.change(connection, number, "deleted", 1)

    def restore(self, number: int) -> None:
        """Undo :meth:`delete`."""
        with self._database.changing() as connection:
            rows.change(connection, number, "deleted", 0)

    def purge(self, numbers: Iterable[int] | None = None) -> int:
        """Remove for good what was deleted and retracted, or the given deleted conversations; how many those were."""
        with self._database.changing() as connection:
            deleted = {row["id"] for row in connection.execute("SELECT id FROM conversation WHERE deleted > 0")}
            gone = deleted if numbers is None else deleted.intersection(numbers)
            for number in sorted(gone):
                ids = [row["id"] for row in connection.execute(_IDS_OF, (number,))]
                connection.executemany("DELETE FROM words WHERE rowid = ?", [(-number,), *((each,) for each in ids)])
                connection.execute("DELETE FROM conversation WHERE id = ?", (number,))
            if numbers is None:
                connection.execute("DELETE FROM words WHERE rowid IN (SELECT id FROM message WHERE retracted > 0)")
                connection.execute("DELETE FROM message WHERE retracted > 0")
        self._database.shred()
        return len(gone)

    def fork(self, message: int) -> Conversation:
        """A new conversation that holds everything up to ``message`` and goes its own way from there."""
        with self._database.changing() as connection:
            row = rows.message_row(connection, message)
            source = connection.execute(f"{_CONVERSATION} WHERE c.id = ?", (row["conversation"],)).fetchone()
            origin = replace(
                rows.to_conversation(source), uid="", origin="chat", created_at=moment(), forked_from=message
            )
            number = rows.insert(connection, origin)
            found = connection.execute(
                "SELECT * FROM message WHERE conversation = ? AND retracted = 0 AND id <= ? ORDER BY id",
                (row["conversation"], message),
            )
            for each in found.fetchall():
                rows.keep(connection, number, rows.to_message(each).settled())
        return self.conversation(number)

    # Messages

    def messages(
        self, number: int, limit: int = -1, *, before: int | None = None, since: int | None = None
    ) -> list[Message]:
        """A conversation's messages in order: the newest ``limit`` from ``since`` on and before ``before``."""
        found = self._database.rows(
            "SELECT * FROM message WHERE conversation = ?1 AND retracted = 0 AND (?2 IS NULL OR id < ?2)"
            " AND (?4 IS NULL OR id >= ?4) ORDER BY id DESC LIMIT ?3",
            number,
            before,
            limit,
            since,
        )
        return [rows.to_message(row) for row in reversed(found)]

    def onward(self, number: int, message: int, limit: int) -> list[Message]:
        """The first ``limit`` messages of a conversation from ``message`` on, in order."""
        found = self._database.rows(
            "SELECT * FROM message WHERE conversation = ? AND retracted = 0 AND id >= ? ORDER BY id LIMIT ?",
            number,
            message,
            limit,
        )
        return [rows.to_message(row) for row in found]

    def say(self, number: int, content: str) -> Message:
        """Keep what the user said."""
        with self._database.changing() as connection:
            message = rows.keep(connection, number, Message("user", content, created_at=moment()))
        return self._message(message)

    def answer(self, number: int, model: str | None = None, quant: str | None = None) -> Answer:
        """Begin the model's answer, to be written piece by piece."""
        writer, lock = new_writer(self._database.file)
        try:
            with self._database.changing() as connection:
                begun = Message("assistant", "", status="streaming", model=model, quant=quant, created_at=moment())
                message = rows.keep(connection, number, begun, writer)
                if model:
                    rows.change(connection, number, "model", f"{model}:{quant}" if quant else model)
        except BaseException:
            if lock is not None:
                lock.close(remove=True)
            raise
        return Answer(self._database, message, lock)

    def horizon(self, number: int) -> Horizon | None:
        """Where the model begins to read a conversation; None: at its beginning."""
        row = self._database.row("SELECT message, n_ctx, summary FROM horizon WHERE conversation = ?", number)
        return None if row is None else Horizon(row["message"], row["n_ctx"], row["summary"])

    def set_horizon(self, number: int, horizon: Horizon) -> None:
        """Let the model begin to read there, from the next answer on."""
        with self._database.changing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO horizon (conversation, message, n_ctx, summary) VALUES (?, ?, ?, ?)",
                (number, horizon.message, horizon.n_ctx, storable(horizon.summary)),
            )

    def n_unread(self, number: int, horizon: Horizon) -> int:
        """How many messages of a conversation stand before a horizon."""
        row = self._database.row(
            "SELECT count(*) AS n FROM message WHERE conversation = ? AND retracted = 0 AND content != '' AND id < ?",
            number,
            horizon.message,
        )
        return int(row["n"])

    def retract(self, message: int) -> None:
        """Take a message and all behind it out of its conversation, to regenerate or to edit; not yet off the disk."""
        with self._database.changing() as connection:
            row = rows.message_row(connection, message)
            connection.execute(
                "UPDATE message SET retracted = 1 WHERE conversation = ? AND id >= ?", (row["conversation"], message)
            )
            # Without what the model read, it begins anew with what is left.
            connection.execute(
                "DELETE FROM horizon WHERE conversation = ? AND message >= ?", (row["conversation"], message)
            )

    def _message(self, number: int) -> Message:
        row = self._database.row("SELECT * FROM message WHERE id = ?", number)
        return rows.to_message(row)

    # Everything

    def search(self, text: str, limit: int = 50) -> list[Hit]:
        """Where all words of ``text`` stand, titles first, then the newest messages; deleted ones are left out."""
        wanted = search.query(text)
        if not wanted:
            return []
        pieces = search.pieces(text)
        found = self._database.rows(_SEARCH, wanted, limit)
        return [rows.to_hit(row, pieces) for row in found]

    def transcript(self, number: int) -> Transcript:
        """A conversation with all its messages."""
        return Transcript(self.conversation(number), tuple(self.messages(number)))

    def add(self, transcripts: Iterable[Transcript]) -> tuple[list[int], int]:
        """Keep imported conversations, all or none: their numbers, and how many were here already (by ``uid``)."""
        added, known = [], 0
        with self._database.changing() as connection:
            for transcript in transcripts:
                uid = transcript.conversation.uid
                if uid and connection.execute("SELECT 1 FROM conversation WHERE uid = ?", (uid,)).fetchone():
                    known += 1
                    continue
                number = rows.insert(connection, replace(transcript.conversation, forked_from=None))
                for message in transcript.messages:
                    rows.keep(connection, number, message)
                added.append(number)
        return added, known

    def problems(self) -> list[str]:
        """What SQLite's own check of the whole file finds; empty when it is sound."""
        found = [str(row[0]) for row in self._database.rows("PRAGMA integrity_check")]
        with self._database.changing() as connection:
            connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")
        return [] if found == ["ok"] else found


_IDS_OF = "SELECT id FROM message WHERE conversation = ?"

# Titles have negative row numbers, so they come behind all messages in descending order: two branches.
_SEARCH = """
SELECT * FROM (
    SELECT c.id AS conversation, c.title, NULL AS message, NULL AS role, c.created_at, c.title AS content, 0 AS rank
    FROM words JOIN conversation c ON c.id = -words.rowid
    WHERE words MATCH ?1 AND words.rowid < 0 AND c.deleted = 0 ORDER BY words.rowid LIMIT ?2
) UNION ALL SELECT * FROM (
    SELECT c.id, c.title, m.id, m.role, m.created_at, m.content, 1
    FROM words CROSS JOIN message m ON m.id = words.rowid JOIN conversation c ON c.id = m.conversation
    WHERE words MATCH ?1 AND words.rowid > 0 AND c.deleted = 0 AND m.retracted = 0
    ORDER BY words.rowid DESC LIMIT ?2
) LIMIT ?2
"""
