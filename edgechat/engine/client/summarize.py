"""Summarizes the earlier messages of a conversation that no longer fits the context, before they are left out.

Two ordinary requests of the client: the first asks for the summary (its prompt is in the KV cache already, its length
is bounded), the second for the answer. Where no summary can be made, the messages are left out without one.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from edgechat.engine.protocol.conversation_trimming import split
from edgechat.engine.protocol.events import Done, Event, Loading, Prefill, Queued, Recovered, Text
from edgechat.engine.protocol.request import Message, Request
from edgechat.errors import ContextOverflowError, EdgechatError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

SUMMARY_PROMPT = (
    "Summarize our conversation so far in a few short sentences, in the language that we speak: names, numbers, what "
    "was decided and what is still open. Write nothing else."
)
_SHARE, _LEAST, _MOST = 16, 32, 160
"""Tokens of a summary: one part in 16 of the context, within 32 and 160. Every later turn reads it."""

_SENTENCE_END = re.compile(r"[.!?](?=\s)|[。！？\n]")


def answer_with_summary(answer: Callable[[Request], Iterator[Event]], request: Request) -> Iterator[Event]:
    """The events of an answer; earlier messages that no longer fit are summarized first.

    Args:
        answer: sends a request to the engine.
        request: its ``overflow`` is ``summarize``.

    Raises:
        EdgechatError: as ``answer`` does; never for the summary itself.
    """
    began = time.monotonic()
    try:
        yield from answer(request)
    except ContextOverflowError as error:
        if not error.dropped:
            raise
        dropped, n_ctx = error.dropped, error.n_ctx
    else:
        return
    yield Queued(f"summing up {dropped} earlier messages")
    summary = yield from _summary(answer, request, dropped, n_ctx)
    left = request.timeout_s
    if left is not None:
        left = max(left - (time.monotonic() - began), 0.001)
    request = replace(request, timeout_s=left)
    yield from answer(replace(request, summary=summary) if summary else replace(request, overflow="trim"))


def _summary(
    answer: Callable[[Request], Iterator[Event]], request: Request, dropped: int, n_ctx: int
) -> Generator[Event, None, str]:
    system, body = split(request.messages)
    asked = Request(
        # The same beginning as the last request, whose prefix is in the KV cache.
        messages=(*system, *body[:dropped], Message("user", SUMMARY_PROMPT)),
        wish=request.wish,
        sampling={"temperature": 0, "repeat_penalty": 1.1},
        max_tokens=max(_LEAST, min(n_ctx // _SHARE, _MOST)),
        timeout_s=None if request.timeout_s is None else request.timeout_s / 2,
        overflow="trim",
    )
    text: list[str] = []
    reason = ""
    try:
        for event in answer(asked):
            if isinstance(event, Text) and not event.is_thought:
                text.append(event.text)
            elif isinstance(event, (Loading, Prefill, Recovered)):
                yield event
            elif isinstance(event, Done):
                reason = event.finish_reason
    except EdgechatError:
        # An error that also concerns the answer is raised by the next request.
        return ""
    return "" if reason not in {"stop", "length"} else whole_sentences("".join(text), is_cut=reason == "length")


def whole_sentences(text: str, *, is_cut: bool) -> str:
    """The text without an unfinished last sentence, unless it has no other."""
    ends = [each.end() for each in _SENTENCE_END.finditer(text)]
    return (text[: ends[-1]] if is_cut and ends else text).strip()
