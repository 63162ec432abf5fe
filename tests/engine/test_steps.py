"""Plans that died of memory stay skipped until the machine boots again."""

from __future__ import annotations

import pytest

from edgechat.engine import steps
from edgechat.errors import StateError

FILE = "stepped-down.json"


def test_each_model_steps_down_by_itself_and_adds_up(tmp_path):
    assert steps.read(tmp_path, "boot", "a:q4") == 0
    assert steps.record(tmp_path, "boot", "a:q4") == 1
    assert steps.record(tmp_path, "boot", "b:q4") == 1
    assert steps.record(tmp_path, "boot", "a:q4") == 2
    assert (steps.read(tmp_path, "boot", "a:q4"), steps.read(tmp_path, "boot", "b:q4")) == (2, 1)


def test_after_a_reboot_everything_may_be_tried_afresh(tmp_path):
    steps.record(tmp_path, "before", "a:q4")
    assert steps.read(tmp_path, "after", "a:q4") == 0
    assert steps.record(tmp_path, "after", "b:q4") == 1
    assert steps.read(tmp_path, "after", "a:q4") == 0


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"boot_id": "boot"}',
        b'{"boot_id": "boot", "steps": []}',
        b'{"boot_id": "boot", "steps": {"a": "x"}}',
        b'{"boot_id": "boot", "steps": {"a": Infinity}}',
        b'{"boot_id": "boot", "steps": {"a": -3}}',
        b"\xff\xff",
    ],
)
def test_a_file_damaged_by_a_power_cut_is_as_good_as_none(damage, tmp_path):
    (tmp_path / FILE).write_bytes(damage)
    assert steps.read(tmp_path, "boot", "a") == 0
    assert steps.record(tmp_path, "boot", "a") == 1
    assert steps.read(tmp_path, "boot", "a") == 1


def test_what_cannot_be_written_down_is_said(tmp_path):
    with pytest.raises(StateError, match=FILE):
        steps.record(tmp_path / "absent", "boot", "a")
