"""Who leaves the KV cache for a prompt, and what stays of each: decisions over token ids alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.engine.kv_cache import eviction
from edgechat.engine.kv_cache.allocator import CellAllocator
from edgechat.engine.kv_cache.eviction import MIN_SWAP_TOKENS, MIN_TOKENS, SingleQuestions, sequences_to_evict
from edgechat.engine.protocol.request import Message, Request
from tests.engine.kv_cache.cut_rules import ANY, WHOLE, AtPlaces

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from edgechat.engine.kv_cache.prefix import CutRule, Tokens

INSTRUCTIONS = tuple(range(MIN_TOKENS))
QUESTION = Message("user", "Where was it?")


def sequence(number: int, length: int = 200) -> Tokens:
    """The instructions, and behind them tokens that no other sequence has."""
    return (*INSTRUCTIONS, *range(1000 * number, 1000 * number + length))


def evicted(
    prompt: Tokens,
    retained: Mapping[int, Tokens],
    *,
    questions: SingleQuestions | None = None,
    pinned: Collection[int] = (),
    rule: CutRule = ANY,
    swaps: Collection[int] = range(100),
) -> dict[int, int]:
    """What is evicted, and how many tokens stay of it, where only the slots in ``swaps`` find room in host memory."""
    return dict(
        sequences_to_evict(
            prompt,
            retained,
            questions or SingleQuestions(),
            pinned=pinned,
            rule=rule,
            swap_out=lambda slot, _tokens: slot in swaps,
        )
    )


def test_what_a_prompt_continues_stays_and_one_copy_of_the_instructions() -> None:
    retained = {0: sequence(1), 1: sequence(2), 2: sequence(3)}
    assert evicted((*sequence(2), 7), retained) == {0: MIN_TOKENS, 2: 0}
    assert evicted((*sequence(9), 7), retained) == {0: MIN_TOKENS, 1: 0, 2: 0}


def test_a_conversation_that_finds_no_room_in_host_memory_stays() -> None:
    retained = {0: sequence(1), 1: sequence(2)}
    assert evicted((*sequence(9), 7), retained, swaps=(1,)) == {1: MIN_TOKENS}


def test_short_ones_pinned_ones_and_pictures_stay() -> None:
    retained = {0: sequence(1, MIN_SWAP_TOKENS - 1), 1: sequence(2), 2: (*sequence(3), -5)}
    assert evicted((*sequence(9), 7), retained, pinned=(1,)) == {}


def test_of_a_single_question_only_what_others_share_stays() -> None:
    retained = {0: sequence(1), 1: sequence(2)}
    questions = SingleQuestions()
    questions.add(0, "client", 40, retained)
    assert evicted((*sequence(9), 7), retained, questions=questions, swaps=()) == {0: 40}
    assert evicted((999, 7), {0: sequence(1, 20)}, questions=questions) == {0: 40}, ()


def test_what_cannot_be_cut_leaves_as_a_whole_or_is_continued_as_a_whole() -> None:
    retained = {0: sequence(1), 1: sequence(2)}
    assert evicted((*sequence(1), 7), retained, rule=WHOLE) == {1: 0}
    assert evicted((*sequence(1)[:150], 7), retained, rule=WHOLE) == {0: 0, 1: 0}


def test_an_answer_that_the_template_rewrites_belongs_to_a_conversation_that_is_continued() -> None:
    short_question = sequence(1, 300)
    asked = MIN_TOKENS + 20
    prompt = (*short_question[:asked], 7, 8, 9)
    rule = AtPlaces((asked,))
    assert evicted(prompt, {0: short_question}, rule=rule) == {}
    cells = CellAllocator(1000, 2, rule)
    cells.admit(short_question, 400)
    cells.retain(0, short_question)
    allocation = cells.admit(prompt, 100)
    assert allocation is not None
    assert (allocation.slot, allocation.reused) == (0, asked)


def test_single_questions_do_not_fill_the_cache_for_everybody_else() -> None:
    cells = CellAllocator(1000, 8)
    questions, cleared = SingleQuestions(), []
    for number in range(5):
        allocation = cells.admit((number, 7), 10)
        assert allocation is not None
        questions.reused(allocation.slot)
        cells.retain(allocation.slot, (number, 7))
        # The first is a conversation.
        surplus = questions.add(allocation.slot, "client", 0, cells.all_retained) if number else []
        for slot in surplus:
            cells.free_slot(slot)
            questions.shortened(slot)
        cleared += surplus
    assert cleared == [1, 2, 1]
    # The conversation, and the last question.
    assert [cells.retained(slot) for slot in (0, 1, 2)] == [(0, 7), (), (4, 7)]


def test_questions_of_a_disconnected_client_are_cut_when_another_one_begins() -> None:
    retained = {0: sequence(1), 1: sequence(2)}
    questions = SingleQuestions()
    for slot, client in ((0, "gone"), (1, "there")):
        questions.add(slot, client, MIN_TOKENS, retained)
    questions.client_disconnected("gone")
    assert list(questions.orphaned((*sequence(1), 7), retained)) == [], "the same question again"
    assert list(questions.orphaned((*sequence(9), 7), retained)) == [(0, MIN_TOKENS)]
    assert list(questions.orphaned((*sequence(9), 7), retained)) == [], "once"


@pytest.mark.parametrize(
    ("request_", "client_stays", "is_single"),
    [
        (Request((QUESTION,)), False, True),
        (Request((QUESTION,)), True, False),
        (Request((QUESTION,), is_batch=True), True, True),
        (Request((QUESTION,), constraint={"regex": "a"}), True, True),
        (Request((QUESTION,), keep="a conversation"), False, False),
        (Request((QUESTION, Message("assistant", "Here."), QUESTION)), False, False),
    ],
)
def test_a_single_question_is_one_that_is_unlikely_to_be_followed_up(
    request_: Request, client_stays: bool, is_single: bool
) -> None:
    assert eviction.is_single_question(request_, client_stays=client_stays) is is_single
