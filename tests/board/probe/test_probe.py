"""The machine the tests run on, probed for real and compared with other witnesses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from edgechat.board.probe.probe import probe

if TYPE_CHECKING:
    from collections.abc import Iterator

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and cgroups are Linux's")
CGROUP = Path("/sys/fs/cgroup/memory")
PROBE = (
    "import json; from edgechat.board.probe.board_file import to_json; from edgechat.board.probe.probe import probe; "
)
SHOW = "print(json.dumps(to_json(probe())))"


def child(code: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    board: dict[str, Any] = json.loads(done.stdout)
    return board


@linux
def test_psutil_sees_the_same_machine() -> None:
    board, ram = probe(), psutil.virtual_memory()
    assert board.memory.total == ram.total
    assert board.memory.swap_total == psutil.swap_memory().total
    if board.memory.cgroup_limit is None:
        # Other processes come and go between the two readings.
        assert abs(board.memory.available - ram.available) < 0.1 * ram.total
    assert board.memory.available <= ram.total
    if board.cpu.quota is None:
        assert board.cpu.n_threads == len(os.sched_getaffinity(0))
        if board.cpu.n_threads == psutil.cpu_count():
            assert board.cpu.n_cores == psutil.cpu_count(logical=False)
    assert 1 <= board.cpu.n_big_cores <= board.cpu.n_cores <= board.cpu.n_threads
    assert board.kernel == os.uname().release
    assert board.boot_id


@pytest.mark.process
@linux
def test_affinity_is_respected() -> None:
    one = min(os.sched_getaffinity(0))
    board = child(f"import os; os.sched_setaffinity(0, {{{one}}}); {PROBE}{SHOW}")
    assert (board["cpu"]["n_threads"], board["cpu"]["n_cores"], board["cpu"]["n_big_cores"]) == (1, 1, 1)


@pytest.mark.process
@linux
def test_an_address_space_limit_shows() -> None:
    code = f"import resource; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, resource.RLIM_INFINITY)); {PROBE}{SHOW}"
    assert child(code)["memory"]["address_space_limit"] == 3 << 30


@pytest.fixture
def limited_group() -> Iterator[Path]:
    """A real version 1 memory cgroup with a limit of 600 MB."""
    group = CGROUP / f"edgechat-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no version 1 memory cgroup can be made here: {error}")
    try:
        (group / "memory.limit_in_bytes").write_text("600000000")
        yield group
    finally:
        group.rmdir()


@pytest.mark.process
@linux
def test_a_real_memory_limit_shows(limited_group: Path) -> None:
    code = (
        f"import os; open({str(limited_group / 'cgroup.procs')!r}, 'w').write(str(os.getpid())); "
        f"ballast = bytearray(os.urandom(1 << 20) * 100); {PROBE}{SHOW}"
    )
    memory = child(code)["memory"]
    page = os.sysconf("SC_PAGE_SIZE")
    assert memory["cgroup_limit"] == 600_000_000 // page * page
    # The child's 100 MiB lie in the group, some of its interpreter too.
    assert 100 << 20 <= memory["cgroup_used"] < 200 << 20
    assert memory["available"] == memory["cgroup_limit"] - memory["cgroup_used"]


@pytest.mark.process
@linux
def test_the_probe_needs_only_the_standard_library() -> None:
    code = (
        "import sys; from edgechat.board.probe.probe import probe; probe(); "
        "heavy = [m for m in ('psutil', 'pydantic', 'numpy', 'click', 'rich', 'subprocess') if m in sys.modules]; "
        "import json; print(json.dumps({'heavy': heavy}))"
    )
    # subprocess is loaded where a GPU driver is present, because nvidia-smi is then asked.
    heavy = set(child(code)["heavy"])
    assert heavy <= ({"subprocess"} if Path("/proc/driver/nvidia").exists() else set())


def test_a_machine_that_shows_nothing_is_reported_not_guessed(tmp_path: Path) -> None:
    board = probe(tmp_path)
    assert board.memory.total == 0
    assert any("/proc/meminfo cannot be read" in note for note in board.notes)
    assert any("boot id" in note for note in board.notes)
    assert board.memory.bandwidth is None
