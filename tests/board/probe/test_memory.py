"""Memory that is really ours: MemAvailable lowered by every cgroup above, in both cgroup versions."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.board.probe.cgroup import (
    Mount,
    ancestry,
    cpu_quota,
    memory_controller,
    memory_levels,
    parse_groups,
    parse_mounts,
)
from edgechat.board.probe.memory import address_space_limit, combine, controller_note, parse_meminfo
from edgechat.board.source import Source
from tests.board.trees import BOARDS, V1_MOUNT, V2_MOUNT, write

if TYPE_CHECKING:
    from edgechat.board.board import Memory

MIB = 1 << 20
TOTAL = 4096 * MIB
MEMINFO = {"MemTotal": TOTAL, "MemAvailable": 3000 * MIB}
V1_NONE = 9223372036854771712


def read(source: Source, notes: list[str] | None = None) -> Memory:
    mounts = parse_mounts(source.text("proc/self/mountinfo") or "")
    groups = parse_groups(source.text("proc/self/cgroup") or "")
    return combine(MEMINFO, memory_levels(source, mounts, groups), [] if notes is None else notes)


def v2(root: Path, levels: dict[str, tuple[str, int, int]], group: str) -> Source:
    """A version 2 machine: group -> (memory.max, memory.current, inactive_file)."""
    files = {"proc/self/mountinfo": V2_MOUNT, "proc/self/cgroup": f"0::{group}\n"}
    for path, (limit, current, inactive) in levels.items():
        files[f"sys/fs/cgroup{path}/memory.max"] = f"{limit}\n"
        files[f"sys/fs/cgroup{path}/memory.current"] = f"{current}\n"
        files[f"sys/fs/cgroup{path}/memory.stat"] = f"anon 1\ninactive_file {inactive}\n"
    return write(root, files)


def test_a_v2_limit_on_an_ancestor_is_found(tmp_path: Path) -> None:
    source = v2(tmp_path, {"/a": (str(800 * MIB), 300 * MIB, 100 * MIB), "/a/b": ("max", 50 * MIB, 0)}, "/a/b")
    memory = read(source)
    assert memory.cgroup_limit == 800 * MIB
    assert memory.cgroup_used == 200 * MIB  # page cache that can be dropped does not count
    assert memory.available == 600 * MIB


def test_active_pages_of_files_are_free_too(tmp_path: Path) -> None:
    """Those of a mapped model are active while it decodes, and stay charged to the group when its engine has left."""
    source = v2(tmp_path, {"/a": (str(700 * MIB), 400 * MIB, 310 * MIB)}, "/a")
    stat = tmp_path / "sys/fs/cgroup/a/memory.stat"
    stat.write_text(stat.read_text() + f"active_file {80 * MIB}\nshmem 5\n")
    assert read(source).available == 690 * MIB


def test_without_limits_available_is_what_the_kernel_says(tmp_path: Path) -> None:
    memory = read(v2(tmp_path, {"/a": ("max", 300 * MIB, 0)}, "/a"))
    assert (memory.cgroup_limit, memory.cgroup_used, memory.available) == (None, None, 3000 * MIB)


def test_memory_high_is_a_wall_too(tmp_path: Path) -> None:
    source = v2(tmp_path, {"/a": (str(2048 * MIB), 100 * MIB, 0)}, "/a")
    (tmp_path / "sys/fs/cgroup/a/memory.high").write_text(f"{512 * MIB}\n")
    assert read(source).available == 412 * MIB


def test_a_fuller_outer_group_binds_harder_than_the_tightest_limit(tmp_path: Path) -> None:
    notes: list[str] = []
    levels = {"/a": (str(2048 * MIB), 2000 * MIB, 0), "/a/b": (str(1024 * MIB), 10 * MIB, 0)}
    memory = read(v2(tmp_path, levels, "/a/b"), notes)
    assert memory.cgroup_limit == 1024 * MIB
    assert memory.available == 48 * MIB
    assert "/a leaves less room" in notes[0]


def test_a_v1_limit_and_its_huge_number_for_none(tmp_path: Path) -> None:
    files = {
        "proc/self/mountinfo": V1_MOUNT,
        "proc/self/cgroup": "4:memory:/docker/x\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{V1_NONE}\n",
        "sys/fs/cgroup/memory/docker/memory.limit_in_bytes": f"{V1_NONE}\n",
        "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": f"{700 * MIB}\n",
        "sys/fs/cgroup/memory/docker/x/memory.usage_in_bytes": f"{500 * MIB}\n",
        # The group's own inactive_file leaves out its children's; total_ is what counts.
        "sys/fs/cgroup/memory/docker/x/memory.stat": f"inactive_file 1\ntotal_inactive_file {200 * MIB}\n",
    }
    memory = read(write(tmp_path, files))
    assert (memory.cgroup_limit, memory.cgroup_used, memory.available) == (700 * MIB, 300 * MIB, 400 * MIB)


def test_a_v1_container_sees_its_host_path_but_is_mounted_at_the_top(tmp_path: Path) -> None:
    files = {
        "proc/self/mountinfo": "34 22 0:29 /docker/x /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
        "proc/self/cgroup": "4:memory:/docker/x\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{700 * MIB}\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{100 * MIB}\n",
        "sys/fs/cgroup/memory/memory.stat": f"hierarchical_memory_limit {300 * MIB}\n",
    }
    # An even tighter limit outside the container shows only in hierarchical_memory_limit.
    memory = read(write(tmp_path, files))
    assert (memory.cgroup_limit, memory.available) == (300 * MIB, 200 * MIB)


def test_no_limit_can_make_available_negative(tmp_path: Path) -> None:
    assert read(v2(tmp_path, {"/a": (str(10 * MIB), 50 * MIB, 0)}, "/a")).available == 0


def test_a_kernel_without_memavailable_is_read_cautiously() -> None:
    notes: list[str] = []
    assert combine({"MemTotal": TOTAL, "MemFree": 100 * MIB}, [], notes).available == 100 * MIB
    assert "MemAvailable" in notes[0]


@pytest.mark.parametrize(
    ("mount", "group", "expected"),
    [
        (Mount("/", "/sys/fs/cgroup", 2, frozenset()), "/a/b", ["a/b", "a", ""]),
        (Mount("/", "/sys/fs/cgroup", 2, frozenset()), "/", [""]),
        (Mount("/x", "/sys/fs/cgroup", 1, frozenset()), "/x/y", ["y", ""]),
        (Mount("/x", "/sys/fs/cgroup", 1, frozenset()), "/x", [""]),
        (Mount("/x", "/sys/fs/cgroup", 1, frozenset()), "/xy", ["xy", ""]),
        (Mount("/", "/sys/fs/cgroup", 2, frozenset()), "/../outside", [""]),
    ],
)
def test_the_way_up_ends_at_the_mount_point(mount: Mount, group: str, expected: list[str]) -> None:
    assert ancestry(mount, group) == [f"sys/fs/cgroup/{part}".rstrip("/") for part in expected]


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(1, 2 * TOTAL)), st.integers(0, 2 * TOTAL), st.integers(0, 2 * TOTAL)
        ),
        min_size=1,
        max_size=5,
    )
)
def test_available_is_the_least_room_of_any_depth(levels: list[tuple[int | None, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        tree, path, rooms, limits = {}, "", [3000 * MIB], []
        for depth, (limit, current, inactive) in enumerate(levels):
            path += f"/g{depth}"
            tree[path] = ("max" if limit is None else str(limit), current, inactive)
            if limit is not None and limit < TOTAL:
                rooms.append(max(0, limit - max(0, current - inactive)))
                limits.append(limit)
        memory = read(v2(Path(directory), tree, path))
    assert memory.available == min(rooms)
    assert memory.cgroup_limit == min(limits, default=None)


@given(st.text(max_size=200))
def test_any_text_in_the_kernels_files_is_survived(text: str) -> None:
    assert all(mount.version in {1, 2} for mount in parse_mounts(text))
    assert all(group.startswith("/") for group in parse_groups(text).values())
    assert all(value >= 0 for value in parse_meminfo(text).values())
    limit = address_space_limit(f"Max address space {text}")
    assert limit is None or limit >= 0


@pytest.mark.parametrize(("text", "expected"), [("max 100000", None), ("150000 100000", 1.5), ("50000 100000", 0.5)])
def test_cpu_quota_v2(tmp_path: Path, text: str, expected: float | None) -> None:
    source = write(tmp_path, {"sys/fs/cgroup/a/cpu.max": text, "sys/fs/cgroup/a/b/cpu.max": "max 100000"})
    assert cpu_quota(source, parse_mounts(V2_MOUNT), {"": "/a/b"}) == expected


def test_cpu_quota_v1(tmp_path: Path) -> None:
    mounts = parse_mounts("36 22 0:31 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n")
    directory = "sys/fs/cgroup/cpu,cpuacct"
    files = {
        f"{directory}/cpu.cfs_quota_us": "-1",
        f"{directory}/cpu.cfs_period_us": "100000",
        f"{directory}/a/cpu.cfs_quota_us": "250000",
        f"{directory}/a/cpu.cfs_period_us": "100000",
    }
    assert cpu_quota(write(tmp_path, files), mounts, parse_groups("6:cpu,cpuacct:/a\n")) == 2.5


def test_the_controller_is_seen_where_proc_cgroups_leaves_it_out(tmp_path: Path) -> None:
    mounts = parse_mounts(V2_MOUNT)
    table = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t1\t1\n"
    with_it = write(tmp_path / "a", {"sys/fs/cgroup/cgroup.controllers": "cpu memory", "proc/cgroups": table})
    without = write(tmp_path / "b", {"sys/fs/cgroup/cgroup.controllers": "cpu", "proc/cgroups": table})
    disabled = write(tmp_path / "c", {"proc/cgroups": table + "memory\t0\t1\t0\n"})
    assert memory_controller(with_it, mounts) is True
    assert memory_controller(without, mounts) is False
    assert memory_controller(disabled, []) is False
    assert memory_controller(Source(tmp_path / "d"), []) is None


def test_a_missing_controller_is_explained_by_its_cause(tmp_path: Path) -> None:
    pi = Source(BOARDS / "pi5-8gb-no-memory-cgroup")
    assert "Raspberry Pi" in controller_note(pi, supported=False)
    pc = write(tmp_path, {"proc/cmdline": "quiet cgroup_disable=memory"})
    assert "kernel command line" in controller_note(pc, supported=False)
    assert "no memory cgroup" in controller_note(Source(tmp_path / "none"), supported=False)
    assert controller_note(pi, supported=True) == ""


def test_address_space_limit() -> None:
    line = "Max address space         {}            unlimited            bytes     \n"
    assert address_space_limit(line.format("unlimited")) is None
    assert address_space_limit(line.format(2 << 30)) == 2 << 30
