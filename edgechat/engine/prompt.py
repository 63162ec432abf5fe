"""From a conversation to token ids, such that nothing a user wrote can become a control token.

The template decides where roles begin and end; it is tokenized with control tokens recognised. A control token's
spelling inside a message is taken out before rendering, put back behind it, and tokenized as plain text. Messages are
otherwise left in one piece with the template's text, because SentencePiece vocabularies prefix a space to each piece.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edgechat.engine.reply import open_thought

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.engine.request import Message


class Tokenizer(Protocol):
    """The part of a model's vocabulary that prompts need."""

    @property
    def bos_text(self) -> str:
        """The beginning-of-sequence token as templates spell it."""

    @property
    def adds_bos(self) -> bool:
        """True when a prompt must begin with BOS."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of a text."""

    def is_control(self, token: int) -> bool:
        """True for tokens that steer the model."""

    def text_of(self, token: int) -> str:
        """A token's spelling."""


class Template(Protocol):
    """What renders a conversation."""

    def render(self, messages: Sequence[dict[str, str]], *, think: bool, add_generation_prompt: bool = True) -> str:
        """The prompt text."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation ready to be decoded."""

    tokens: tuple[int, ...]
    open_thought: str | None
    """Closing tag of a thought that the template has opened for the model, or None."""


def build(
    messages: Sequence[Message], template: Template, tokenizer: Tokenizer, *, takes_system: bool, think: bool
) -> Prompt:
    """Render and tokenize a conversation.

    Raises:
        InvalidInputError: the template rejects the conversation.
        TemplateError: the template fails.
    """
    turns = [{"role": m.role, "content": m.content} for m in messages]
    if not takes_system:
        turns = _fold_system(turns)
    # Unlike any spelling a user could guess, and without whitespace that templates trim.
    nonce = secrets.token_hex(8)
    swapped: list[str] = []
    for turn in turns:
        turn["content"] = _swap_out(turn["content"], tokenizer, nonce, swapped)
    text = template.render(turns, think=think)
    return Prompt(_tokenize(text, tokenizer, nonce, swapped), open_thought(text[-64:]))


def _fold_system(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """Put system messages in front of the user message that follows, for templates that have no place for them."""
    folded: list[dict[str, str]] = []
    pending = ""
    for turn in turns:
        if turn["role"] == "system":
            pending += turn["content"] + "\n\n"
        elif turn["role"] == "user" and pending:
            folded.append({"role": "user", "content": pending + turn["content"]})
            pending = ""
        else:
            folded.append(turn)
    if pending:
        folded.append({"role": "user", "content": pending.rstrip()})
    return folded


def _swap_out(text: str, tokenizer: Tokenizer, nonce: str, swapped: list[str]) -> str:
    """Replace each control token's spelling by a placeholder; ``swapped`` remembers the spellings by number."""
    while True:
        tokens = tokenizer.tokenize(text, add_special=False, parse_special=True)
        spellings = {tokenizer.text_of(token) for token in tokens if tokenizer.is_control(token)} - {""}
        if not (found := [spelling for spelling in spellings if spelling in text]):
            return text
        # One spelling may contain another, so the longest goes first; the loop ends because text only gets used up.
        longest = max(found, key=len)
        head, *rest = text.split(longest)
        text = head
        for part in rest:
            text += f"{nonce}.{len(swapped)}.{part}"
            swapped.append(longest)


def _tokenize(text: str, tokenizer: Tokenizer, nonce: str, swapped: list[str]) -> tuple[int, ...]:
    # A template that spells BOS itself must not get a second one.
    adds_bos = tokenizer.adds_bos and not (tokenizer.bos_text and text.startswith(tokenizer.bos_text))
    if not swapped:
        return tuple(tokenizer.tokenize(text, add_special=adds_bos, parse_special=True))
    tokens: list[int] = []
    head, *rest = text.split(f"{nonce}.")
    tokens += tokenizer.tokenize(head, add_special=adds_bos, parse_special=True)
    for part in rest:
        number, _, tail = part.partition(".")
        tokens += _continue(tokenizer, swapped[int(number)], parse_special=False)
        tokens += _continue(tokenizer, tail, parse_special=True)
    return tuple(tokens)


def _continue(tokenizer: Tokenizer, text: str, *, parse_special: bool) -> list[int]:
    """Tokens of a text that continues another, without the space that SentencePiece puts before a beginning."""
    if not text:
        return []
    lead = tokenizer.tokenize("\n", add_special=False, parse_special=False)
    both = tokenizer.tokenize("\n" + text, add_special=False, parse_special=parse_special)
    if both[: len(lead)] == lead:
        return both[len(lead) :]
    return tokenizer.tokenize(text, add_special=False, parse_special=parse_special)
