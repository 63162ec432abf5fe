"""The pin of ``models use``: kept, lifted, and never taken for none when it is damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.errors import StateError
from edgechat.models.store.pin import Pin, read_pin, write_pin

if TYPE_CHECKING:
    from edgechat.paths import Paths


def test_the_pin_is_kept_and_lifted(paths: Paths) -> None:
    assert read_pin(paths) is None
    write_pin(paths, Pin("tiny", "Q4_K_M", 4096))
    assert read_pin(paths) == Pin("tiny", "Q4_K_M", 4096)
    write_pin(paths, None)
    assert read_pin(paths) is None


def test_a_damaged_pin_is_not_taken_for_none(paths: Paths) -> None:
    write_pin(paths, Pin("tiny", "Q4_K_M"))
    (paths.config / "pin.json").write_text("{")
    with pytest.raises(StateError, match=r"pin\.json is damaged"):
        read_pin(paths)
