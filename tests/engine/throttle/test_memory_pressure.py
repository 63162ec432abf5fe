"""Weights that do not stay in memory are noticed; those read once more after a pause are not mistaken for it."""

from __future__ import annotations

from itertools import accumulate, repeat
from typing import TYPE_CHECKING

import pytest

from edgechat.board.source import Source
from edgechat.engine.throttle.memory_pressure import RereadDetector, is_tight, oom_kill_count

if TYPE_CHECKING:
    from pathlib import Path

MAPPED = 1_000_000_000


def notices(reads_per_step: list[float]) -> int | None:
    """The step at which rereading is noticed; reads are shares of the mapped weights."""
    watch = RereadDetector(MAPPED)
    watch.add(0)
    for step, total in enumerate(accumulate(int(share * MAPPED) for share in reads_per_step), start=1):
        if watch.add(total):
            return step
    return None


def test_weights_read_for_every_token_are_noticed_in_a_few_steps() -> None:
    assert notices([1.0] * 10) == 2
    assert notices([0.3] * 20) == 8


def test_what_every_machine_does_now_and_then_is_left_alone() -> None:
    assert notices([0.0] * 1000) is None
    assert notices([1.0] + [0.0] * 100) is None, "read again after a pause"
    assert notices([0.09] * 1000) is None, "a little of it, all the time"
    assert notices([*repeat(0.0, 50), 1.0] * 20) is None, "many pauses"


def test_reads_before_the_first_step_are_loading() -> None:
    watch = RereadDetector(MAPPED)
    assert not watch.add(5 * MAPPED)
    assert not watch.add(5 * MAPPED)


def test_a_model_that_is_not_mapped_is_never_read_again() -> None:
    assert not any(RereadDetector(0).after_step() for _ in range(3))


def test_real_counters_can_be_read_here() -> None:
    assert oom_kill_count() >= 0
    assert not RereadDetector(MAPPED).after_step()


def machine(root: Path, *, available_mib: int, limit_mib: int | None = None, used_mib: int = 0) -> Source:
    """A machine of 8 GB, whose process is in a memory cgroup (version 2) where there is a limit."""
    group = root / "sys/fs/cgroup/box"
    group.mkdir(parents=True)
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: {8 << 20} kB\nMemAvailable: {available_mib << 10} kB\n")
    (root / "proc/self/mountinfo").write_text("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    (root / "proc/self/cgroup").write_text("0::/box\n")
    if limit_mib is not None:
        (group / "memory.max").write_text(f"{limit_mib << 20}\n")
        (group / "memory.current").write_text(f"{used_mib << 20}\n")
        (group / "memory.stat").write_text("inactive_file 0\nactive_file 0\n")
    return Source(root)


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ({"available_mib": 4000}, False),
        ({"available_mib": 200}, True),
        ({"available_mib": 4000, "limit_mib": 1024, "used_mib": 1000}, True),
        ({"available_mib": 4000, "limit_mib": 1024, "used_mib": 970}, False),  # what a plan leaves free
        ({"available_mib": 200, "limit_mib": 1024, "used_mib": 100}, True),
    ],
)
def test_memory_is_tight_on_the_machine_or_in_a_group_above(tmp_path: Path, memory: dict[str, int], expected: bool):
    assert is_tight(machine(tmp_path, **memory)) == expected
