"""The allocator never gives a KV cell to two sequences, and keeps finished prefixes while there is room."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from edgechat.engine.kv_cache.allocator import Allocation, CellAllocator
from edgechat.engine.kv_cache.eviction import MAX_LOSS
from edgechat.engine.kv_cache.prefix import common_prefix
from tests.engine.kv_cache.cut_rules import ANY, WHOLE
from tests.examples import examples

N_CTX, N_SEQ = 64, 5
TOKENS = st.lists(st.integers(0, 1), min_size=1, max_size=40).map(tuple)


class Ledger(RuleBasedStateMachine):
    """Plays the decode loop: admits, decodes part of what was reserved, parks; keeps its own books beside.

    Every cell has a number here, so what several sequences hold is counted once, as llama.cpp does.
    """

    running = Bundle("running")

    def __init__(self) -> None:
        super().__init__()
        self.is_rewindable = True
        self.cells = CellAllocator(N_CTX, N_SEQ, ANY)
        self.reserved: dict[int, tuple[int, ...]] = {}
        self.parked: dict[int, tuple[int, ...]] = {}  # oldest first
        self.held: dict[int, list[int]] = {}
        self.number = count()

    @rule(target=running, prompt=TOKENS, answer=st.integers(1, 40), at=st.integers(0, N_SEQ - 1))
    def admit(self, prompt, answer, at):
        return self.admitted(prompt, answer, at) or multiple()

    def admitted(self, prompt: tuple[int, ...], answer: int, at: int) -> tuple[int, tuple[int, ...], int] | None:
        wanted = len(prompt) + answer
        donor = at if at in self.reserved and self.is_rewindable else -1
        shared = common_prefix(self.reserved[donor], prompt[:-1]) if donor >= 0 else 0
        grant = self.cells.admit(prompt, wanted, donor=donor, shared=shared)
        in_use = len({cell for slot in self.reserved for cell in self.held[slot]})
        if grant is None:
            lent = 0 if any(common_prefix(each, prompt[:-1]) >= shared for each in self.parked.values()) else shared
            assert len(self.reserved) == N_SEQ or in_use + wanted - lent > N_CTX, "waits only when it must"
            return None
        assert grant.slot not in self.reserved
        assert grant.reused < len(prompt), "the last prompt token is always decoded"
        kept = self.parked.pop(grant.slot, ())
        source = self.held.pop(grant.slot, []) if grant.donor < 0 else self.held[donor]
        self.held[grant.slot] = source[: grant.reused] + [next(self.number) for _ in range(wanted - grant.reused)]
        if grant.donor >= 0:
            assert (grant.donor, grant.reused) == (donor, shared)
            parked = [each for each in self.parked.values() if len(each) <= shared]
            assert all(common_prefix(each, prompt[:-1]) < shared for each in parked)
            assert (grant.slot in grant.evicted) == bool(kept), "cells that are not reused are cleared"
        elif grant.reused:
            assert kept[: grant.reused] == prompt[: grant.reused]
            assert self.is_rewindable or grant.reused == len(kept)
            assert grant.slot not in grant.evicted
        else:
            assert (grant.slot in grant.evicted) == bool(kept), "cells that are not reused are cleared"
        others = [slot for slot in grant.evicted if slot != grant.slot]
        assert others == list(self.parked)[: len(others)], "the oldest goes first"
        for slot in others:
            del self.parked[slot], self.held[slot]
        self.reserved[grant.slot] = prompt
        return (grant.slot, prompt, wanted)

    @rule(prompt=TOKENS, at=st.integers(-1, N_SEQ - 1), shares=st.booleans())
    def read_ahead(self, prompt, at, shares):
        slot = at if at in self.parked else -1
        keep = common_prefix(self.parked.get(slot, ()), prompt)
        donor = -1
        if shares and keep and self.is_rewindable:
            slot, donor = -1, slot
        if slot >= 0 and not (self.is_rewindable or keep == len(self.parked[slot])):
            return
        parked, free = dict(self.parked), self.cells.free
        got = self.cells.admit_beside(slot, keep, len(prompt), donor=donor)
        if got < 0:
            assert self.cells.all_retained == parked, "nothing is lost"
            assert self.cells.free == free
            return
        assert slot in {-1, got}
        assert {**self.cells.all_retained, got: ()} == {**parked, got: ()}, "nobody is evicted"
        self.held[got] = self.held.get(got if donor < 0 else donor, [])[:keep] + [
            next(self.number) for _ in prompt[keep:]
        ]
        self.cells.retain(got, prompt)
        self.parked.pop(got, None)
        self.parked[got] = prompt

    @rule(sequence=consumes(running), share=st.floats(0, 1))
    def finish(self, sequence, share):
        slot, prompt, wanted = sequence
        filled = (*prompt, *([0] * wanted))[: int(wanted * share)]
        self.cells.retain(slot, filled)
        del self.reserved[slot]
        self.held[slot] = self.held[slot][: len(filled)]
        if filled:
            self.parked[slot] = filled

    @rule(sequence=consumes(running))
    def clear(self, sequence):
        self.cells.free_slot(sequence[0])
        del self.reserved[sequence[0]], self.held[sequence[0]]

    @rule(at=st.integers(0, N_SEQ - 1), share=st.floats(0, 1))
    def shorten(self, at, share):
        if at in self.parked:
            keep = int(len(self.parked[at]) * share) + 1
            self.cells.shorten(at, keep)
            self.parked[at], self.held[at] = self.parked[at][:keep], self.held[at][:keep]

    @rule(prompt=TOKENS, at=st.integers(0, N_SEQ - 1))
    def admit_and_read_all_of_it_from_disk(self, prompt, at):
        sequence = self.admitted(prompt, 1, at)
        if sequence is not None:
            slot, _, wanted = sequence
            before, others = self.cells.free, {cell for each in self.held if each != slot for cell in self.held[each]}
            borrowed = len(others.intersection(self.held[slot]))
            if self.cells.unshare(slot):
                self.held[slot] = [next(self.number) for _ in range(wanted)]
            else:
                assert borrowed > before
            self.finish(sequence, 1.0)

    @invariant()
    def nothing_is_promised_twice(self):
        used = len({cell for cells in self.held.values() for cell in cells})
        assert self.cells.free == N_CTX - used
        assert self.cells.free >= 0
        assert self.cells.n_running == len(self.reserved)
        assert not set(self.reserved) & set(self.parked)
        assert {*self.reserved, *self.parked} <= set(range(N_SEQ))


class UnrewindableLedger(Ledger):
    """The same for sliding windows and recurrent state."""

    def __init__(self) -> None:
        super().__init__()
        self.is_rewindable = False
        self.cells = CellAllocator(N_CTX, N_SEQ, WHOLE)


TestLedger = Ledger.TestCase
TestLedger.settings = examples(150)
TestUnrewindableLedger = UnrewindableLedger.TestCase
TestUnrewindableLedger.settings = examples(100)


@given(TOKENS, TOKENS)
def test_a_common_prefix_is_common_and_the_longest(a, b):
    n = common_prefix(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


def admitted(cells: CellAllocator, prompt: tuple[int, ...], wanted: int) -> Allocation:
    grant = cells.admit(prompt, wanted)
    assert grant is not None
    return grant


def finished(cells: CellAllocator, tokens: tuple[int, ...]) -> int:
    slot = admitted(cells, tokens, len(tokens)).slot
    cells.retain(slot, tokens)
    return slot


def test_the_next_turn_of_a_chat_reads_only_its_tail():
    cells = CellAllocator(100, 2)
    slot = finished(cells, tuple(range(50)))
    assert admitted(cells, (*range(50), 7, 8), 60) == Allocation(slot, reused=50, evicted=())


def test_a_short_question_does_not_cost_a_long_chat_its_place():
    """Every prompt begins with its template's words; once, that alone made it take over the chat's slot."""
    chat = tuple(range(400))
    cells = CellAllocator(1000, 2)
    slot = finished(cells, chat)
    grant = admitted(cells, (*range(400 // MAX_LOSS - 1), 999, 998), 100)
    assert grant.slot != slot
    assert grant.reused == 0
    assert admitted(cells, (*chat, 5), 410).reused == 400


def test_a_sequence_that_cannot_be_rewound_is_reused_whole_or_not_at_all():
    cells = CellAllocator(100, 1, WHOLE)
    finished(cells, (1, 2, 3, 4))
    assert admitted(cells, (1, 2, 3, 9, 9), 10).reused == 0


def test_batch_work_leaves_a_slot_and_a_quarter_of_the_cells():
    cells = CellAllocator(1000, 3)
    alone = cells.admit((1, 2, 3), 1000, spare=True)
    assert alone is not None, "alone it may have everything"
    cells.free_slot(alone.slot)
    cells.admit((1, 2, 3), 500)
    assert cells.admit((7, 8), 251, spare=True) is None
    assert cells.admit((7, 8), 250, spare=True) is not None
    assert cells.admit((4, 5, 6), 1, spare=True) is None, "the third slot is for somebody in front of a screen"
    assert cells.admit((4, 5, 6), 1) is not None


def test_batch_work_leaves_a_quarter_of_the_cells_however_its_instructions_are_shared():
    instructions = tuple(range(700))
    cells = CellAllocator(4096, 16)
    first = admitted(cells, (*instructions, 1000), 900).slot
    for n in range(10):
        assert cells.admit((*instructions, 1001 + n), 900, donor=first, shared=700, spare=True)
    cells.retain(first, (*instructions, 1000))
    assert cells.admit((*instructions, 2000), 1500, donor=1, shared=700, spare=True) is None
    granted = [cells.admit((*instructions, 2001 + n), 850, donor=1, shared=700, spare=True) for n in range(5)]
    assert [grant is not None for grant in granted] == [True, True, False, False, False]


def test_a_parked_picture_takes_all_of_its_cells():
    """Under M-RoPE 256 patches may move the text behind them by 16 positions; the pool is full all the same."""
    cells = CellAllocator(1000, 3)
    slot = admitted(cells, tuple(range(20)), 300).slot
    cells.retain(slot, tuple(range(20)), extra_cells=240)
    assert cells.free == 740
    grant = admitted(cells, (77, 78), 800)
    assert grant.evicted == (slot,)
    cells.retain(grant.slot, (77, 78))
    assert cells.free == 998


def test_of_a_question_that_is_over_its_shared_beginning_stays():
    cells = CellAllocator(1000, 3)
    slot = admitted(cells, tuple(range(200)), 300).slot
    cells.retain(slot, tuple(range(200)))
    cells.shorten(slot, 24)
    assert cells.free == 976
    grant = admitted(cells, (*range(24), 77, 78), 800)
    assert (grant.slot, grant.reused, grant.evicted) == (slot, 24, ())


def test_records_of_one_task_need_its_instructions_once():
    instructions = tuple(range(400))
    cells = CellAllocator(1000, 16)
    first = admitted(cells, (*instructions, 1000), 500)
    others = [cells.admit((*instructions, 1001 + n), 500, donor=first.slot, shared=400) for n in range(6)]

    assert [grant.donor for grant in others if grant] == [first.slot] * 5
    assert cells.free == 0
    cells.retain(first.slot, instructions)
    assert cells.free == 100
    cells.free_slot(first.slot)
    assert cells.free == 100, "what it lent still serves five"


def test_cells_of_ones_own_are_refused_where_what_one_lent_would_not_fit_beside_them():
    prompt = tuple(range(20))
    cells = CellAllocator(64, 5)
    lender = admitted(cells, prompt, 30).slot
    borrower = cells.admit((*prompt[:19], 99), 45, donor=lender, shared=19)
    assert borrower is not None
    cells.retain(lender, prompt)
    again = cells.admit((*prompt[:19], *[77] * 10), 38, donor=borrower.slot, shared=19)

    assert again is not None
    assert not cells.unshare(again.slot)
    assert cells.free == 0


def test_a_chat_does_not_lose_its_place_to_a_prompt_that_shares_more_with_a_running_one():
    cells = CellAllocator(1000, 3)
    parked = finished(cells, (*range(50), 7, 8))
    running = admitted(cells, (*range(100), 9), 200).slot
    assert running == parked
    cells.retain(running, tuple(range(60)))
    again = admitted(cells, (*range(100), 1), 200).slot
    chat = finished(cells, (*range(90), 2, 3))
    grant = cells.admit((*range(100), 4), 200, donor=again, shared=100)

    assert grant is not None
    assert grant.donor == again
    assert cells.retained(chat)
