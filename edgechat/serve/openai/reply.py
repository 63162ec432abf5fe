"""Responses in OpenAI's format, made from the engine's events. Pure data."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from edgechat.engine.protocol.events import Done, Started, Text

if TYPE_CHECKING:
    from edgechat.engine.protocol.events import Event
    from edgechat.serve.openai.tools import ToolCallParser

Kind = Literal["chat", "completion"]

_PREFIX = {"chat": "chatcmpl-", "completion": "cmpl-"}
_OBJECT = {"chat": "chat.completion", "completion": "text_completion"}


@dataclass(slots=True)
class Reply:
    """Builds one response: feed it each event, then send :meth:`complete`, or the chunks of a stream."""

    kind: Kind
    wants_usage: bool = False
    id: str = ""
    created: int = field(default_factory=lambda: int(time.time()))
    started: Started | None = None
    done: Done | None = None
    text: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    n_tokens: int = 0
    """Tokens received so far."""
    tool_parser: ToolCallParser | None = None
    """Set when the answer may be a tool call."""

    _delta: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.id = self.id or _PREFIX[self.kind] + secrets.token_hex(12)

    def feed(self, event: Event) -> None:
        """Process one event."""
        if isinstance(event, Started):
            self.started = self.started or event
        elif isinstance(event, Text):
            (self.thoughts if event.is_thought else self.text).append(event.text)
            if self.tool_parser is not None and not event.is_thought:
                self._delta = self.tool_parser.feed(event.text)
            self.n_tokens += len(event.tokens)
        elif isinstance(event, Done):
            self.done = event

    def first_chunk(self) -> dict[str, Any] | None:
        """The first chunk of a stream, with the role; None for completions."""
        if self.kind == "completion":
            return None
        return self._chunk({"delta": {"role": "assistant", "content": ""}})

    def chunk(self, event: Text) -> dict[str, Any] | None:
        """The chunk for the text that was fed last; None when there is nothing to send yet."""
        if self.kind == "completion":
            return self._chunk({"text": "" if event.is_thought else event.text})
        if self.tool_parser is not None and not event.is_thought:
            return None if self._delta is None else self._chunk({"delta": self._delta})
        return self._chunk({"delta": {"reasoning_content" if event.is_thought else "content": event.text}})

    def last_chunks(self) -> list[dict[str, Any]]:
        """The last chunks of a stream: the finish reason, then the usage if the client wants it."""
        body: dict[str, Any] = {"text": ""} if self.kind == "completion" else {"delta": {}}
        chunks = [self._chunk(body, finish_reason=self.finish_reason)]
        if self.tool_parser is not None and (rest := self.tool_parser.end()) is not None:
            chunks.insert(0, self._chunk({"delta": rest}))
        if self.wants_usage:
            chunks.append({**self._chunk({}), "choices": [], "usage": self.usage})
        return chunks

    def complete(self) -> dict[str, Any]:
        """The response in one object."""
        text = "".join(self.text)
        if self.kind == "completion":
            body: dict[str, Any] = {"text": text, "logprobs": None}
        else:
            message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
            if self.tool_parser is not None:
                self.tool_parser.end()
                if self.tool_parser.name:
                    message |= {"content": None, "tool_calls": [self.tool_parser.call]}
            if self.thoughts:
                message["reasoning_content"] = "".join(self.thoughts)
            body = {"message": message, "logprobs": None}
        return {
            **self._head(_OBJECT[self.kind]),
            "choices": [{"index": 0, **body, "finish_reason": self.finish_reason}],
            "usage": self.usage,
        }

    @property
    def finish_reason(self) -> str:
        """``stop``, ``tool_calls``, ``length``, or ``error`` for an answer without a text.

        OpenAI has no ``timeout``, so an answer cut by time is ``length`` too.
        """
        if self.done is not None and self.done.finish_reason == "empty":
            return "error"
        if self.done is None or self.done.finish_reason != "stop":
            return "length"
        return "tool_calls" if self.tool_parser is not None and self.tool_parser.name else "stop"

    @property
    def usage(self) -> dict[str, Any]:
        """Token counts, under OpenAI's names."""
        used = self.done.usage if self.done is not None else self._partial_usage()
        prompt, completion = used.get("prompt_tokens", 0), used.get("completion_tokens", 0)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": used.get("cached_tokens", 0)},
        }

    def _partial_usage(self) -> dict[str, int]:
        """The counts known so far, for an answer without a ``Done`` event."""
        prompt = self.started.prompt_tokens if self.started else 0
        return {"prompt_tokens": prompt, "completion_tokens": self.n_tokens}

    def _chunk(self, body: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        name = "chat.completion.chunk" if self.kind == "chat" else _OBJECT[self.kind]
        head = self._head(name)
        if self.wants_usage:
            head["usage"] = None
        return {**head, "choices": [{"index": 0, **body, "logprobs": None, "finish_reason": finish_reason}]}

    def _head(self, name: str) -> dict[str, Any]:
        label = f"{self.started.model}:{self.started.quant}" if self.started else ""
        return {"id": self.id, "object": name, "created": self.created, "model": label}
