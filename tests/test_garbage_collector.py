"""The garbage collector gives memory back after a large piece of work."""

from __future__ import annotations

import gc
import weakref

import pytest

from edgechat.garbage_collector import collect_normally, collect_rarely, release_memory


class Knot:
    """Holds itself, as a task with its own traceback does."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.parametrize("look", [collect_rarely, collect_normally])
def test_giving_back_finds_what_python_would_not_look_for_yet(look):
    before = gc.get_threshold()
    try:
        look()
        knot = Knot()
        seen = weakref.ref(knot)
        del knot
        assert seen() is not None
        release_memory()
        assert seen() is None
    finally:
        gc.set_threshold(*before)
