"""Work started in a background thread is done once, by that thread or by the caller."""

from __future__ import annotations

import _thread
import threading
from typing import TYPE_CHECKING

from edgechat.engine.child.background import BackgroundCall

if TYPE_CHECKING:
    import pytest


def test_work_is_done_once_and_waited_for():
    may_end, done = threading.Event(), []

    def work(what: str) -> None:
        may_end.wait(10)
        done.append(what)

    beside = BackgroundCall(work, "this")
    may_end.set()
    beside.join()
    beside.join()

    assert done == ["this"]


def test_a_thread_that_dies_before_it_begins_leaves_its_work_to_who_waits(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_thread, "start_new_thread", lambda *_: 1)  # as after a MemoryError in its first step
    done: list[str] = []

    beside = BackgroundCall(done.append, "this")
    beside.join()
    beside.join()

    assert done == ["this"]
