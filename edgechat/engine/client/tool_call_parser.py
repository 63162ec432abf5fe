"""The parser of a model's tool call: from streamed text to the deltas of OpenAI's format. Pure.

A call is JSON, bare, between the tags of Hermes' template, or in a Markdown fence, as coder models write it. The
grammar of the constraint ``tool_call`` lets no plain text begin so, which is why the beginning decides.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import Any

_CALL_START = re.compile(
    r'\s*(?:<tool_call>\s*|```(?:json)?\s*)?\{\s*"name"\s*:\s*"(?P<name>[\w.-]+)"\s*,\s*"arguments"\s*:\s*'
)
_FENCE_BEGUN = re.compile(
    r'\s*(?:`{1,3}|```(?:j|js|jso|json)|```(?:json)?\s*(?:\{\s*(?:"(?:n|na|nam|name|name"[\s:]*)?)?)?)'
)
"""The beginning of a fence that may become a call: nothing of it contradicts one."""
_FENCED_NAME = re.compile(r'\s*```(?:json)?\s*\{\s*"name"\s*:\s*"(?P<name>[\w.-]*)(?P<end>"?)')
_CALL_END = re.compile(r"\s*\}\s*(?:</tool_call>|```)?\s*\Z")
_KEPT = 48
"""Characters held back: longer than what may follow the arguments, in every notation."""


@dataclass(slots=True)
class ToolCallParser:
    """Parses streamed text that may be a tool call. Call :meth:`feed` for each piece, then :meth:`end`."""

    offered: frozenset[str]
    """Names of the tools."""
    is_call: bool | None = None
    """None until the beginning of the text decides it."""
    name: str = ""
    id: str = field(default_factory=lambda: f"call_{secrets.token_hex(12)}")
    arguments: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    """The answer's text, where it is no call."""
    _pending: str = ""
    """Text that may still belong to the frame around the arguments."""

    def feed(self, text: str) -> dict[str, Any] | None:
        """Parse a piece of text, and return the delta to send, or None when there is none yet."""
        self._pending += text
        if self.is_call is None:
            self.is_call = self._decide()
        if self.is_call is None:
            return None
        if not self.is_call:
            return self._text_delta()
        if not self.name:
            return self._parse_start()
        ready, self._pending = self._pending[:-_KEPT], self._pending[-_KEPT:]
        return self._arguments_delta(ready)

    def end(self) -> dict[str, Any] | None:
        """The last delta: the end of the arguments, without the frame around them, or text that was held back."""
        if not self.name:
            return self._text_delta()
        rest, self._pending = _CALL_END.sub("", self._pending, count=1), ""
        return self._arguments_delta(rest)

    @property
    def call(self) -> dict[str, Any]:
        """The whole call, in OpenAI's format."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": "".join(self.arguments)},
        }

    def _decide(self) -> bool | None:
        """Whether the text so far is a call; None while it may become one."""
        first = self._pending.lstrip()[:1]
        if first in {"{", "<"}:
            return True
        if first != "`":
            return False if first else None
        if named := _FENCED_NAME.match(self._pending):
            if named["end"]:
                return named["name"] in self.offered
            return None if any(each.startswith(named["name"]) for each in self.offered) else False
        return None if _FENCE_BEGUN.fullmatch(self._pending) else False

    def _parse_start(self) -> dict[str, Any] | None:
        found = _CALL_START.match(self._pending)
        if found is None:
            return None
        self.name, self._pending = found["name"], self._pending[found.end() :]
        first = {"index": 0, "id": self.id, "type": "function", "function": {"name": self.name, "arguments": ""}}
        return {"tool_calls": [first]}

    def _arguments_delta(self, text: str) -> dict[str, Any] | None:
        if not self.arguments:
            text = text.lstrip()
        if not text:
            return None
        self.arguments.append(text)
        return {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}

    def _text_delta(self) -> dict[str, Any] | None:
        text, self._pending = self._pending, ""
        if not text:
            return None
        self.text.append(text)
        return {"content": text}
