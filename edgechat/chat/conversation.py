"""What a conversation and its messages are, apart from where they are kept.

Plain data. Order is told by numbers that the history gives out, never by a clock: a board without a battery-backed one
starts in 1970, and one that was set wrongly may have been in 2099.
"""

from __future__ import annotations

import datetime
import re
import time
from dataclasses import dataclass, field, replace
from typing import Literal

from edgechat.plaintext import clean_line

Role = Literal["user", "assistant", "system"]
Status = Literal["complete", "partial", "streaming"]
"""``partial``: the answer ended before the model did; ``streaming``: a process is writing it at this moment."""
Origin = Literal["chat", "ask", "import"]

ROLES: tuple[Role, ...] = ("user", "assistant", "system")

_CLOCK_SET = 2024
"""A clock that shows an earlier year than edgechat's first has not been set."""

_TITLE_LENGTH = 60

_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Message:
    """One message. Text is kept as it was said: clean it (``edgechat.plaintext``) before a terminal sees it."""

    role: Role
    content: str
    thought: str = ""
    """What a thinking model thought before it answered."""
    status: Status = "complete"
    finish_reason: str | None = None
    """``stop``, ``length``, ``cancelled`` or ``timeout`` as the engine said; ``interrupted`` when it could not say."""
    model: str | None = None
    quant: str | None = None
    usage: dict[str, int] = field(default_factory=dict)
    """Token counts."""
    timing: dict[str, float] = field(default_factory=dict)
    """Seconds and tokens per second, by name."""
    created_at: str | None = None
    """UTC, ISO 8601; None when the clock was not set."""
    id: int = 0
    """The history's own number, rising in the order in which messages were kept; 0 before it is kept."""

    def settled(self) -> Message:
        """Itself, or for an answer that is still being written what there is of it, as a partial one."""
        return replace(self, status="partial", finish_reason="interrupted") if self.status == "streaming" else self


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a list of conversations shows about one."""

    title: str = ""
    system: str = ""
    """Its system prompt."""
    model: str | None = None
    """``NAME:QUANT`` of its last answer."""
    origin: Origin = "chat"
    """``ask`` is what ``edgechat ask -c`` continues."""
    created_at: str | None = None
    uid: str = ""
    """Stays the same through export and import."""
    id: int = 0
    """Its number in this history; never given to another one."""
    messages: int = 0
    """How many it holds."""
    forked_from: int | None = None
    """The message behind which it was forked, if that is still in this history."""
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class Horizon:
    """Where the model begins to read a conversation that has outgrown its context; all of it stays in the history."""

    message: int
    """The number of the first message that it reads."""
    n_ctx: int
    """Tokens of the context that was too small for more."""
    summary: str = ""
    """What it reads in place of those before."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """A conversation with all it holds, as exports and imports carry it."""

    conversation: Conversation
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """One place that a search found. ``snippet`` is one clean line."""

    conversation: int
    title: str
    message: int | None
    """None when the title was found."""
    role: Role | None
    created_at: str | None
    snippet: str
    spans: tuple[tuple[int, int], ...]
    """Where in ``snippet`` the words looked for begin and end, in characters."""


def title_of(text: str) -> str:
    """A title from a first message: the first line that says something, cut between words where there are any."""
    line = next(filter(None, map(clean_line, text.splitlines())), "")
    if len(line) <= _TITLE_LENGTH:
        return line
    cut = line[:_TITLE_LENGTH]
    head = cut.rpartition(" ")[0]
    # Japanese and Chinese have no blanks to cut at.
    return (head if len(head) > _TITLE_LENGTH // 2 else cut).rstrip() + "…"


def moment(seconds: float | None = None) -> str | None:
    """UTC time in ISO 8601 for ``seconds`` since 1970 (default: now), or None while the clock has not been set."""
    try:
        now = datetime.datetime.fromtimestamp(time.time() if seconds is None else seconds, datetime.timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
    return now.isoformat(timespec="seconds").replace("+00:00", "Z") if now.year >= _CLOCK_SET else None


def storable(text: str) -> str:
    """``text`` as UTF-8 can carry it: half a surrogate pair, as broken arguments bring them, becomes U+FFFD."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)
