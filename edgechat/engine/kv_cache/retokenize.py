"""A conversation's tokens as the model itself chose them, where a tokenizer would choose others for the same text.

What a model said comes back as text, in the next turn's prompt. Now and then it had spelled a word in other pieces
than the tokenizer does; from there on the cells of its answer would fit no prompt, and it would be read again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.engine.kv_cache.allocator import common_prefix

if TYPE_CHECKING:
    from collections.abc import Callable


def respelled(
    prompt: tuple[int, ...],
    held: tuple[int, ...],
    piece: Callable[[int], bytes],
    may_steer: Callable[[int], bool],
) -> tuple[int, ...]:
    """The prompt, beginning with as many held tokens as spell the same text.

    Args:
        prompt: its tokens, as the tokenizer chose them.
        held: what the cells of the conversation so far hold.
        piece: a token's bytes.
        may_steer: whether a token may steer the model; such a one stands for itself and for no text.
    """
    same = at, there = 0, 0
    # What one of the two has spelled beyond the other.
    ahead, is_held_ahead = b"", False
    while True:
        if not ahead:
            shared = common_prefix(prompt[at:], held[there:])
            same = at, there = at + shared, there + shared
        is_next_held = not is_held_ahead if ahead else True
        tokens, index = (held, there) if is_next_held else (prompt, at)
        if index >= len(tokens) or tokens[index] < 0 or may_steer(tokens[index]):
            break
        text = piece(tokens[index])
        if not text:
            break
        if is_next_held:
            there += 1
        else:
            at += 1
        if not ahead:
            ahead, is_held_ahead = text, is_next_held
        elif ahead.startswith(text):
            ahead = ahead[len(text) :]
        elif text.startswith(ahead):
            ahead, is_held_ahead = text[len(ahead) :], is_next_held
        else:
            break
    return held[: same[1]] + prompt[same[0] :]
