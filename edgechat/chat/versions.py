"""Versions of messages: what regenerating and editing leave in the history, and the way through them that is shown.

Messages of a conversation form a tree: the versions of a message are the messages with the same parent. One of them is
chosen; the chosen messages from the first one on are the conversation that is shown, sent and counted. Everything here
runs inside the caller's transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.chat import rows
from edgechat.chat.conversation import Version

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from edgechat.chat.conversation import Message

ON_THE_WAY, TAKEN_BACK, ELSEWHERE = 0, 1, 2
"""Values of the column ``retracted``."""

_PATH = """
WITH RECURSIVE path (id) AS (
    SELECT max(id) FROM message WHERE conversation = ?1 AND parent IS NULL AND chosen = 1 AND retracted != 1
    UNION ALL
    SELECT m.id FROM path JOIN message m ON m.conversation = ?1 AND m.parent = path.id AND m.chosen = 1
        AND m.retracted != 1
)
UPDATE message SET retracted = CASE WHEN id IN (SELECT id FROM path) THEN 0 ELSE 2 END
WHERE conversation = ?1 AND retracted != 1
"""


def set_aside(connection: sqlite3.Connection, message: int) -> None:
    """Leave a message and all after it; the next message of the conversation becomes another version of it."""
    number = rows.message_row(connection, message)["conversation"]
    connection.execute(
        "UPDATE message SET retracted = 2 WHERE conversation = ? AND id >= ? AND retracted = 0", (number, message)
    )
    connection.execute("UPDATE message SET chosen = 0 WHERE id = ?", (message,))
    _forget_context_start(connection, number)


def choose(connection: sqlite3.Connection, message: int) -> None:
    """Lead the conversation through a message, and behind it through what was chosen there last."""
    row = rows.message_row(connection, message)
    number = row["conversation"]
    while row is not None:
        connection.execute(
            "UPDATE message SET chosen = (id = ?1) WHERE conversation = ?2 AND parent IS ?3 AND retracted != 1",
            (row["id"], number, row["parent"]),
        )
        row = connection.execute("SELECT * FROM message WHERE id = ?", (row["parent"],)).fetchone()
    connection.execute(_PATH, (number,))
    _forget_context_start(connection, number)


def _forget_context_start(connection: sqlite3.Connection, number: int) -> None:
    # A prompt that started at a message which is not shown any more starts at the first message again.
    connection.execute(
        "DELETE FROM horizon WHERE conversation = ?1 AND message NOT IN"
        " (SELECT id FROM message WHERE conversation = ?1 AND retracted = 0)",
        (number,),
    )


VERSIONS_OF = (
    "SELECT v.id FROM message m JOIN message v ON v.conversation = m.conversation AND v.parent IS m.parent"
    " AND v.retracted != 1 WHERE m.id = ? ORDER BY v.id"
)
"""Ids of all versions of a message, oldest first."""

IN_TREE = "SELECT * FROM message WHERE conversation = ? AND retracted != 1 ORDER BY id"


def tree(found: Sequence[sqlite3.Row], to_message: Callable[[sqlite3.Row], Message]) -> tuple[Version, ...]:
    """The rows of ``IN_TREE`` as versions; none when all of them are chosen."""
    if all(row["retracted"] == ON_THE_WAY for row in found):
        return ()
    places = {row["id"]: at for at, row in enumerate(found)}
    return tuple(Version(to_message(row), places.get(row["parent"]), bool(row["chosen"])) for row in found)


def insert_tree(connection: sqlite3.Connection, number: int, versions: Sequence[Version]) -> None:
    """Insert all versions of an imported conversation."""
    ids: list[int] = []
    for version in versions:
        ids.append(rows.insert_message(connection, number, version.message))
        parent = None if version.parent is None else ids[version.parent]
        connection.execute(
            "UPDATE message SET parent = ?, chosen = ? WHERE id = ?", (parent, version.is_chosen, ids[-1])
        )
    connection.execute(_PATH, (number,))
