"""How much of a prompt is read in one step, on machines whose steps take what the test says."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from edgechat.engine.decoding.prefill import (
    ALONE_S,
    LEAST_ALONE,
    MEASURE_EVERY,
    MOST_CLAIMS,
    SLOWER,
    UNSEEN_S,
    ChunkSizer,
)

if TYPE_CHECKING:
    from collections.abc import Callable

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
