"""Responses in OpenAI's format, made from the engine's events. Pure data."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from edgechat.engine.protocol.events import Done, Logprobs, Started, Text

if TYPE_CHECKING:
    from edgechat.engine.client.tool_call_parser import ToolCallParser
    from edgechat.engine.protocol.events import Event

Kind = Literal["chat", "completion"]

_PREFIX = {"chat": "chatcmpl-", "completion": "cmpl-"}
_OBJECT = {"chat": "chat.completion", "completion": "text_completion"}


@dataclass(slots=True)
class Choice:
    """One answer of a response."""

    kind: Kind
    index: int = 0
    tool_parser: ToolCallParser | None = None
    """Set when the answer may be a tool call."""
    started: Started | None = None
    done: Done | None = None
    text: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    n_tokens: int = 0
    """Tokens received so far."""
    logprobs: list[dict[str, Any]] | None = None
    """An entry for each token, where the request asks for them."""
    _n_sent: int = 0
    """Entries of :attr:`logprobs` that a chunk has carried."""
    _delta: dict[str, Any] | None = None

    def feed(self, event: Event) -> None:
        """Process one event."""
        if isinstance(event, Started):
            self.started = self.started or event
        elif isinstance(event, Logprobs) and self.logprobs is not None:
            self.logprobs += event.entries
        elif isinstance(event, Text):
            (self.thoughts if event.is_thought else self.text).append(event.text)
            if self.tool_parser is not None and not event.is_thought:
                self._delta = self.tool_parser.feed(event.text)
            self.n_tokens += len(event.tokens)
        elif isinstance(event, Done):
            self.done = event

    def body(self, event: Text) -> dict[str, Any] | None:
        """What a chunk holds for the text that was fed last; None when there is nothing to send yet."""
        if self.kind == "completion":
            return {"text": "" if event.is_thought else event.text}
        if self.tool_parser is not None and not event.is_thought:
            return None if self._delta is None else {"delta": self._delta}
        return {"delta": {"reasoning_content" if event.is_thought else "content": event.text}}

    def rest(self) -> dict[str, Any] | None:
        """The same for text that was held back, when the answer has ended."""
        delta = self.tool_parser.end() if self.tool_parser is not None else None
        return None if delta is None else {"delta": delta}

    def with_logprobs(self, body: dict[str, Any], *, is_whole: bool = False) -> dict[str, Any]:
        """``body`` with the log probabilities that no chunk has carried yet, or with all of them."""
        if self.logprobs is None:
            return {**body, "logprobs": None}
        entries = self.logprobs if is_whole else self.logprobs[self._n_sent :]
        self._n_sent = len(self.logprobs)
        if self.kind == "chat":
            return {**body, "logprobs": {"content": entries, "refusal": None}}
        return {**body, "logprobs": _legacy(entries)}

    def complete(self) -> dict[str, Any]:
        """The whole choice."""
        text = "".join(self.text)
        if self.kind == "completion":
            body: dict[str, Any] = {"text": text}
        else:
            message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
            if self.tool_parser is not None:
                self.tool_parser.end()
                if self.tool_parser.name:
                    message |= {"content": None, "tool_calls": [self.tool_parser.call]}
            if self.thoughts:
                message["reasoning_content"] = "".join(self.thoughts)
            body = {"message": message}
        body = self.with_logprobs(body, is_whole=True)
        return {"index": self.index, **body, "finish_reason": self.finish_reason}

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
    def counts(self) -> dict[str, int]:
        """Token counts, those known so far where the answer has no ``Done`` event."""
        if self.done is not None:
            return self.done.usage
        return {"prompt_tokens": self.started.prompt_tokens if self.started else 0, "completion_tokens": self.n_tokens}


@dataclass(slots=True)
class Reply:
    """Builds one response: feed it each event, then send :meth:`complete`, or the chunks of a stream."""

    kind: Kind
    choices: list[Choice]
    wants_usage: bool = False
    id: str = ""
    created: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        self.id = self.id or _PREFIX[self.kind] + secrets.token_hex(12)

    def first_chunks(self) -> list[dict[str, Any]]:
        """The first chunks of a stream, with the role; none for completions."""
        if self.kind == "completion":
            return []
        opening = {"delta": {"role": "assistant", "content": ""}, "logprobs": None}
        return [self._chunk(choice, opening) for choice in self.choices]

    def chunk(self, choice: Choice, event: Text) -> dict[str, Any] | None:
        """The chunk for the text that was fed last; None when there is nothing to send yet."""
        body = choice.body(event)
        return None if body is None else self._chunk(choice, choice.with_logprobs(body))

    def last_chunks(self) -> list[dict[str, Any]]:
        """The last chunks of a stream: the finish reasons, then the usage if the client wants it."""
        chunks = []
        for choice in self.choices:
            if (rest := choice.rest()) is not None:
                chunks.append(self._chunk(choice, choice.with_logprobs(rest)))
            end: dict[str, Any] = {"text": ""} if self.kind == "completion" else {"delta": {}}
            chunks.append(self._chunk(choice, choice.with_logprobs(end), choice.finish_reason))
        if self.wants_usage:
            chunks.append({**self._head_of_chunk(), "choices": [], "usage": self.usage})
        return chunks

    def complete(self) -> dict[str, Any]:
        """The response in one object."""
        return {
            **self._head(_OBJECT[self.kind]),
            "choices": [choice.complete() for choice in self.choices],
            "usage": self.usage,
        }

    @property
    def usage(self) -> dict[str, Any]:
        """Token counts, under OpenAI's names; the prompt counts once, however many answers it has."""
        counts = [choice.counts for choice in self.choices]
        prompt = max(each.get("prompt_tokens", 0) for each in counts)
        completion = sum(each.get("completion_tokens", 0) for each in counts)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": counts[0].get("cached_tokens", 0)},
        }

    def _chunk(self, choice: Choice, body: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        head = self._head_of_chunk()
        if self.wants_usage:
            head["usage"] = None
        return {**head, "choices": [{"index": choice.index, **body, "finish_reason": finish_reason}]}

    def _head_of_chunk(self) -> dict[str, Any]:
        return self._head("chat.completion.chunk" if self.kind == "chat" else _OBJECT[self.kind])

    def _head(self, name: str) -> dict[str, Any]:
        started = next((each.started for each in self.choices if each.started), None)
        label = f"{started.model}:{started.quant}" if started else ""
        return {"id": self.id, "object": name, "created": self.created, "model": label}


def _legacy(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Log probabilities in the form of ``/v1/completions``."""
    offsets, at = [], 0
    for entry in entries:
        offsets.append(at)
        at += len(entry["token"])
    return {
        "tokens": [entry["token"] for entry in entries],
        "token_logprobs": [entry["logprob"] for entry in entries],
        "top_logprobs": [{each["token"]: each["logprob"] for each in entry["top_logprobs"]} for entry in entries],
        "text_offset": offsets,
    }
