"""How a conversation stands to its context: what is not read any more, and what would be left out next. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.engine.protocol.context_window import Cut
    from edgechat.engine.protocol.request import Message

_FROM = 0.5
"""Share of the context from which it is said what would go: before, nobody needs to know."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Numbers of messages, the oldest first."""

    unread: int = 0
    """Left out already."""
    next: int = 0
    """Would be left out when the context is full; 0 while it is half empty."""


UNCUT = Outlook()


def outlook(messages: Sequence[Message], *, used: int, n_ctx: int, dropped: int = 0) -> int:
    """How many messages trimming would drop next; 0 while the context is half empty.

    By the engine's own rule, with lengths in characters in place of tokens: which messages go is told before anybody
    has counted them.

    Args:
        messages: the conversation as it was sent.
        used: tokens of what was read and answered.
        n_ctx: tokens of the context; 0 where it is not known.
        dropped: those of ``messages`` that were left out of this very answer.
    """
    from edgechat.engine.protocol import context_window  # noqa: PLC0415 - the engine's side, which the first frame need not wait for

    if not n_ctx or used < _FROM * n_ctx:
        return 0
    limit = context_window.longest_prompt(n_ctx, None)
    known = context_window.Cut(dropped)
    whole = max(1, sum(len(each.content) for each in context_window.apply(messages, known)))

    def count(cut: Cut) -> int:
        return -(-(limit + 1) * sum(len(each.content) for each in context_window.apply(messages, cut)) // whole)

    return context_window.choose(messages, count, n_ctx=n_ctx, max_tokens=None, known=known).dropped - dropped
