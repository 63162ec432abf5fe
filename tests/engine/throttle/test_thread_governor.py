"""Threads follow what others take of the cores: within bounds, in the right direction, without flutter."""

from __future__ import annotations

import itertools
import os
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.engine.throttle.thread_governor import (
    QUIET_WINDOWS,
    RETURN_BELOW,
    WINDOW_S,
    YIELD_ABOVE,
    Governor,
    Ticks,
    others_share,
    parse_busy,
    threads_for,
)

if TYPE_CHECKING:
    from pathlib import Path

COUNTS = st.integers(1, 16)
LOADS = st.floats(0, 20)


@st.composite
def situations(draw):
    n_planned = draw(COUNTS)
    return draw(st.integers(1, n_planned)), n_planned, draw(st.integers(1, 24))


@given(situations(), LOADS)
def test_there_is_always_a_thread_and_never_more_than_planned(situation, others):
    n_now, n_planned, n_cores = situation
    assert 1 <= threads_for(n_now, n_planned, n_cores, others) <= n_planned


@given(situations(), LOADS, LOADS)
def test_more_load_never_means_more_threads(situation, a, b):
    low, high = sorted((a, b))
    n_now, n_planned, n_cores = situation
    assert threads_for(n_now, n_planned, n_cores, high) <= threads_for(n_now, n_planned, n_cores, low)


@given(situations(), st.floats(0, 20), st.lists(st.floats(0, 0.14), min_size=2, max_size=30))
def test_a_load_that_wobbles_less_than_the_hysteresis_moves_threads_one_way_only(situation, base, wobbles):
    n, n_planned, n_cores = situation
    counts = [n]
    for wobble in wobbles:
        counts.append(threads_for(counts[-1], n_planned, n_cores, base + wobble))
    steps = [b - a for a, b in itertools.pairwise(counts) if a != b]
    assert all(step > 0 for step in steps) or all(step < 0 for step in steps)


@given(situations(), LOADS)
def test_a_constant_load_settles_at_once(situation, others):
    n_now, n_planned, n_cores = situation
    settled = threads_for(n_now, n_planned, n_cores, others)
    assert threads_for(settled, n_planned, n_cores, others) == settled


@given(COUNTS, st.integers(0, 8))
def test_work_on_cores_that_nobody_decodes_on_costs_no_thread(n_planned, spare):
    assert threads_for(n_planned, n_planned, n_planned + spare, float(spare)) == n_planned


@given(st.integers(2, 16))
def test_one_busy_process_costs_one_thread_and_gives_it_back_when_it_ends(n):
    assert threads_for(n, n, n, 1.0) == n - 1
    assert threads_for(n - 1, n, n, (RETURN_BELOW + YIELD_ABOVE) / 2) == n - 1
    assert threads_for(n - 1, n, n, 0.0) == n


STAT = """cpu  100 0 100 900 0 0 0 0 0 0
cpu0 50 1 50 450 9 2 3 4 0 0
cpu1 50 0 50 450 0 0 0 0 0 0
cpu10 7 0 0 0 0 0 0 0 0 0
intr 12345 0 9
"""


def test_only_the_named_cores_count_and_waiting_is_not_work():
    tick = os.sysconf("SC_CLK_TCK")
    assert parse_busy(STAT, {"cpu0"}) == (50 + 1 + 50 + 2 + 3 + 4) / tick
    assert parse_busy(STAT, {"cpu1", "cpu10"}) == 107 / tick


@pytest.mark.parametrize("text", ["", "\n\n", "cpu0\n", "cpu0 5 0 5 90\n"])
def test_kernels_that_write_less_are_read_as_far_as_they_go(text):
    assert parse_busy(text, {"cpu0"}) in (0.0, 10 / os.sysconf("SC_CLK_TCK"))


def test_our_own_work_is_not_held_against_us():
    assert others_share(Ticks(0, 10, 1), Ticks(2, 13, 3)) == pytest.approx(0.5)
    assert others_share(Ticks(0, 10, 1), Ticks(2, 11, 3)) == 0


class Machine:
    """A ``/proc/stat`` that says what a test wants; our own process time is the real one and next to nothing."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, n_cores: int) -> None:
        self.root, self.busy, self.now = root, 0.0, 1000.0
        self.n_cores = n_cores
        (root / "proc").mkdir()
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(n_cores)), raising=False)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "process_time", lambda: 0.0)
        self.write()

    def write(self) -> None:
        ticks = int(self.busy * os.sysconf("SC_CLK_TCK"))
        (self.root / "proc/stat").write_text(f"cpu0 {ticks} 0 0 0 0 0 0 0\n")

    def pass_time(self, others: float, seconds: float = WINDOW_S) -> float:
        self.now += seconds
        self.busy += others * seconds
        self.write()
        return self.now


def test_a_thread_is_given_up_at_once_and_taken_back_after_quiet_windows(tmp_path, monkeypatch):
    machine = Machine(tmp_path, monkeypatch, 4)
    governor = Governor(4, tmp_path)
    assert governor.update(machine.pass_time(0.0)) == 4
    assert governor.update(machine.pass_time(1.0)) == 3
    for _ in range(QUIET_WINDOWS - 1):
        assert governor.update(machine.pass_time(0.0)) == 3
    assert governor.update(machine.pass_time(0.0)) == 4


def test_between_windows_nothing_changes(tmp_path, monkeypatch):
    machine = Machine(tmp_path, monkeypatch, 4)
    governor = Governor(4, tmp_path)
    assert governor.update(machine.pass_time(4.0, WINDOW_S / 2)) == 4


def test_without_proc_stat_the_plan_stands(tmp_path):
    governor = Governor(3, tmp_path)
    assert governor.update(time.monotonic() + 1) == 3


@given(st.floats(0, 3), st.integers(1, 4))
def test_a_plan_wider_than_the_machine_is_brought_down_to_it(others, n_cores):
    assert threads_for(8, 8, n_cores, others) <= max(n_cores, 1)


@pytest.mark.parametrize(("runnable", "threads"), [("1/200", 4), ("3/200", 1)])
def test_an_answer_begins_with_all_threads_when_nobody_else_is_runnable_now(tmp_path, runnable, threads):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu0 0 0 0 0 0 0 0 0\n")
    (tmp_path / "proc/loadavg").write_text(f"3.00 2.00 1.00 {runnable} 4711\n")
    governor = Governor(4, tmp_path)
    governor.n_threads = 1
    governor.on_answer_start()
    assert governor.n_threads == threads


def test_work_of_lower_priority_counts_as_any_other():
    """The kernel compares niceness only within a session, and the engine has its own."""
    stat = "cpu  0 0 0 0\ncpu0 100 5000 20 9000 0 1 2 3 0 0\n"
    assert parse_busy(stat, {"cpu0"}) == pytest.approx(5126 / os.sysconf("SC_CLK_TCK"))
