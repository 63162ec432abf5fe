"""Which prompts a step reads, without a model: the batch is a list, everything else is real."""

from __future__ import annotations

from typing import Any

import pytest

from edgechat.engine.decoding.prefill import ChunkedPrefill
from edgechat.engine.decoding.sequence import Sequence
from edgechat.engine.native.vision import View
from edgechat.engine.protocol.request import Message, Request
from edgechat.engine.text.detokenizer import Detokenizer

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
