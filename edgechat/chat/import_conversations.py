"""Read conversations from a file: edgechat's own JSON, and the message lists that other tools write.

Formats: ``{"messages": [{"role", "content"}]}``, alone, in an array, or one per line (JSONL); an array or JSONL of such
messages, which is one conversation; and ``{"conversations": [{"from": "human" | "gpt", "value"}]}``. Parts that cannot
be imported are counted and reported. The whole file is checked before anything is imported.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from edgechat.chat.conversation import ROLES, Attachment, Conversation, Message, Role, Transcript, Version
from edgechat.chat.export import FORMAT, FORMAT_VERSIONS
from edgechat.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

_ROLES: dict[str, Role] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
    # ShareGPT's names.
    "human": "user",
    "gpt": "assistant",
}
_IGNORED_ROLES = ("tool", "function")

_STATUSES = ("complete", "partial")


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """The conversations of a file."""

    transcripts: tuple[Transcript, ...]
    notes: tuple[str, ...]
    """What was left out, one sentence each."""


def read(text: str, name: str) -> ImportedFile:
    """Read the conversations in ``text``; ``name`` is the file's name for error messages.

    Raises:
        InvalidInputError: the text has none of the known formats; the message names the place.
    """
    reader = _Reader(name)
    try:
        data = _parse(text.lstrip("\ufeff"))
    except RecursionError:
        reader.refuse("", "is nested too deeply")
    except ValueError as error:
        data = _lines(text, reader, error)
    if isinstance(data, dict) and "format" in data:
        return ImportedFile(tuple(reader.read_own(data)), ())
    transcripts = reader.read_other(data)
    if not transcripts:
        reader.refuse("", "holds no conversation")
    return ImportedFile(tuple(transcripts), tuple(reader.notes()))


def _parse(text: str) -> Any:  # noqa: ANN401 - JSON
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no number of JSON")

    return json.loads(text, parse_constant=refuse)


def _lines(text: str, reader: _Reader, whole: ValueError) -> list[Any]:
    """Read JSONL; ``whole`` is the error of reading it as one JSON document."""
    values = []
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    for number, line in lines:
        try:
            values.append(_parse(line))
        except RecursionError:
            reader.refuse(f"line {number}", "is nested too deeply")
        except ValueError as error:
            # For a broken JSON document, the place in the whole document helps more than "line 1 is not JSON".
            reader.refuse(f"line {number}", f"is not JSON: {error if values else whole}")
    return values


class _Reader:
    def __init__(self, name: str) -> None:
        self._name = name
        self._tools = 0
        self._parts = 0

    def refuse(self, where: str, what: str) -> NoReturn:
        raise InvalidInputError(
            f"{self._name}{f': {where}' if where else ''} {what}.",
            hint="Known are exports of edgechat, and lists of messages with role and content (JSON or JSONL).",
        )

    def notes(self) -> list[str]:
        found = []
        if self._tools:
            found.append(f"{self._tools} message(s) of tools were left out: a history holds text alone.")
        if self._parts:
            found.append(f"{self._parts} part(s) that are not text (images, calls of tools) were left out.")
        return found

    # edgechat's own format

    def read_own(self, data: dict[str, Any]) -> list[Transcript]:
        if data["format"] != FORMAT:
            self.refuse("format", f"is {data['format']!r}, which is not a history")
        if data.get("version") not in FORMAT_VERSIONS:
            self.refuse("version", f"is {data.get('version')!r}; this edgechat reads up to {FORMAT_VERSIONS[-1]}")
        conversations = self._list(data.get("conversations"), "conversations")
        return [self._own(each, f"conversations[{at}]") for at, each in enumerate(conversations)]

    def _own(self, value: object, where: str) -> Transcript:
        facts = self._object(value, where)
        messages = self._list(facts.pop("messages", None), f"{where}.messages")
        # `ask -c` must not continue an imported conversation.
        facts["origin"] = "import"
        conversation = Conversation(**self._typed(facts, _CONVERSATION, where))
        read = [self._own_message(each, at, f"{where}.messages[{at}]") for at, each in enumerate(messages)]
        if all(each.parent is None and each.is_chosen for each in read):
            return Transcript(conversation, tuple(each.message for each in read))
        chosen: dict[int | None, int] = {}
        for at, each in enumerate(read):
            if each.is_chosen and chosen.setdefault(each.parent, at) != at:
                self.refuse(
                    f"{where}.messages[{at}].chosen",
                    f"is true, as is that of messages[{chosen[each.parent]}] beside it",
                )
        return Transcript(conversation, (), tuple(read))

    def _own_message(self, value: object, at: int, where: str) -> Version:
        facts = self._typed(self._object(value, where), _MESSAGE, where)
        for name in ("role", "content"):
            if name not in facts:
                self.refuse(where, f"has no {name}")
        parent, is_chosen = facts.pop("parent", None), facts.pop("chosen", True)
        if parent is not None and parent >= at:
            self.refuse(f"{where}.parent", f"is {parent}, which does not come before it")
        files = self._list(facts.pop("attachments", []), f"{where}.attachments")
        attachments = tuple(self._attachment(each, f"{where}.attachments[{n}]") for n, each in enumerate(files))
        return Version(Message(**facts, attachments=attachments), parent, is_chosen)

    def _attachment(self, value: object, where: str) -> Attachment:
        facts = self._object(value, where)
        name, text, image = facts.get("name"), facts.get("text", ""), facts.get("image", "")
        if not (isinstance(name, str) and isinstance(text, str) and isinstance(image, str)):
            self.refuse(where, "has no name, or neither a text nor an image")
        try:
            return Attachment(name, text, base64.b64decode(image, validate=True))
        except ValueError:
            self.refuse(f"{where}.image", "is not base64")

    def _typed(self, facts: dict[str, Any], known: dict[str, Callable[[Any], bool]], where: str) -> dict[str, Any]:
        for name, value in facts.items():
            if name not in known:
                self.refuse(f"{where}.{name}", "is not known to this edgechat")
            if not known[name](value):
                self.refuse(f"{where}.{name}", f"is {json.dumps(value)[:60]}, which cannot be")
        return facts

    # Formats of other tools

    def read_other(self, data: object) -> list[Transcript]:
        if isinstance(data, dict):
            return [self._thread(data, "")]
        values = self._list(data, "")
        if values and all(isinstance(each, dict) and ("role" in each or "from" in each) for each in values):
            return [self._transcript(values, Conversation(origin="import"), "")]
        return [self._thread(each, f"[{at}]") for at, each in enumerate(values)]

    def _thread(self, value: object, where: str) -> Transcript:
        thread = self._object(value, where)
        key = "messages" if "messages" in thread else "conversations"
        messages = self._list(thread.get(key), f"{where}.{key}".lstrip("."))
        title = thread.get("title")
        conversation = Conversation(title=title if isinstance(title, str) else "", origin="import")
        return self._transcript(messages, conversation, f"{where}.{key}".lstrip("."))

    def _transcript(self, values: list[Any], conversation: Conversation, where: str) -> Transcript:
        messages = [self._message(each, f"{where}[{at}]") for at, each in enumerate(values)]
        kept = [message for message in messages if message is not None]
        if kept and kept[0].role == "system":
            conversation = Conversation(title=conversation.title, system=kept.pop(0).content, origin="import")
        return Transcript(conversation, tuple(kept))

    def _message(self, value: object, where: str) -> Message | None:
        facts = self._object(value, where)
        role = facts.get("role", facts.get("from"))
        if role in _IGNORED_ROLES:
            self._tools += 1
            return None
        if not isinstance(role, str) or role not in _ROLES:
            self.refuse(f"{where}.role", f"is {json.dumps(role)[:60]}; known are {', '.join(_ROLES)}")
        content = self._text(facts.get("content", facts.get("value")), where)
        if content is None:
            self._parts += 1
            return None
        thought = facts.get("reasoning_content")
        return Message(_ROLES[role], content, thought if isinstance(thought, str) else "")

    def _text(self, content: object, where: str) -> str | None:
        """The text of a message, or None when it has none (a tool call, for example)."""
        if content is None or isinstance(content, str):
            return content
        texts = []
        for at, part in enumerate(self._list(content, f"{where}.content")):
            found = part if isinstance(part, str) else self._object(part, f"{where}.content[{at}]").get("text")
            if isinstance(found, str):
                texts.append(found)
            else:
                self._parts += 1
        return "\n\n".join(texts)

    def _object(self, value: object, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.refuse(where, "is not an object")
        return dict(value)

    def _list(self, value: object, where: str) -> list[Any]:
        if not isinstance(value, list):
            self.refuse(where, "is not a list of messages" if where else "holds no conversation")
        return value


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_numbers(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(each, (int, float)) and not isinstance(each, bool) for each in value.values()
    )


_CONVERSATION: dict[str, Callable[[Any], bool]] = {
    "title": _is_text,
    "system": _is_text,
    "model": _is_text_or_none,
    "origin": _is_text,
    "created_at": _is_text_or_none,
    "uid": _is_text,
    "sampling": _is_numbers,
}
_MESSAGE: dict[str, Callable[[Any], bool]] = {
    "role": lambda value: value in ROLES,
    "content": _is_text,
    "thought": _is_text,
    "status": lambda value: value in _STATUSES,
    "finish_reason": _is_text_or_none,
    "model": _is_text_or_none,
    "quant": _is_text_or_none,
    "usage": _is_numbers,
    "timing": _is_numbers,
    "created_at": _is_text_or_none,
    "attachments": lambda value: isinstance(value, list),
    "parent": lambda value: value is None or (type(value) is int and value >= 0),
    "chosen": lambda value: isinstance(value, bool),
}
