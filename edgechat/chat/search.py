"""Full-text search over titles and messages: index, ranking, hits. Terms and snippets: ``storage/search_terms.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgechat.chat.conversation import Hit
from edgechat.storage.search_terms import pieces, query, snippet, terms

if TYPE_CHECKING:
    import sqlite3

    from edgechat.storage.database import Database


def find(database: Database, text: str, limit: int) -> list[Hit]:
    """Search titles and messages that are not deleted. See ``_RANKED`` for the order."""
    wanted = pieces(text)
    return [_hit(row, wanted) for row in database.rows(_RANKED, query(text), limit)] if wanted else []


def _hit(row: Any, wanted: list[str]) -> Hit:  # noqa: ANN401 - sqlite3.Row's items are untyped
    line, spans = snippet(row["content"], wanted)
    return Hit(row["conversation"], row["title"], row["message"], row["role"], row["created_at"], line, spans)


# The row id of a title is minus its conversation's id, so in descending order titles would come last: two parts.
_RANKED = """
SELECT * FROM (
    SELECT c.id AS conversation, c.title, NULL AS message, NULL AS role, c.created_at, c.title AS content, 0 AS rank
    FROM words JOIN conversation c ON c.id = -words.rowid
    WHERE words MATCH ?1 AND words.rowid < 0 AND c.deleted = 0 ORDER BY words.rowid LIMIT ?2
) UNION ALL SELECT * FROM (
    SELECT c.id, c.title, m.id, m.role, m.created_at, m.content || coalesce((
        SELECT char(10) || group_concat(a.text, char(10)) FROM attachment a WHERE a.message = m.id
    ), ''), 1
    FROM words CROSS JOIN message m ON m.id = words.rowid JOIN conversation c ON c.id = m.conversation
    WHERE words MATCH ?1 AND words.rowid > 0 AND c.deleted = 0 AND m.retracted != 1
    ORDER BY words.rowid DESC LIMIT ?2
) LIMIT ?2
"""
"""The ranking, over all versions: matching titles first, then matching messages; within both, the newest first."""


def index(connection: sqlite3.Connection, row: int, text: str) -> None:
    """Index ``text`` under ``row``, in place of what was indexed there."""
    connection.execute("DELETE FROM words WHERE rowid = ?", (row,))
    connection.execute("INSERT INTO words (rowid, terms) VALUES (?, ?)", (row, terms(text)))
