"""The history: one user's conversations and messages.

A method that changes something returns when the change is on disk. Ids give the order; times are only shown.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgechat.chat import rows, search, versions
from edgechat.chat.conversation import (
    Attachment,
    ContextStart,
    Conversation,
    Message,
    Origin,
    Transcript,
    storable,
    utc_time,
)
from edgechat.chat.schema import HISTORY
from edgechat.chat.streaming_answer import StreamingAnswer, lock_answer, mark_abandoned_partial
from edgechat.errors import InvalidInputError
from edgechat.plaintext import clean_line
from edgechat.storage.database import Database, UnusableDiskError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from typing_extensions import Self

    from edgechat.chat.conversation import Hit
    from edgechat.paths import Paths

_CONVERSATION = (
    "SELECT c.*, (SELECT count(*) FROM message m WHERE m.conversation = c.id AND m.retracted = 0) AS messages"
    " FROM conversation c"
)


def history_file(paths: Paths) -> Path:
    """Path of the history file. Its directory holds nothing else."""
    return paths.data / "chat" / "history.db"


class History:
    """One user's conversations. Close it, or use it in a ``with`` block.

    Several processes may have it open, and several threads may use one object. Any method may raise StateError when
    the disk fails, and InvalidInputError for a conversation or message that does not exist.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, paths: Paths) -> History:
        """Open for reading and writing.

        Raises:
            UnusableDiskError: the disk cannot be written; :meth:`open_copy` still reads it.
            DamagedDatabaseError: the file is damaged; it is not changed.
            StateError: a newer edgechat or another program wrote the file.
        """
        return cls._sealed(Database.open(history_file(paths), HISTORY))

    @classmethod
    def open_copy(cls, paths: Paths) -> History:
        """Open a copy in memory, for a disk that cannot be written; changes to it are lost."""
        return cls._sealed(Database.open_copy(history_file(paths), HISTORY))

    @classmethod
    def open_to_read(cls, paths: Paths) -> History:
        """Open for commands that only read: the file if possible, else a copy in memory. Creates no file."""
        if not history_file(paths).exists():
            return cls(Database.in_memory(HISTORY))
        try:
            return cls.open(paths)
        except UnusableDiskError:
            return cls.open_copy(paths)

    @classmethod
    def _sealed(cls, database: Database) -> History:
        try:
            mark_abandoned_partial(database)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Conversations

    def conversations(self, limit: int = -1, *, skip: int = 0, is_deleted: bool = False) -> list[Conversation]:
        """Conversations, the one with the latest message first; ``limit`` -1 returns all."""
        found = self._database.rows(
            f"{_CONVERSATION} WHERE (c.deleted > 0) = ? ORDER BY c.touched DESC LIMIT ? OFFSET ?",
            is_deleted,
            limit,
            skip,
        )
        return [rows.to_conversation(row) for row in found]

    def conversation(self, number: int) -> Conversation:
        """Find one conversation, deleted or not."""
        row = self._database.row(f"{_CONVERSATION} WHERE c.id = ?", number)
        if row is None:
            raise InvalidInputError(f"There is no conversation {number}.", hint="See: edgechat history list")
        return rows.to_conversation(row)

    def last(self, origin: Origin | None = None) -> Conversation | None:
        """The conversation with the latest message, of all or of one origin; None when there is none."""
        row = self._database.row(
            f"{_CONVERSATION} WHERE c.deleted = 0 AND (?1 IS NULL OR c.origin = ?1) ORDER BY c.touched DESC", origin
        )
        return None if row is None else rows.to_conversation(row)

    def start(
        self,
        *,
        title: str = "",
        system: str = "",
        origin: Origin = "chat",
        sampling: Mapping[str, float] | None = None,
    ) -> Conversation:
        """Create a conversation. Without a title it gets one from its first message."""
        begun = Conversation(title, system, origin=origin, created_at=utc_time(), sampling=sampling or {})
        with self._database.transaction() as connection:
            number = rows.insert_conversation(connection, begun)
        return self.conversation(number)

    def rename(self, number: int, title: str) -> Conversation:
        """Set the title of a conversation."""
        line = clean_line(storable(title))
        if not line:
            raise InvalidInputError("A title has at least one character.")
        with self._database.transaction() as connection:
            rows.update_conversation(connection, number, "title", line)
            search.index(connection, -number, line)
        return self.conversation(number)

    def set_system(self, number: int, system: str) -> Conversation:
        """Set the system prompt of a conversation, from its next answer on."""
        with self._database.transaction() as connection:
            rows.update_conversation(connection, number, "system", storable(system))
        return self.conversation(number)

    def set_sampling(self, number: int, sampling: Mapping[str, float]) -> Conversation:
        """Set the sampling parameters of a conversation, from its next answer on."""
        with self._database.transaction() as connection:
            rows.update_conversation(connection, number, "sampling", json.dumps(dict(sampling)))
        return self.conversation(number)

    def delete(self, number: int) -> None:
        """Mark a conversation as deleted; :meth:`restore` undoes it until :meth:`purge`."""
        with self._database.transaction() as connection:
            rows.update_conversation(connection, number, "deleted", 1)

    def restore(self, number: int) -> None:
        """Undo :meth:`delete`."""
        with self._database.transaction() as connection:
            rows.update_conversation(connection, number, "deleted", 0)

    def purge(self, numbers: Iterable[int] | None = None) -> int:
        """Remove deleted conversations and retracted messages for good, or only the given deleted conversations.

        Returns how many conversations were removed.
        """
        with self._database.transaction() as connection:
            deleted = {row["id"] for row in connection.execute("SELECT id FROM conversation WHERE deleted > 0")}
            gone = deleted if numbers is None else deleted.intersection(numbers)
            for number in sorted(gone):
                ids = [row["id"] for row in connection.execute(_IDS_OF, (number,))]
                connection.executemany("DELETE FROM words WHERE rowid = ?", [(-number,), *((each,) for each in ids)])
                connection.execute("DELETE FROM conversation WHERE id = ?", (number,))
            if numbers is None:
                connection.execute("DELETE FROM words WHERE rowid IN (SELECT id FROM message WHERE retracted = 1)")
                connection.execute("DELETE FROM message WHERE retracted = 1")
        # Remove deleted text from the index and the write-ahead log.
        with self._database.transaction() as connection:
            connection.execute("INSERT INTO words (words) VALUES ('optimize')")
        self._database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        return len(gone)

    def fork(self, message: int) -> Conversation:
        """Create a conversation with copies of all messages up to ``message``."""
        with self._database.transaction() as connection:
            row = rows.message_row(connection, message)
            source = connection.execute(f"{_CONVERSATION} WHERE c.id = ?", (row["conversation"],)).fetchone()
            origin = replace(
                rows.to_conversation(source), uid="", origin="chat", created_at=utc_time(), forked_from=message
            )
            number = rows.insert_conversation(connection, origin)
            found = connection.execute(
                "SELECT * FROM message WHERE conversation = ? AND retracted = 0 AND id <= ? ORDER BY id",
                (row["conversation"], message),
            )
            for each in found.fetchall():
                rows.insert_message(connection, number, self._to_message(each).settled())
        return self.conversation(number)

    # Messages

    def messages(
        self, number: int, limit: int = -1, *, before: int | None = None, since: int | None = None
    ) -> list[Message]:
        """Messages of a conversation in order: the newest ``limit`` with ``since`` <= id < ``before``."""
        found = self._database.rows(
            "SELECT * FROM message WHERE conversation = ?1 AND retracted = 0 AND (?2 IS NULL OR id < ?2)"
            " AND (?4 IS NULL OR id >= ?4) ORDER BY id DESC LIMIT ?3",
            number,
            before,
            limit,
            since,
        )
        return [self._to_message(row) for row in reversed(found)]

    def messages_from(self, number: int, message: int, limit: int) -> list[Message]:
        """Messages of a conversation in order: the first ``limit`` with id >= ``message``."""
        found = self._database.rows(
            "SELECT * FROM message WHERE conversation = ? AND retracted = 0 AND id >= ? ORDER BY id LIMIT ?",
            number,
            message,
            limit,
        )
        return [self._to_message(row) for row in found]

    def add_question(self, number: int, content: str, attachments: tuple[Attachment, ...] = ()) -> Message:
        """Append the user's message."""
        question = Message("user", content, created_at=utc_time(), attachments=attachments)
        with self._database.transaction() as connection:
            message = rows.insert_message(connection, number, question)
        return self.message(message)

    def start_answer(self, number: int, model: str | None = None, quant: str | None = None) -> StreamingAnswer:
        """Append an empty answer that is then written as its text arrives."""
        writer, lock = lock_answer(self._database.file)
        try:
            with self._database.transaction() as connection:
                begun = Message("assistant", "", status="streaming", model=model, quant=quant, created_at=utc_time())
                message = rows.insert_message(connection, number, begun, writer)
                if model:
                    rows.update_conversation(connection, number, "model", f"{model}:{quant}" if quant else model)
        except BaseException:
            if lock is not None:
                lock.close(remove=True)
            raise
        return StreamingAnswer(self._database, message, lock)

    def context_start(self, number: int) -> ContextStart | None:
        """Where the prompt of a conversation starts; None: at its first message."""
        row = self._database.row("SELECT message, n_ctx, summary FROM horizon WHERE conversation = ?", number)
        return None if row is None else ContextStart(row["message"], row["n_ctx"], row["summary"])

    def set_context_start(self, number: int, start: ContextStart) -> None:
        """Set where the prompt of a conversation starts, from its next answer on."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO horizon (conversation, message, n_ctx, summary) VALUES (?, ?, ?, ?)",
                (number, start.message, start.n_ctx, storable(start.summary)),
            )

    def count_unread(self, number: int, start: ContextStart) -> int:
        """Number of messages with text before ``start``."""
        row = self._database.row(
            "SELECT count(*) AS n FROM message WHERE conversation = ? AND retracted = 0 AND content != '' AND id < ?",
            number,
            start.message,
        )
        return int(row["n"])

    def retract(self, message: int) -> None:
        """Take back a message and all after it, for a refused question; :meth:`purge` removes them from the disk."""
        with self._database.transaction() as connection:
            row = rows.message_row(connection, message)
            connection.execute(
                "UPDATE message SET retracted = 1 WHERE conversation = ? AND id >= ? AND retracted = 0",
                (row["conversation"], message),
            )
            # The prompt started at a message that is now hidden: the next one starts at the first message.
            connection.execute(
                "DELETE FROM horizon WHERE conversation = ? AND message >= ?", (row["conversation"], message)
            )

    def set_aside(self, message: int) -> None:
        """Leave a message and all after it as another version, to regenerate or to edit; :meth:`choose` returns."""
        with self._database.transaction() as connection:
            versions.set_aside(connection, message)

    def choose(self, message: int) -> None:
        """Show the version of the conversation that leads through a message."""
        with self._database.transaction() as connection:
            versions.choose(connection, message)

    def versions(self, message: int) -> list[int]:
        """Ids of all versions of a message, itself among them, oldest first."""
        return [row["id"] for row in self._database.rows(versions.VERSIONS_OF, message)]

    def path(self, number: int) -> set[int]:
        """Ids of the chosen messages of a conversation."""
        found = self._database.rows("SELECT id FROM message WHERE conversation = ? AND retracted = 0", number)
        return {row["id"] for row in found}

    def message(self, number: int) -> Message:
        """Find one message."""
        row = self._database.row("SELECT * FROM message WHERE id = ?", number)
        if row is None:
            raise InvalidInputError(f"There is no message {number}.", hint="See: edgechat history show ID --json")
        return self._to_message(row)

    def _to_message(self, row: Any) -> Message:  # noqa: ANN401 - sqlite3.Row's items are untyped
        """Convert a row; only questions have attachments."""
        if row["role"] != "user":
            return rows.to_message(row)
        found = self._database.rows("SELECT * FROM attachment WHERE message = ? ORDER BY position", row["id"])
        attachments = tuple(Attachment(each["name"], each["text"] or "", each["image"] or b"") for each in found)
        return rows.to_message(row, attachments)

    # Search, export, import

    def search(self, text: str, limit: int = 50) -> list[Hit]:
        """Find titles and messages that contain all words of ``text``; see :func:`edgechat.chat.search.find`."""
        return search.find(self._database, text, limit)

    def transcript(self, number: int) -> Transcript:
        """Read a conversation with all its messages."""
        all_versions = versions.tree(self._database.rows(versions.IN_TREE, number), self._to_message)
        return Transcript(self.conversation(number), tuple(self.messages(number)), all_versions)

    def add(self, transcripts: Iterable[Transcript]) -> tuple[list[int], int]:
        """Save imported conversations, all or none.

        Returns:
            Their ids, and how many were left out because the history has them already (same ``uid``).
        """
        added, known = [], 0
        with self._database.transaction() as connection:
            for transcript in transcripts:
                uid = transcript.conversation.uid
                if uid and connection.execute("SELECT 1 FROM conversation WHERE uid = ?", (uid,)).fetchone():
                    known += 1
                    continue
                number = rows.insert_conversation(connection, replace(transcript.conversation, forked_from=None))
                if transcript.versions:
                    versions.insert_tree(connection, number, transcript.versions)
                else:
                    for message in transcript.messages:
                        rows.insert_message(connection, number, message)
                added.append(number)
        return added, known

    def check_integrity(self) -> list[str]:
        """Run SQLite's integrity check over the whole file; returns its findings, none for a sound file."""
        found = [str(row[0]) for row in self._database.rows("PRAGMA integrity_check")]
        with self._database.transaction() as connection:
            connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")
        return [] if found == ["ok"] else found


_IDS_OF = "SELECT id FROM message WHERE conversation = ?"
