"""The answers that are kept from run to run: bounded, least recently used first, never in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.errors import StateError
from edgechat.tasks.batch.answer_cache import FILE, AnswerCache, answer_key

if TYPE_CHECKING:
    from pathlib import Path


def test_the_least_recently_used_goes_first(tmp_path: Path):
    with AnswerCache(tmp_path, limit_bytes=3500) as answers:
        for name in "abc":
            answers.put(name.encode(), {"text": name * 1000})
        assert answers.get(b"a") is not None
        answers.put(b"d", {"text": "d" * 1000})
        assert answers.get(b"b") is None
        assert [answers.get(key) is not None for key in (b"a", b"c", b"d")] == [True] * 3
        assert answers.size_bytes <= 3500


def test_it_stays_below_its_limit_whatever_is_put(tmp_path: Path):
    with AnswerCache(tmp_path, limit_bytes=10_000) as answers:
        for number in range(200):
            answers.put(answer_key(n=number % 70), {"text": "x" * (number * 37 % 4000)})
            assert answers.size_bytes <= 10_000
        answers.put(b"huge", {"text": "x" * 20_000})
        assert answers.get(b"huge") is None


def test_another_process_finds_what_was_kept(tmp_path: Path):
    with AnswerCache(tmp_path) as answers:
        answers.put(b"key", {"text": "漢字 \ud800"})
    with AnswerCache(tmp_path) as answers:
        assert answers.get(b"key") == {"text": "漢字 \ud800"}


def test_a_damaged_file_is_replaced(tmp_path: Path):
    (tmp_path / FILE).write_bytes(b"no database " * 1000)
    with AnswerCache(tmp_path) as answers:
        assert answers.get(b"key") is None
        answers.put(b"key", {})
        assert answers.get(b"key") == {}


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path):
    (tmp_path / FILE).mkdir()
    with pytest.raises(StateError, match=FILE):
        AnswerCache(tmp_path)


@pytest.mark.parametrize("other", [{"model": "b"}, {"version": "2"}, {"input": "y"}, {"language": "ja"}])
def test_everything_an_answer_depends_on_is_in_its_key(other):
    same = {"model": "a", "version": "1", "input": "x", "language": "en"}
    assert answer_key(**same) != answer_key(**{**same, **other})
    assert answer_key(**same) == answer_key(**dict(reversed(same.items())))
