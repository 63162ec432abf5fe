"""Conversations, messages and search hits as plain data; the title of a conversation.

Ids give the order, never a clock: a board without a battery-backed clock starts in 1970, and a clock that was set
wrongly may have been in 2099.
"""

from __future__ import annotations

import datetime
import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from collections.abc import Mapping

Role = Literal["user", "assistant", "system"]
Status = Literal["complete", "partial", "streaming"]
"""``partial``: the answer was cut off; ``streaming``: a process is writing it now."""
Origin = Literal["chat", "ask", "import"]

ROLES: tuple[Role, ...] = ("user", "assistant", "system")

_CLOCK_SET = 2024
"""A clock that shows an earlier year was never set: edgechat is younger than that."""

_TITLE_LENGTH = 60
"""Longest title in characters that is made from a message."""

_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that was sent with a question: its text, or the bytes of an image."""

    name: str
    text: str = ""
    image: bytes = b""

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.image) or len(self.text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class Message:
    """One message. Its text is unchanged: clean it (``edgechat.plaintext``) before printing it on a terminal."""

    role: Role
    content: str
    thought: str = ""
    """The reasoning text of a thinking model."""
    status: Status = "complete"
    finish_reason: str | None = None
    """``stop``, ``length``, ``cancelled`` or ``timeout`` from the engine; ``interrupted`` when the engine sent none."""
    model: str | None = None
    quant: str | None = None
    usage: dict[str, int] = field(default_factory=dict)
    """Token counts."""
    timing: dict[str, float] = field(default_factory=dict)
    """Seconds and tokens per second, by name."""
    created_at: str | None = None
    """UTC, ISO 8601; None when the clock was not set."""
    id: int = 0
    """Its id in this history, rising in the order of saving; 0 before it is saved."""
    attachments: tuple[Attachment, ...] = ()

    @property
    def full_text(self) -> str:
        """The text with that of its attachments before it, as the model reads it.

        In this order the engine can read an attachment while the question about it is typed.
        """
        parts = [f"{each.name}:\n{each.text}" for each in self.attachments if not each.image]
        parts += [self.content] if self.content else []
        return "\n\n".join(parts)

    def settled(self) -> Message:
        """This message; an answer that is still being written becomes a partial one."""
        return replace(self, status="partial", finish_reason="interrupted") if self.status == "streaming" else self


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation without its messages."""

    title: str = ""
    system: str = ""
    """The system prompt."""
    model: str | None = None
    """``NAME:QUANT`` that gave the last answer."""
    origin: Origin = "chat"
    """``edgechat ask -c`` continues only ``ask``."""
    created_at: str | None = None
    uid: str = ""
    """Unique id that survives export and import."""
    id: int = 0
    """Its id in this history; never used again for another conversation."""
    messages: int = 0
    """Number of messages."""
    forked_from: int | None = None
    """Id of the last message copied from the original, while that message is in this history."""
    is_deleted: bool = False
    sampling: Mapping[str, float] = field(default_factory=dict)
    """Sampling parameters that were set for this conversation, and ``max_tokens``."""


@dataclass(frozen=True, slots=True)
class ContextStart:
    """Where the prompt starts for a conversation that has outgrown the context; the history keeps all of it."""

    message: int
    """Id of the first message that is sent."""
    n_ctx: int
    """Size in tokens of the context that was too small for more."""
    summary: str = ""
    """Summary that is sent in place of the messages before."""


@dataclass(frozen=True, slots=True)
class Version:
    """A message of a conversation that has several versions, and its place in the tree of messages."""

    message: Message
    parent: int | None
    """Index, in the list of versions, of the message before it; None for a first message."""
    is_chosen: bool
    """Whether it is the chosen one of the messages with this parent."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """A conversation with its messages, as exported and imported."""

    conversation: Conversation
    messages: tuple[Message, ...]
    """The chosen ones, in order."""
    versions: tuple[Version, ...] = ()
    """All messages, those that are not chosen too; empty when there are no others."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result. ``snippet`` is one line, cleaned of control characters."""

    conversation: int
    title: str
    message: int | None
    """Id of the message; None when the title matched."""
    role: Role | None
    created_at: str | None
    snippet: str
    spans: tuple[tuple[int, int], ...]
    """Start and end of each match in ``snippet``, in characters."""


def title_from(text: str) -> str:
    """Make a title from a first message: its first line that is not empty, cut between words to ``_TITLE_LENGTH``."""
    line = next(filter(None, map(clean_line, text.splitlines())), "")
    if len(line) <= _TITLE_LENGTH:
        return line
    cut = line[:_TITLE_LENGTH]
    head = cut.rpartition(" ")[0]
    # Japanese and Chinese have no spaces to cut at.
    return (head if len(head) > _TITLE_LENGTH // 2 else cut).rstrip() + "…"


def utc_time(seconds: float | None = None) -> str | None:
    """UTC time in ISO 8601 of ``seconds`` since 1970 (default: now); None while the clock is not set."""
    try:
        now = datetime.datetime.fromtimestamp(time.time() if seconds is None else seconds, datetime.timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
    return now.isoformat(timespec="seconds").replace("+00:00", "Z") if now.year >= _CLOCK_SET else None


def storable(text: str) -> str:
    """Replace half surrogate pairs, which UTF-8 cannot encode and broken arguments contain, with U+FFFD."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)
