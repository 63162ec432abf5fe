"""Conversations and messages as rows of the tables in ``schema.py``: insert, update and read them.

Everything here runs inside the caller's transaction.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from edgechat.chat import search
from edgechat.chat.conversation import Attachment, Conversation, Message, storable, title_from
from edgechat.errors import InvalidInputError
from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    import sqlite3


def insert_conversation(connection: sqlite3.Connection, conversation: Conversation) -> int:
    """Insert a conversation without messages; returns its id."""
    number = connection.execute(
        "INSERT INTO conversation (uid, title, system, model, origin, created_at, forked_from, sampling, touched)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(touched), 0) + 1 FROM conversation))",
        (
            storable(conversation.uid) or secrets.token_hex(16),
            clean_line(storable(conversation.title)),
            storable(conversation.system),
            _text(conversation.model),
            conversation.origin,
            _text(conversation.created_at),
            conversation.forked_from,
            json.dumps(dict(conversation.sampling)),
        ),
    ).lastrowid
    assert number is not None  # noqa: S101 - sqlite3 types it for statements that insert nothing
    if conversation.title:
        search.index(connection, -number, conversation.title)
    return number


def update_conversation(connection: sqlite3.Connection, number: int, column: str, value: object) -> None:
    """Set one column of a conversation.

    Raises:
        InvalidInputError: there is no row with that id.
    """
    changed = connection.execute(f"UPDATE conversation SET {column} = ? WHERE id = ?", (value, number)).rowcount  # noqa: S608
    if not changed:
        raise InvalidInputError(f"There is no conversation {number}.", hint="See: edgechat history list")


def insert_message(connection: sqlite3.Connection, number: int, message: Message, writer: str | None = None) -> int:
    """Append a message after the last chosen one; the first message of a user gives the conversation its title.

    Returns the message's id.

    Raises:
        InvalidInputError: there is no such conversation.
    """
    row = connection.execute("SELECT title FROM conversation WHERE id = ?", (number,)).fetchone()
    if row is None:
        raise InvalidInputError(f"There is no conversation {number}.", hint="See: edgechat history list")
    content = storable(message.content)
    inserted = connection.execute(
        "INSERT INTO message (conversation, role, content, thought, status, finish_reason, model, quant, usage, timing,"
        " created_at, writer, parent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
        " (SELECT max(id) FROM message WHERE conversation = ?1 AND retracted = 0))",
        (
            number,
            message.role,
            content,
            storable(message.thought),
            message.status,
            _text(message.finish_reason),
            _text(message.model),
            _text(message.quant),
            json.dumps(message.usage),
            json.dumps(message.timing),
            _text(message.created_at),
            writer,
        ),
    ).lastrowid
    assert inserted is not None  # noqa: S101 - as above
    connection.executemany(
        "INSERT INTO attachment (message, position, name, text, image) VALUES (?, ?, ?, ?, ?)",
        [
            (inserted, at, storable(each.name), None if each.image else storable(each.text), each.image or None)
            for at, each in enumerate(message.attachments)
        ],
    )
    if text := storable(message.full_text):
        search.index(connection, inserted, text)
    if not row["title"] and message.role == "user" and (title := title_from(message.content or message.full_text)):
        # Not indexed: a search finds the message itself.
        update_conversation(connection, number, "title", title)
    connection.execute(
        "UPDATE conversation SET touched = (SELECT max(touched) + 1 FROM conversation) WHERE id = ?", (number,)
    )
    return inserted


def _text(value: str | None) -> str | None:
    return None if value is None else storable(value)


def message_row(connection: sqlite3.Connection, message: int) -> sqlite3.Row:
    """Find the row of a message.

    Raises:
        InvalidInputError: there is no row with that id.
    """
    row: sqlite3.Row | None = connection.execute("SELECT * FROM message WHERE id = ?", (message,)).fetchone()
    if row is None:
        raise InvalidInputError(f"There is no message {message}.", hint="See: edgechat history show ID --json")
    return row


def to_conversation(row: Any) -> Conversation:  # noqa: ANN401 - sqlite3.Row's items are untyped
    """Convert a row that also counts ``messages``."""
    return Conversation(
        title=row["title"],
        system=row["system"],
        model=row["model"],
        origin=row["origin"],
        created_at=row["created_at"],
        uid=row["uid"],
        id=row["id"],
        messages=row["messages"],
        forked_from=row["forked_from"],
        is_deleted=row["deleted"] > 0,
        sampling=json.loads(row["sampling"]),
    )


def to_message(row: Any, attachments: tuple[Attachment, ...] = ()) -> Message:  # noqa: ANN401 - as above
    """Convert a row of ``message``."""
    return Message(
        role=row["role"],
        content=row["content"],
        thought=row["thought"],
        status=row["status"],
        finish_reason=row["finish_reason"],
        model=row["model"],
        quant=row["quant"],
        usage=json.loads(row["usage"]),
        timing=json.loads(row["timing"]),
        created_at=row["created_at"],
        id=row["id"],
        attachments=attachments,
    )
