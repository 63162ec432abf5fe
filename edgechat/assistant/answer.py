"""A complete answer, as the assistant's calls return it, and how it is collected from events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgechat.assistant.tools import ToolCall
from edgechat.engine.protocol.events import Done, Started, Text, Trimmed
from edgechat.engine.protocol.request import Message
from edgechat.errors import DeadlineError, EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgechat.engine.protocol.events import Event


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    text: str
    model: str
    quant: str
    finish_reason: str
    """``stop``, ``tool_calls`` for a call, or ``length`` when it reached ``max_tokens``."""
    seed: int
    usage: Mapping[str, int] = field(default_factory=dict)
    """Tokens: ``prompt_tokens``, ``cached_tokens``, ``completion_tokens``, ``forced_tokens``, …"""
    timing: Mapping[str, float] = field(default_factory=dict)
    """Seconds and tokens per second, measured by the engine."""
    unread_messages: int = 0
    """Earlier messages that were not sent to the model because they did not fit (``overflow``)."""
    summary: str = ""
    """The summary that was sent in their place."""
    tool_calls: tuple[ToolCall, ...] = ()
    """The call that the model asks for, where tools were offered; at most one."""

    @property
    def message(self) -> Message:
        """The answer as a turn of the conversation, to be followed by the results of its calls."""
        return Message("assistant", self.text, tool_calls=tuple(call.for_template() for call in self.tool_calls))

    def __str__(self) -> str:
        return self.text


def collect_answer(events: Iterator[Event | ToolCall]) -> Answer:
    """Read the events of an answer to their end.

    Raises:
        DeadlineError: the time was over before the answer was complete.
        EngineError: the events ended without a final one.
    """
    text: list[str] = []
    calls: list[ToolCall] = []
    started: Started | None = None
    trimmed: Trimmed | None = None
    for event in events:
        if isinstance(event, Text) and not event.is_thought:
            text.append(event.text)
        elif isinstance(event, ToolCall):
            calls.append(event)
        elif isinstance(event, Started):
            started = event
        elif isinstance(event, Trimmed):
            trimmed = event
        elif isinstance(event, Done):
            if event.finish_reason == "timeout":
                raise DeadlineError("The time allowed for the answer ran out.", hint="Allow a longer timeout.")
            return Answer(
                text="".join(text),
                model=started.model if started else "",
                quant=started.quant if started else "",
                finish_reason=event.finish_reason,
                seed=event.seed,
                usage=event.usage,
                timing=event.timing,
                unread_messages=trimmed.messages if trimmed else 0,
                summary=trimmed.summary if trimmed else "",
                tool_calls=tuple(calls),
            )
    raise EngineError("The engine ended an answer without a final event.")
