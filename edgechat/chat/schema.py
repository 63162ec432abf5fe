"""The tables of the history, and the steps from older versions."""

from __future__ import annotations

from edgechat.storage.schema import Schema

APPLICATION_ID = 0x45436861
"""``ECha`` in ASCII."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # AUTOINCREMENT: no id is used twice, so ids give the order even after the newest rows were removed.
        """CREATE TABLE conversation (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            uid TEXT NOT NULL UNIQUE,
            title TEXT NOT NULL DEFAULT '',
            system TEXT NOT NULL DEFAULT '',
            model TEXT,
            origin TEXT NOT NULL,
            created_at TEXT,
            forked_from INTEGER REFERENCES message (id) ON DELETE SET NULL,
            touched INTEGER NOT NULL UNIQUE,
            deleted INTEGER NOT NULL DEFAULT 0
        )""",
        """CREATE TABLE message (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            conversation INTEGER NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
            role TEXT NOT NULL CHECK (role IN ('user', 'assistant', 'system')),
            content TEXT NOT NULL,
            thought TEXT NOT NULL DEFAULT '',
            status TEXT NOT NULL CHECK (status IN ('complete', 'partial', 'streaming')),
            finish_reason TEXT,
            model TEXT,
            quant TEXT,
            usage TEXT NOT NULL DEFAULT '{}',
            timing TEXT NOT NULL DEFAULT '{}',
            created_at TEXT,
            retracted INTEGER NOT NULL DEFAULT 0,
            writer TEXT
        )""",
        "CREATE INDEX message_by_conversation ON message (conversation, retracted, id)",
        "CREATE INDEX message_being_written ON message (writer) WHERE status = 'streaming'",
        "CREATE INDEX conversation_by_fork ON conversation (forked_from) WHERE forked_from IS NOT NULL",
        # rowid: a message's id, or minus a conversation's id for its title. The text comes from search.terms(),
        # which has already split Japanese and Chinese into pairs and removed accents.
        """CREATE VIRTUAL TABLE words USING fts5(
            terms, tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* Co'"
        )""",
    ),
    (
        # Where the prompt starts for a conversation that has outgrown the context.
        """CREATE TABLE horizon (
            conversation INTEGER PRIMARY KEY REFERENCES conversation (id) ON DELETE CASCADE,
            message INTEGER NOT NULL,
            n_ctx INTEGER NOT NULL,
            summary TEXT NOT NULL
        )""",
    ),
    (
        # Versions: messages with the same parent are versions of each other, and one of them is chosen. `retracted` is
        # 0 on the way that leads through chosen messages, 2 elsewhere, and 1 for messages that were taken back.
        "ALTER TABLE message ADD COLUMN parent INTEGER",
        "ALTER TABLE message ADD COLUMN chosen INTEGER NOT NULL DEFAULT 1",
        """UPDATE message SET parent = (
            SELECT max(earlier.id) FROM message earlier
            WHERE earlier.conversation = message.conversation AND earlier.retracted = 0 AND earlier.id < message.id
        ) WHERE retracted = 0""",
        "CREATE INDEX message_by_parent ON message (conversation, parent)",
        # What was sent with a question: text, or the bytes of an image file.
        """CREATE TABLE attachment (
            message INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            name TEXT NOT NULL,
            text TEXT,
            image BLOB,
            PRIMARY KEY (message, position)
        )""",
        # Sampling parameters of a conversation, as JSON.
        "ALTER TABLE conversation ADD COLUMN sampling TEXT NOT NULL DEFAULT '{}'",
    ),
)
"""One step per schema version, each a sequence of SQL statements. The schema version is the number of steps: to change
the schema, append a step."""

HISTORY = Schema("history", APPLICATION_ID, MIGRATIONS)
"""The schema of this edgechat."""
