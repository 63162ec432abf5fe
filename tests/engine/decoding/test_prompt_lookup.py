"""Drafts by prompt lookup, and when a draft is worth its step: decisions over token ids and seconds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edgechat.engine.decoding.prompt_lookup import (
    LENGTHS,
    LONGEST_MATCH,
    Acceptance,
    Drafter,
    PromptLookup,
    StepCosts,
    best_length,
)
from edgechat.engine.decoding.speculative import SpeculativeDecoder
from tests.examples import examples

REPORT = list(range(100, 160))


def lookup(*tokens: int) -> PromptLookup:
    return PromptLookup(tokens)


class TestLookup:
    def test_what_followed_the_same_two_tokens_is_expected(self) -> None:
        found = lookup(1, 2, 3, 4, 9, 1, 2)
        assert found.expected == 3
        assert found.draft(3) == [3, 4, 9]
        assert found.matched == 2

    def test_one_token_alone_is_no_match(self) -> None:
        assert lookup(1, 2, 3, 9, 2).matched == 0
        assert lookup(1, 2, 3, 9, 2).draft(4) == []
        assert lookup().draft(4) == []

    def test_the_place_is_followed_and_the_match_grows(self) -> None:
        found = lookup(*REPORT, *REPORT[:2])
        for n, token in enumerate(REPORT[2:50], start=2):
            assert found.expected == token
            assert found.matched == min(n, LONGEST_MATCH)
            found.add(token)

    def test_the_place_that_shares_more_is_followed_before_the_later_one(self) -> None:
        # "5 1 2" stands before 3, a later "1 2" before 4.
        assert lookup(5, 1, 2, 3, 7, 1, 2, 4, 8, 5, 1, 2).expected == 3

    def test_behind_a_changed_token_the_text_is_found_again_beside_it(self) -> None:
        # Both "3 4" share two tokens; the one beside the place that was followed is meant.
        found = lookup(1, 2, 8, 3, 4, 5, 6, 7, 3, 4, 0, 1, 2)
        for token in (9, 3, 4):
            found.add(token)
        assert found.expected == 5

    def test_a_loop_is_drafted_round_and_round(self) -> None:
        assert lookup(7, 1, 2, 3, 1, 2, 3, 1, 2).draft(7) == [3, 1, 2, 3, 1, 2, 3]

    @given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 20))
    @examples(200)
    def test_a_draft_repeats_what_stood_behind_the_same_tokens(self, tokens: list[int], count: int) -> None:
        found = PromptLookup()
        for token in tokens:
            found.add(token)
        draft = found.draft(count)
        assert len(draft) in {0, count}
        assert bool(draft) == (found.matched > 0)
        if draft:
            tail = tokens[-min(found.matched, len(tokens)) :]
            text = tokens + draft
            places = [i for i in range(len(tail), len(tokens)) if tokens[i - len(tail) : i] == tail]
            assert any(text[i : i + count] == draft for i in places)


def costs(**seconds: float) -> StepCosts:
    """Steps of 1 (``one``) and of further sizes (``n8``), timed often, behind a prompt read at one token in half of
    the first."""
    known = StepCosts()
    known.add_prefill(200, 200 * seconds["one"] / 2)
    for name, value in seconds.items():
        for _ in range(3):
            known.add_decode(1 if name == "one" else int(name[1:]), value)
    return known


class TestStepCosts:
    def test_nothing_is_known_before_the_first_step(self) -> None:
        assert StepCosts().seconds(1) is None

    def test_the_median_counts(self) -> None:
        known = StepCosts()
        for seconds in (0.010, 0.012, 0.200):
            known.add_decode(1, seconds)
        assert known.seconds(1) == 0.012

    def test_larger_steps_are_supposed_at_the_pace_of_reading(self) -> None:
        assert costs(one=0.010).seconds(9) == 0.010 * 2 + 8 * 0.005

    def test_a_timed_size_corrects_those_beside_it(self) -> None:
        supposed = costs(one=0.010).seconds(16)
        known = costs(one=0.010, n12=0.150)
        assert known.seconds(12) == 0.150
        assert supposed is not None
        assert (known.seconds(16) or 0) > 1.5 * supposed

    def test_one_lucky_step_is_not_believed_alone(self) -> None:
        known = costs(one=0.010)
        supposed = known.seconds(8) or 0
        known.add_decode(8, 0.012)
        assert 0.012 < (known.seconds(8) or 0) < supposed

    def test_a_time_that_was_not_seen_for_long_is_forgotten(self) -> None:
        known = costs(one=0.010, n8=0.500)
        for _ in range(300):
            known.add_decode(1, 0.010)
        assert (known.seconds(8) or 0) < 0.1


def test_a_step_that_only_looks_at_a_picture_teaches_nothing() -> None:
    """It once was a step of no tokens, and what a step of some tokens takes was supposed from it."""
    context: Any = SimpleNamespace(n_outputs_max=20, n_seq_max=4, n_batch=512, n_rollback=0)
    model: Any = SimpleNamespace(is_recurrent=False, n_window=0)
    speculation = SpeculativeDecoder(model, context)
    looking: Any = SimpleNamespace(timing=SimpleNamespace(first_token=0.0), generated=[], max_tokens=9, drafter=None)
    answering: Any = SimpleNamespace(
        timing=SimpleNamespace(first_token=1.0),
        generated=[1],
        max_tokens=9,
        pending=1,
        drafter=Drafter([*REPORT, *REPORT[:9]]),
        constraint=None,
    )
    speculation.draft([looking], 2)
    assert not speculation.record_step(0, 0.00001)
    speculation.draft([answering], 2)
    assert answering.draft == []
    assert speculation.record_step(0, 0.01)


def sure() -> Acceptance:
    acceptance = Acceptance()
    for _ in range(200):
        acceptance.observe(20, is_hit=True)
    return acceptance


def disappointed() -> Acceptance:
    acceptance = Acceptance()
    for _ in range(200):
        acceptance.observe(20, is_hit=False)
    return acceptance


class TestBestLength:
    def test_a_sure_repetition_is_drafted_as_far_as_it_may_be(self) -> None:
        assert best_length(sure(), 20, 15, costs(one=0.010)) == 15
        assert best_length(sure(), 20, 7, costs(one=0.010)) == 7
        assert best_length(sure(), 20, 10, costs(one=0.010)) == max(n for n in LENGTHS if n <= 10)

    def test_no_match_no_room_or_no_time_known_is_no_draft(self) -> None:
        assert best_length(sure(), 0, 15, costs(one=0.010)) == 0
        assert best_length(sure(), 20, 0, costs(one=0.010)) == 0
        assert best_length(sure(), 20, 15, StepCosts()) == 0

    def test_its_own_statistics_switch_it_off(self) -> None:
        assert best_length(disappointed(), 20, 15, costs(one=0.010)) == 0

    def test_what_a_batch_costs_switches_it_off(self) -> None:
        dear = {f"n{1 + n}": 0.010 * (1 + n) for n in LENGTHS}
        assert best_length(sure(), 20, 15, costs(one=0.010, **dear)) == 0

    def test_where_a_batch_is_nearly_free_a_mere_chance_is_tried(self) -> None:
        cheap = {f"n{1 + n}": 0.011 for n in LENGTHS}
        assert best_length(Acceptance(), 2, 15, costs(one=0.010, **cheap)) > 0
        assert best_length(Acceptance(), 2, 15, costs(one=0.010)) == 0

    def test_a_size_the_kernels_like_is_preferred(self) -> None:
        known = costs(one=0.010, n4=0.040, n6=0.050, n8=0.044, n12=0.110, n16=0.150)
        assert best_length(sure(), 20, 15, known) == 7

    def test_other_answers_share_the_price(self) -> None:
        # Eight tokens in three times the time of one are worth it; beyond eight each costs as much as any before.
        known = costs(one=0.010, n8=0.032, n9=0.036, n10=0.040, n11=0.044, n13=0.052, n15=0.060)
        assert best_length(sure(), 20, 7, known) == 7
        assert best_length(sure(), 20, 7, known, size=8, answers=8) == 0

    def test_a_state_that_must_be_copied_and_taken_back_whole_makes_drafts_dearer(self) -> None:
        known = costs(one=0.010)
        assert best_length(sure(), 20, 7, known, copy_s=0.0) == 7
        assert best_length(sure(), 20, 7, known, copy_s=0.080) == 0
        # A draft that is likely wrong somewhere is decoded twice.
        unsure = Acceptance()
        cheap = costs(one=0.010, **{f"n{1 + n}": 0.011 + n * 0.0015 for n in LENGTHS})
        assert best_length(unsure, 4, 7, cheap, copy_s=0.001) <= best_length(unsure, 4, 7, cheap)


class TestDrafts:
    def test_an_answer_that_repeats_its_prompt_is_drafted(self) -> None:
        drafts = Drafter([*REPORT, 1])
        for token in REPORT[:12]:
            drafts.add(token)
        draft = drafts.propose(15, costs(one=0.010), 1, 1)
        assert len(draft) >= 5
        assert draft == REPORT[12 : 12 + len(draft)]
        assert drafts.propose(8, costs(one=0.010), 1, 1) == REPORT[12:19]

    def test_an_answer_that_invents_is_not(self) -> None:
        drafts = Drafter(REPORT)
        for token in range(1000, 1200):
            drafts.add(token)
            assert drafts.propose(15, costs(one=0.010), 1, 1) == []

    def test_misleading_repetitions_teach_caution_without_being_drafted(self) -> None:
        # Eight tokens recur each time and then something new follows.
        known = costs(one=0.010)
        drafts = Drafter(REPORT)
        drafted = []
        for turn in range(40):
            for token in [*range(8), 2000 + turn]:
                drafted.append(len(drafts.propose(15, known, 1, 1)) if token == 8 - 1 else 0)
                drafts.add(token)
        assert sum(drafted[-90:]) <= sum(drafted[:90])

    def test_forced_tokens_teach_nothing(self) -> None:
        one, other = Drafter(REPORT), Drafter(REPORT)
        cheap = costs(one=0.010, n2=0.011, n3=0.011, n4=0.011, n6=0.011, n8=0.011, n12=0.011, n16=0.011)
        for token in REPORT[:2]:
            one.add(token)
            other.add(token)
        for _ in range(50):
            for token in (*REPORT[:3], 7):
                one.add(token, is_forced=True)
        # What was learnt from the first two is all that either knows.
        for token in REPORT[:2]:
            one.add(token, is_forced=True)
        assert len(one.propose(15, cheap, 1, 1)) == len(other.propose(15, cheap, 1, 1))
