"""Has the model sum up what a conversation outgrew, before that is left out; without a summary where it cannot.

Runs at the client: two ordinary requests, of which the first reads what is in the cache already and is bounded in
length. Light, as ``client.py`` demands.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from edgechat.engine.protocol.context_window import split
from edgechat.engine.protocol.events import Done, Event, Loading, Prefill, Queued, Recovered, Text
from edgechat.engine.protocol.request import Message, Request
from edgechat.errors import ContextOverflowError, EdgechatError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

WISH = (
    "Summarize our conversation so far in a few short sentences, in the language that we speak: names, numbers, what "
    "was decided and what is still open. Write nothing else."
)
_SHARE, _LEAST, _MOST = 16, 32, 160
"""Tokens of a summary: this part of the context, within these bounds. It is read at every turn from then on."""

_SENTENCE_END = re.compile(r"[.!?](?=\s)|[。！？\n]")


def summarized(answer: Callable[[Request], Iterator[Event]], request: Request) -> Iterator[Event]:
    """The events of an answer; should earlier messages have to go, they are summed up first.

    Args:
        answer: asks the engine.
        request: whose ``overflow`` is ``summarize``.

    Raises:
        EdgechatError: as ``answer`` does. That no summary could be had is none: then the messages just go.
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
        # Its beginning is what was read for the last answer.
        messages=(*system, *body[:dropped], Message("user", WISH)),
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
                yield event  # somebody waits
            elif isinstance(event, Done):
                reason = event.finish_reason
    except EdgechatError:
        # Whatever stands in the way of the answer itself, the next request says.
        return ""
    return "" if reason not in {"stop", "length"} else whole_sentences("".join(text), is_cut=reason == "length")


def whole_sentences(text: str, *, is_cut: bool) -> str:
    """A summary without the sentence that its bound cut, unless that is all there is."""
    ends = [each.end() for each in _SENTENCE_END.finditer(text)]
    return (text[: ends[-1]] if is_cut and ends else text).strip()
