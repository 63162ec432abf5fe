"""The context gauge: how full the context is, and how many messages were and will be trimmed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.engine.protocol.conversation_trimming import Cut
    from edgechat.engine.protocol.request import Message

_FORECAST_FROM = 0.5
"""Share of the context in use from which the next trimming is shown."""


@dataclass(frozen=True, slots=True)
class TrimForecast:
    """Numbers of messages, counted from the oldest."""

    unread: int = 0
    """Messages that were trimmed already: the model no longer reads them."""
    next: int = 0
    """Messages that are trimmed when the context is full; 0 while it is less than half full."""


NOTHING_TRIMMED = TrimForecast()


def gauge_text(used: int, n_ctx: int, forecast: TrimForecast = NOTHING_TRIMMED, width: int = 8) -> str:
    """The gauge, for example ``2 unread · oldest 4 go next · ▰▰▱▱▱▱▱▱ 1,234/4,096``; ``""`` for an unknown context.

    Args:
        used: tokens of the conversation.
        n_ctx: tokens of the context; 0 where it is not known.
        forecast: what trimming did and will do.
        width: cells of the bar.
    """
    if not n_ctx:
        return ""
    filled = min(width, max(1 if used else 0, round(width * used / n_ctx)))
    parts = [f"{forecast.unread} unread"] if forecast.unread else []
    if forecast.next:
        parts.append(f"oldest {forecast.next} go next")
    return " · ".join([*parts, f"{'▰' * filled}{'▱' * (width - filled)} {used:,}/{n_ctx:,}"])


def count_next_trimmed(messages: Sequence[Message], *, used: int, n_ctx: int, dropped: int = 0) -> int:
    """How many messages the engine would trim next; 0 while the context is less than half full.

    Uses the engine's own rule, with lengths in characters in place of tokens: no tokenizer is loaded here.

    Args:
        messages: the conversation as it was sent.
        used: tokens of prompt and answer.
        n_ctx: tokens of the context; 0 where it is not known.
        dropped: how many of ``messages`` were trimmed for this answer.
    """
    from edgechat.engine.protocol import conversation_trimming  # noqa: PLC0415 - the first frame need not wait for it

    if not n_ctx or used < _FORECAST_FROM * n_ctx:
        return 0
    limit = conversation_trimming.longest_prompt(n_ctx, None)
    known = conversation_trimming.Cut(dropped)
    whole = max(1, sum(len(each.content) for each in conversation_trimming.apply(messages, known)))

    def count(cut: Cut) -> int:
        return -(-(limit + 1) * sum(len(each.content) for each in conversation_trimming.apply(messages, cut)) // whole)

    return conversation_trimming.choose(messages, count, n_ctx=n_ctx, max_tokens=None, known=known).dropped - dropped
