"""The engine's log is bounded, keeps the end, and never stands in the engine's way."""

from __future__ import annotations

import os

import pytest

from edgechat.engine import log
from edgechat.errors import StateError


def write(state, text: bytes) -> None:
    descriptor = log.open_for_engine(state)
    os.write(descriptor, text)
    os.close(descriptor)


def test_what_was_written_last_is_what_is_read(tmp_path):
    write(tmp_path, b"first\n")
    start = log.path(tmp_path).stat().st_size
    write(tmp_path, b"second\n" * 10_000)
    assert log.tail(tmp_path, start=start, size=14) == "second\nsecond\n"
    assert "first" not in log.tail(tmp_path, start=start, size=1 << 20)
    assert log.tail(tmp_path, size=1 << 20).startswith("first")


def test_without_a_log_there_is_no_tail(tmp_path):
    assert log.tail(tmp_path) == ""
    log.keep_bounded(tmp_path)


def test_bytes_that_are_no_text_are_shown_as_such(tmp_path):
    write(tmp_path, b"\xff\xfeabc")
    assert log.tail(tmp_path).endswith("abc")


def test_a_large_log_is_set_aside_when_an_engine_starts(tmp_path):
    write(tmp_path, b"x" * (log.MAX_BYTES // 2 + 1))
    write(tmp_path, b"new\n")
    assert log.path(tmp_path).read_bytes() == b"new\n"
    assert sorted(each.name for each in log.path(tmp_path).parent.iterdir()) == ["engine.log", "engine.log.1"]


def test_a_log_that_outgrows_its_bound_loses_its_older_half_while_it_is_written(tmp_path):
    descriptor = log.open_for_engine(tmp_path)
    for number in range(log.MAX_BYTES // 8 + 1):
        os.write(descriptor, b"%07d\n" % number)
    log.keep_bounded(tmp_path)
    os.write(descriptor, b"the end\n")
    os.close(descriptor)
    lines = log.path(tmp_path).read_bytes().splitlines()
    assert len(lines) == log.MAX_BYTES // 16 + 1
    assert lines[-2:] == [b"%07d" % (log.MAX_BYTES // 8), b"the end"]


def test_a_small_log_is_left_alone(tmp_path):
    write(tmp_path, b"x" * 1000)
    log.keep_bounded(tmp_path)
    assert log.path(tmp_path).stat().st_size == 1000


def test_a_log_that_cannot_be_opened_says_where(tmp_path):
    log.path(tmp_path).mkdir(parents=True)
    with pytest.raises(StateError, match=r"engine\.log"):
        log.open_for_engine(tmp_path)
