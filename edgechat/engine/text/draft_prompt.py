"""The prompt of a question that is still being written: everything that stays the same however it goes on.

Chat templates put text behind a question, and some trim it. So where the draft ends in the rendered prompt is not
searched for; the conversation is rendered a second time with something written on, and what both renderings have in
common is the beginning. The last token of a draft may merge with the characters that follow (``capit`` with ``al``), so
it is left out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgechat.engine.kv_cache.prefix import common_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgechat.engine.protocol.request import Message
    from edgechat.engine.text.prompt import Prompt

_CONTINUATION = "\N{WHITE SQUARE}\N{WHITE SQUARE}"
"""What is written on. Not a letter: it would be part of the last word."""


def draft_prompt(
    messages: Sequence[Message], build: Callable[[Sequence[Message]], Prompt], *, is_rewindable: bool
) -> Prompt:
    """The tokens that the prompt begins with, whatever is added to the last message.

    Args:
        messages: the conversation; the last message is the draft.
        build: renders and tokenizes a conversation.
        is_rewindable: whether the KV cache can be cut at any token. Where it cannot, a word that is deleted again would
            cost the whole conversation, so nothing of the draft's text is read: only what stands before it.
    """
    *before, last = messages
    if not is_rewindable:
        last = replace(last, content="")
    whole = build([*before, last])
    more = build([*before, replace(last, content=last.content + _CONTINUATION)])
    count = common_prefix(whole.tokens, more.tokens)
    if last.content:
        count = max(count - 1, min(whole.n_static, count))
    elif whole.n_static:
        count = min(whole.n_static, count)
    return replace(whole, tokens=whole.tokens[:count], n_static=min(whole.n_static, count))
