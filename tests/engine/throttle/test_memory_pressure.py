"""Weights that do not stay in memory are noticed; those read once more after a pause are not mistaken for it."""

from __future__ import annotations

from itertools import accumulate, repeat

from edgechat.engine.throttle.memory_pressure import Rereading, kill_count

MAPPED = 1_000_000_000


def notices(reads_per_step: list[float]) -> int | None:
    """The step at which rereading is noticed; reads are shares of the mapped weights."""
    watch = Rereading(MAPPED)
    watch.took(0)
    for step, total in enumerate(accumulate(int(share * MAPPED) for share in reads_per_step), start=1):
        if watch.took(total):
            return step
    return None


def test_weights_read_for_every_token_are_noticed_in_a_few_steps() -> None:
    assert notices([1.0] * 10) == 2
    assert notices([0.3] * 20) == 8


def test_what_every_machine_does_now_and_then_is_left_alone() -> None:
    assert notices([0.0] * 1000) is None
    assert notices([1.0] + [0.0] * 100) is None, "read again after a pause"
    assert notices([0.09] * 1000) is None, "a little of it, all the time"
    assert notices([*repeat(0.0, 50), 1.0] * 20) is None, "many pauses"


def test_reads_before_the_first_step_are_loading() -> None:
    watch = Rereading(MAPPED)
    assert not watch.took(5 * MAPPED)
    assert not watch.took(5 * MAPPED)


def test_a_model_that_is_not_mapped_is_never_read_again() -> None:
    assert not any(Rereading(0).after_step() for _ in range(3))


def test_real_counters_can_be_read_here() -> None:
    assert kill_count() >= 0
    assert not Rereading(MAPPED).after_step()
