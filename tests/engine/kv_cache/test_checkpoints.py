"""Which checkpoints are held, where in a prompt they are taken, and how they come back from a file."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.engine.kv_cache import checkpoint_file
from edgechat.engine.kv_cache.checkpoints import SPACING, Checkpoint, Checkpoints, message_ends, stops

if TYPE_CHECKING:
    from pathlib import Path

TALK = tuple(range(100, 400))
END, OPEN, CLOSE = 1, 2, 3
"""A token that ends the model's turn, and two that only frame messages."""


def held(*counts: int, limit: int = 100, size: int = 10) -> Checkpoints:
    """Checkpoints of the talk."""
    checkpoints = Checkpoints(limit)
    for count in counts:
        checkpoints.add(TALK[:count], bytearray(size))
    return checkpoints


def test_the_nearest_one_before_a_place_is_found() -> None:
    checkpoints = held(20, 60, 200)
    found = checkpoints.longest((*TALK[:150], 7), 150)
    assert found is not None
    assert len(found.tokens) == 60
    assert checkpoints.longest((7, *TALK), 200) is None
    assert checkpoints.longest(TALK, 19) is None


def test_beyond_the_bound_those_go_that_were_unused_longest_and_the_instructions_last() -> None:
    checkpoints = held(20, 60, 90, 120, limit=40)
    checkpoints.use(TALK)
    checkpoints.add(TALK[:150], bytearray(10))
    assert [len(each.tokens) for each in checkpoints.beginning(TALK)] == [20, 90, 120, 150]
    checkpoints.add((9, 9, 9), bytearray(35))
    assert checkpoints.n_bytes <= 40
    assert not held(20, limit=5).has_room(10)


def prompt(*messages: int, closing: int = END) -> tuple[int, ...]:
    """A conversation of messages with so many words, and the opening of an answer."""
    tokens: list[int] = []
    for number, words in enumerate(messages):
        tokens += [OPEN, 50 + number % 2, *range(100, 100 + words), closing, 60]
    return (*tokens, OPEN, 51, 61, 62)


@pytest.mark.parametrize("closing", [END, CLOSE])
def test_messages_end_behind_what_closes_them(closing: int) -> None:
    tokens = prompt(30, 40, closing=closing)
    ends = message_ends(tokens, lambda each: each == END, lambda each: each in {END, OPEN, CLOSE})
    # With a token that the model does not end with, the newline behind it belongs to the message as well.
    assert ends[-1] in {len(tokens) - 5, len(tokens) - 4}
    if closing == END:
        assert ends == (33, 77)


def test_a_template_of_plain_text_gets_a_place_close_to_the_end() -> None:
    tokens = tuple(range(100, 160))
    assert message_ends(tokens, lambda _: False, lambda _: False) == (60 - SPACING,)


def test_the_question_is_framed_by_two_places_and_a_long_history_by_few() -> None:
    ends = tuple(range(40, 2001, 40))
    found = stops(ends, 0, 2010)
    assert found[-2:] == (1960, 2000)
    assert len(found) <= 14
    assert stops(ends, 1960, 2010) == (2000,)
    assert stops((1990, 2000), 1985, 2010) == (2000,), "a place that is nearly where the known part ends costs a step"
    assert stops((45, 90), 0, 100, fixed=50) == (50, 90)


@given(st.lists(st.integers(1, 500), unique=True, max_size=20), st.integers(0, 400), st.integers(1, 500))
def test_places_lie_apart_and_behind_what_is_known(ends: list[int], start: int, length: int) -> None:
    found = stops(tuple(sorted(ends)), start, start + length)
    assert all(start < each < start + length for each in found)
    assert all(two - one >= SPACING for one, two in itertools.pairwise(found))


def test_a_file_carries_its_last_two_and_nothing_of_a_damaged_one_is_read(tmp_path: Path) -> None:
    file = tmp_path / "talk.kv"
    file.write_bytes(b"cells of the talk")
    states = [Checkpoint(TALK[:count], bytearray([count]) * 5) for count in (20, 60, 90)]
    checkpoint_file.append(file, states)
    assert file.read_bytes().startswith(b"cells of the talk")
    assert checkpoint_file.places(file) == (60, 90)
    assert checkpoint_file.read(file) == [(60, bytearray([60] * 5)), (90, bytearray([90] * 5))]
    whole = file.read_bytes()
    for cut in (0, 3, 17, 30, len(whole) - 1):
        file.write_bytes(whole[:cut])
        assert checkpoint_file.places(file) == ()
        assert checkpoint_file.read(file) == []
    assert checkpoint_file.places(tmp_path / "missing") == ()
