"""Which prompts a step prefills, and how much: the batch is a list, and steps take what the test says."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from edgechat.engine.decoding.prefill import (
    ALONE_S,
    LEAST_ALONE,
    MEASURE_EVERY,
    MOST_CLAIMS,
    SLOWER,
    UNSEEN_S,
    ChunkedPrefill,
    ChunkSizer,
)
from edgechat.engine.decoding.sequence import Sequence
from edgechat.engine.native.vision import View
from edgechat.engine.protocol.request import Message, Request
from edgechat.engine.text.detokenizer import Detokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

N_BATCH = 512


class ListBatch:
    """FAKE context: takes tokens and never decodes."""

    def __init__(self) -> None:
        self.tokens: list[int] = []

    @property
    def room(self) -> int:
        return N_BATCH - len(self.tokens)

    def add(self, tokens: list[int], position: int, sequence: int, *, want_logits: bool) -> int:
        assert len(tokens) <= self.room
        self.tokens += tokens
        return len(self.tokens) - 1


def prompt(length: int, slot: int, **more: Any) -> Sequence:
    request = Request(messages=(Message("user", "Hello"),), is_batch=more.pop("is_batch", False))
    unneeded: Any = None
    return Sequence(
        request=request,
        request_id=slot,
        reader=unneeded,
        prompt=tuple(range(length)),
        slot=slot,
        cells=length + 8,
        max_tokens=8,
        sampler=unneeded,
        seed=0,
        detokenizer=Detokenizer(),
        cached=0,
        n_past=0,
        deadline=None,
        ends_at_context=False,
        **more,
    )


def step(reading: ChunkedPrefill, batch: ListBatch, running: list[Sequence], n_decoding: int = 0) -> list[int]:
    """Slots read in one step, in the batch's order."""
    batch.tokens = []
    for sequence in running:
        if sequence.pending:
            sequence.logits_at = -1
    reading.fill(running, n_decoding, 1.0)
    assert reading.n_tokens == len(batch.tokens)
    return [sequence.slot for sequence in running if sequence in reading]


@pytest.fixture
def batch() -> ListBatch:
    return ListBatch()


@pytest.fixture
def reading(batch: ListBatch) -> ChunkedPrefill:
    taken: Any = batch
    return ChunkedPrefill(taken, first=128)


def test_short_prompts_are_read_in_one_step(reading: ChunkedPrefill, batch: ListBatch) -> None:
    running = [prompt(30, slot) for slot in range(4)]
    assert step(reading, batch, running) == [0, 1, 2, 3]
    assert [sequence.logits_at for sequence in running] == [29, 59, 89, 119]
    assert not any(sequence.pending for sequence in running)


def test_a_short_prompt_waits_for_no_long_one(reading: ChunkedPrefill, batch: ListBatch) -> None:
    long, short = prompt(4000, 0), prompt(30, 1)
    assert step(reading, batch, [long, short]) == [0]
    assert step(reading, batch, [long, short]) == [0, 1]
    assert not short.pending
    assert batch.tokens[:30] == list(range(30)), "its turn had come"


def test_no_step_reads_more_than_the_pace_allows_or_the_batch_holds(reading: ChunkedPrefill, batch: ListBatch) -> None:
    running = [prompt(300, slot) for slot in range(4)]
    step(reading, batch, running)
    assert len(batch.tokens) == 128
    reading.record_step(0, 0.001)  # so fast that a second's worth is more than a batch
    step(reading, batch, running)
    assert len(batch.tokens) == N_BATCH


def test_beside_answers_all_prompts_together_read_no_more_than_one_would(
    reading: ChunkedPrefill, batch: ListBatch
) -> None:
    answering = prompt(8, 9)
    answering.n_past, answering.logits_at = 8, 0
    reading.record_step(1, 0.1)  # what a step takes that only decodes
    running = [answering, *(prompt(30, slot) for slot in range(4))]
    step(reading, batch, running, n_decoding=1)
    assert len(batch.tokens) == 1, "of which nothing is known yet"
    reading.record_step(1, 0.11)
    step(reading, batch, running, n_decoding=1)
    assert 1 < len(batch.tokens) <= 3


def test_a_picture_is_read_alone_and_gets_its_turn(reading: ChunkedPrefill, batch: ListBatch) -> None:
    unneeded: Any = None
    view = View(*[unneeded] * len(View.__dataclass_fields__))
    seeing, other = prompt(30, 0, views={0: view}), prompt(300, 1)
    running = [seeing, other]
    seeing.logits_at = other.logits_at = -1
    assert reading.fill(running, 0, 1.0) == (seeing, view)
    assert not reading.n_tokens
    assert step(reading, batch, running) == [1]
    assert reading.fill(running, 0, 1.0) == (seeing, view)


def test_batch_work_is_read_when_nobody_waits(reading: ChunkedPrefill, batch: ListBatch) -> None:
    patient, waiting = prompt(30, 0, is_batch=True), prompt(30, 1)
    assert step(reading, batch, [patient, waiting]) == [1]
    assert step(reading, batch, [patient, waiting]) == [0]


PROMPT = 2000


def machine(written_s: float, read_s: float) -> Callable[[int, int], float]:
    """Steps of so much for each token written and each token read."""
    return lambda n_decoding, n_read: n_decoding * written_s + n_read * read_s


def read_beside(cost: Callable[[int, int], float], n_decoding: int = 1, sizer: ChunkSizer | None = None) -> list[float]:
    """Read a prompt beside answers: what each step took."""
    sizer = sizer or ChunkSizer(128)
    steps, left = [], PROMPT
    while left:
        chunk = min(sizer.chunk(n_decoding), left)
        seconds = cost(n_decoding, chunk)
        sizer.record(n_decoding, chunk, seconds)
        steps.append(seconds)
        left -= chunk
    return steps


@pytest.mark.parametrize("n_decoding", [1, 4])
@pytest.mark.parametrize("written_s", [0.009, 0.03, 0.3, 1.2])
def test_a_step_beside_answers_takes_at_most_twice_as_long(written_s: float, n_decoding: int) -> None:
    steps = read_beside(machine(written_s, written_s / 2), n_decoding)

    assert max(steps) <= max(SLOWER * written_s * n_decoding, UNSEEN_S) * 1.001


def test_reading_gets_about_half_of_the_time() -> None:
    written_s, read_s = 0.03, 0.01

    steps = read_beside(machine(written_s, read_s))

    assert sum(steps) < 2.2 * PROMPT * read_s


def test_reading_never_stops_where_one_token_read_takes_as_long_as_three_written() -> None:
    steps = read_beside(machine(0.1, 0.3))

    # One token a step, but for the steps that look at what decoding alone takes.
    assert len(steps) <= PROMPT * (1 + 1 / MEASURE_EVERY) + 2


def test_a_disturbed_step_does_not_stop_the_reading() -> None:
    quiet, numbers = machine(0.03, 0.01), count()

    def disturbed(n_decoding: int, n_read: int) -> float:
        return quiet(n_decoding, n_read) * (20 if next(numbers) % 50 == 7 else 1)

    assert len(read_beside(disturbed)) < 2 * len(read_beside(quiet))


def test_what_decoding_takes_is_looked_at_again_while_it_grows() -> None:
    sizer, written_s = ChunkSizer(128), 0.03
    for _ in range(10 * MEASURE_EVERY):
        chunk = sizer.chunk(1)
        sizer.record(1, chunk, written_s + chunk * 0.01)
        written_s *= 1.001  # the answer's attention reaches further back with each token
    grown = sizer.chunk(1) or sizer.chunk(1)

    assert grown >= 0.5 * written_s / 0.01


def test_alone_a_step_reads_for_one_second() -> None:
    sizer = ChunkSizer(128)
    assert sizer.chunk(0) == 128

    sizer.record(0, 128, 0.5)

    assert sizer.chunk(0) == int(256 * ALONE_S)


def test_alone_a_slow_board_reads_no_crumbs() -> None:
    sizer = ChunkSizer(128)
    sizer.record(0, 128, 128.0)

    assert sizer.chunk(0) == LEAST_ALONE


def test_the_rest_of_a_prompt_tells_nothing_about_its_speed() -> None:
    sizer = ChunkSizer(128)
    sizer.record(0, 3, 0.2)

    assert sizer.chunk(0) == 128


def test_beside_a_number_of_answers_never_met_a_step_decodes_alone_first() -> None:
    sizer = ChunkSizer(128)
    read_beside(machine(0.03, 0.01), 1, sizer)

    assert sizer.chunk(2) == 0


def test_many_newcomers_together_get_more_than_one_but_not_everything() -> None:
    written_s = 0.05
    sizer, cost = ChunkSizer(128), machine(written_s, written_s / 2)
    read_beside(cost, sizer=sizer)

    def longest(n_reading: int) -> float:
        sizer.record(1, 0, written_s)
        chunk = 0
        for _ in range(10):  # a piece grows step by step
            chunk = sizer.chunk(1, n_reading)
            sizer.record(1, chunk, cost(1, chunk))
        return cost(1, chunk) / written_s

    assert longest(1) <= SLOWER * 1.001
    assert SLOWER < longest(3) <= 4.001
    assert longest(100) <= (1 + MOST_CLAIMS) * 1.001
