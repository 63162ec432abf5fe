"""What died of memory is not tried again until the machine boots, and what is tried is really smaller."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgechat.board.probe.board_file import load_board
from edgechat.engine.state import oom_history
from edgechat.engine.state.oom_history import OomHistory
from edgechat.errors import StateError

FILE = "stepped-down.json"


def test_after_each_death_only_smaller_plans_of_that_model_are_left(tmp_path):
    oom_history.record(tmp_path, "boot", "A:Q4", 900)
    known = oom_history.read(tmp_path, "boot")
    assert [known.allows("a:q4", need) for need in (901, 900, 899)] == [False, False, True]
    assert known.allows("b:q4", 5000)
    oom_history.record(tmp_path, "boot", "a:q4", 700)
    assert not oom_history.read(tmp_path, "boot").allows("a:q4", 700)
    oom_history.record(tmp_path, "boot", "a:q4", 800)
    assert oom_history.read(tmp_path, "boot").died == {"a:q4": 700}


def test_after_a_reboot_everything_may_be_tried_afresh(tmp_path):
    oom_history.record(tmp_path, "before", "a:q4", 900, hidden_limit=300)
    assert oom_history.read(tmp_path, "after") == OomHistory()
    oom_history.record(tmp_path, "after", "b:q4", 500)
    assert oom_history.read(tmp_path, "after") == OomHistory({"b:q4": 500})


def test_a_hidden_limit_lowers_what_the_board_seems_to_have(tmp_path):
    board = load_board("pi5-8gb")
    assert OomHistory({"a:q4": 900}).limited(board) is board
    oom_history.record(tmp_path, "boot", "a:q4", 900 << 20, hidden_limit=600 << 20)
    oom_history.record(tmp_path, "boot", "b:q4", 500 << 20)
    lowered = oom_history.read(tmp_path, "boot").limited(board)
    assert (lowered.memory.available, lowered.memory.cgroup_limit) == (600 << 20, 600 << 20)
    assert lowered.memory.total == board.memory.total
    # Less may be free by now than the limit allows.
    crowded = replace(board, memory=replace(board.memory, available=100 << 20))
    assert oom_history.read(tmp_path, "boot").limited(crowded) is crowded


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"boot_id": "boot"}',
        b'{"boot_id": "boot", "died": []}',
        b'{"boot_id": "boot", "died": {"a": "x"}}',
        b'{"boot_id": "boot", "died": {"a": Infinity}}',
        b'{"boot_id": "boot", "died": {"a": -3}}',
        b'{"boot_id": "boot", "died": {}, "room": "x"}',
        b'{"boot_id": "boot", "died": {}, "room": -1}',
        b"\xff\xff",
    ],
)
def test_a_file_damaged_by_a_power_cut_is_as_good_as_none(damage, tmp_path):
    (tmp_path / FILE).write_bytes(damage)
    assert oom_history.read(tmp_path, "boot") == OomHistory()
    oom_history.record(tmp_path, "boot", "a", 900)
    assert oom_history.read(tmp_path, "boot") == OomHistory({"a": 900})


def test_what_cannot_be_written_down_is_said(tmp_path):
    with pytest.raises(StateError, match=FILE):
        oom_history.record(tmp_path / "absent", "boot", "a", 900)
