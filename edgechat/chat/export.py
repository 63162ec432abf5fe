"""Write conversations as lossless JSON and as Markdown.

The output may reach a terminal: Markdown is cleaned of control characters, JSON escapes them.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgechat.plaintext import clean, clean_line
from edgechat.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgechat.chat.conversation import Conversation, Message, Transcript

FORMAT = "edgechat-history"
FORMAT_VERSION = 1

_LOCAL_FIELDS = frozenset(("id", "messages", "forked_from", "is_deleted"))
"""Fields that have no meaning in another history."""

_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Characters that :func:`edgechat.plaintext.clean` removes and JSON does not escape by itself."""


def safe_json(value: object, *, indent: int | None = None) -> str:
    """JSON with readable text in any script, in which control characters are escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _UNSAFE.sub(lambda each: f"\\u{ord(each[0]):04x}", text)


def to_json(transcripts: Iterable[Transcript]) -> str:
    """The conversations as one JSON object that :func:`edgechat.chat.import_conversations.read` reads back."""
    conversations = [
        {
            **{name: value for name, value in asdict(each.conversation).items() if name not in _LOCAL_FIELDS},
            "messages": [message_json(message.settled()) for message in each.messages],
        }
        for each in transcripts
    ]
    envelope = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "edgechat_version": __version__,
        "conversations": conversations,
    }
    return safe_json(envelope, indent=1) + "\n"


def message_json(message: Message) -> dict[str, Any]:
    """A message as a JSON object, without its id."""
    facts = asdict(message)
    del facts["id"]
    return facts


def conversation_json(conversation: Conversation) -> dict[str, Any]:
    """A conversation as a JSON object of ``--json``."""
    return asdict(conversation)


def to_markdown(transcripts: Iterable[Transcript]) -> str:
    """The conversations as one Markdown document."""
    return "\n\n---\n\n".join(map(_document, transcripts)) + "\n"


def _document(transcript: Transcript) -> str:
    conversation = transcript.conversation
    parts = [f"# {_inline(conversation.title) or 'Untitled'}"]
    facts = [fact for fact in (conversation.created_at, conversation.model) if fact]
    if facts:
        parts.append(_inline(" · ".join(facts)))
    if conversation.system:
        parts += ["## System prompt", clean(conversation.system).strip()]
    parts += [_section(message) for message in transcript.messages]
    return "\n\n".join(parts)


def _section(message: Message) -> str:
    who = {"user": "You", "assistant": "Assistant", "system": "System"}[message.role]
    name = message.model if not message.quant else f"{message.model}:{message.quant}"
    parts = [f"## {who}" + (f" ({_inline(name)})" if name else "")]
    if message.thought:
        quoted = "\n".join(f"> {line}".rstrip() for line in clean(message.thought).strip().splitlines())
        parts.append(f"> *Thought*\n>\n{quoted}")
    if text := clean(message.content).strip():
        parts.append(_with_closed_fence(text))
    if message.status != "complete":
        parts.append(f"*({incomplete_reason(message)})*")
    elif message.finish_reason == "length":
        parts.append("*(cut at the longest answer allowed)*")
    return "\n\n".join(parts)


def incomplete_reason(message: Message) -> str:
    """Why an answer is incomplete, in words."""
    words = {
        "cancelled": "cancelled",
        "timeout": "the time allowed ran out",
        "interrupted": "interrupted",
        "empty": "the model ended without a text",
    }
    if message.status == "streaming":
        return "still being written"
    return words.get(message.finish_reason or "", "incomplete")


def _with_closed_fence(text: str) -> str:
    """Close an open code fence at the end of ``text``, so that what follows a cut answer is not code."""
    fence = ""
    for line in text.splitlines():
        if not (found := re.match(r" {0,3}(`{3,}|~{3,})(.*)", line)):
            continue
        mark, rest = found[1], found[2]
        if not fence:
            fence = mark
        elif mark[0] == fence[0] and len(mark) >= len(fence) and not rest.strip():
            fence = ""
    return f"{text}\n{fence}" if fence else text


def _inline(text: str) -> str:
    """One line with Markdown's special characters escaped."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", clean_line(text))
