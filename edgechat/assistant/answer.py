"""A complete answer, as the assistant's calls return it, and how it is collected from events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgechat.engine.protocol.events import Done, Started, Text, Trimmed
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
    """``stop``, or ``length`` when it reached ``max_tokens``."""
    seed: int
    usage: Mapping[str, int] = field(default_factory=dict)
    """Tokens: ``prompt_tokens``, ``cached_tokens``, ``completion_tokens``, ``forced_tokens``, …"""
    timing: Mapping[str, float] = field(default_factory=dict)
    """Seconds and tokens per second, measured by the engine."""
    unread_messages: int = 0
    """Earlier messages that were not sent to the model because they did not fit (``overflow``)."""
    summary: str = ""
    """The summary that was sent in their place."""

    def __str__(self) -> str:
        return self.text


def collect_answer(events: Iterator[Event]) -> Answer:
    """Read the events of an answer to their end.

    Raises:
        DeadlineError: the time was over before the answer was complete.
        EngineError: the events ended without a final one.
    """
    text: list[str] = []
    started: Started | None = None
    trimmed: Trimmed | None = None
    for event in events:
        if isinstance(event, Text) and not event.is_thought:
            text.append(event.text)
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
            )
    raise EngineError("The engine ended an answer without a final event.")
