"""Prefixes of token sequences: what two of them share, what of it can be restored, and other spellings of one text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

Tokens = tuple[int, ...]


def common_prefix(a: Tokens, b: Tokens) -> int:
    """Length of the longest common prefix."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    # By bisection: comparing slices is a hundred times faster than comparing tokens one by one.
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low


class CutRule(Protocol):
    """Where the cells of a sequence can be cut, so that only its first tokens stay."""

    def cut_at(self, held: Tokens, count: int, slot: int = -1) -> int:
        """The most tokens, ``count`` at most, to which cells that hold ``held`` can be cut.

        Args:
            held: tokens in the cells.
            count: at most as many as ``held`` has.
            slot: where they are; -1 for a copy outside of the cache.
        """

    def answer_start(self, held: Tokens) -> int:
        """Tokens before the last answer, where it is known; 0 elsewhere.

        Templates that drop thoughts from the history rewrite the answer, and nothing before it.
        """


class AnyToken:
    """The rule of plain attention: a cell for each token, each of which can be removed."""

    def cut_at(self, held: Tokens, count: int, slot: int = -1) -> int:  # noqa: ARG002 - of no importance here
        """``count``."""
        return count

    def answer_start(self, held: Tokens) -> int:  # noqa: ARG002
        """0: it makes no difference."""
        return 0


def restorable_prefix(held: Tokens, prompt: Tokens, rule: CutRule, slot: int = -1) -> int:
    """Length of the longest prefix of ``prompt`` that can be restored from cells that hold ``held``.

    Args:
        held: tokens in the cells.
        prompt: tokens to continue with. Callers leave out its last one, which is always decoded: cells hold no logits.
        rule: where the cells can be cut.
        slot: where they are; -1 for a copy outside of the cache.
    """
    return rule.cut_at(held, common_prefix(held, prompt), slot)


def retokenized(
    prompt: Tokens,
    held: Tokens,
    piece: Callable[[int], bytes],
    is_special: Callable[[int], bool],
) -> Tokens:
    """Replace the beginning of a prompt by as many held tokens as spell the same text.

    A model now and then spells a word with other tokens than the tokenizer chooses for the same text. When its answer
    comes back in the next turn's prompt, the cells behind that word would match no prompt and be computed again.

    Args:
        prompt: its tokens, as the tokenizer chose them.
        held: the tokens that the cells of the conversation hold.
        piece: a token's bytes.
        is_special: whether a token may control the model; such a token is equal only to itself.
    """
    same = at, there = 0, 0
    # Bytes that one of the two has spelled beyond the other.
    ahead, is_held_ahead = b"", False
    while True:
        if not ahead:
            shared = common_prefix(prompt[at:], held[there:])
            same = at, there = at + shared, there + shared
        is_next_held = not is_held_ahead if ahead else True
        tokens, index = (held, there) if is_next_held else (prompt, at)
        # Negative ids stand for pictures.
        if index >= len(tokens) or tokens[index] < 0 or is_special(tokens[index]):
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
