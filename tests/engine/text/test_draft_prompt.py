"""The beginning of a prompt that stays the same however its question goes on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from edgechat.engine.protocol.request import Message
from edgechat.engine.text.draft_prompt import draft_prompt
from edgechat.engine.text.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

TURN = "<{role}>{content}</>"
HELLO = [Message("user", "Hello"), Message("assistant", "Hi.")]


def build(messages: Sequence[Message], *, trims: bool = False) -> Prompt:
    """A template with tags, words of letters as single tokens, everything else character by character."""
    shown = [(m.role, m.content.strip() if trims else m.content) for m in messages]
    text = "".join(TURN.format(role=role, content=content) for role, content in shown) + "<assistant>"
    words = re.findall(r"</?\w*>| ?\w+|.", text, re.DOTALL)
    n_static = words.index("<user>") + 1 if sum(m.role == "user" for m in messages) == 1 else 0
    return Prompt(tuple(map(hash, words)), n_static, None)


def whole(*words: str) -> tuple[int, ...]:
    return tuple(map(hash, words))


@pytest.mark.parametrize("trims", [False, True])
@pytest.mark.parametrize("rest", ["", "ital of France", " ital", "\n\nPlease", ", or", " "])
def test_the_question_begins_with_all_tokens_of_its_draft(rest, trims):
    messages = [*HELLO, Message("user", "What is the cap")]
    draft = draft_prompt(messages, lambda m: build(m, trims=trims), is_rewindable=True)
    question = build([*HELLO, Message("user", "What is the cap" + rest)], trims=trims)
    assert question.tokens[: len(draft.tokens)] == draft.tokens
    assert draft.tokens[-3:] == whole("What", " is", " the")


def test_an_empty_draft_is_the_conversation_and_the_template_before_the_question():
    draft = draft_prompt([*HELLO, Message("user", "")], build, is_rewindable=True)
    assert draft.tokens == build([*HELLO, Message("user", "x")]).tokens[: len(draft.tokens)]
    assert draft.tokens[-1] == hash("<user>")
    first = draft_prompt([Message("system", "Be kind"), Message("user", "")], build, is_rewindable=True)
    assert len(first.tokens) == first.n_static


def test_where_words_cannot_be_taken_back_none_is_read():
    draft = draft_prompt([*HELLO, Message("user", "What is the cap")], build, is_rewindable=False)
    assert draft.tokens == draft_prompt([*HELLO, Message("user", "")], build, is_rewindable=True).tokens
