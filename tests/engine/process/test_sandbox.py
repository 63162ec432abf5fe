"""What the engine gives up: the internet, programs, and other files. On a kernel without Landlock it says so."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgechat.engine.child import sandbox

pytestmark = pytest.mark.engine

TRIES = """
import json, os, socket, subprocess, sys
from pathlib import Path
from edgechat.engine.child import sandbox
inside, outside = Path(sys.argv[1]), Path(sys.argv[2])
if sys.argv[3] == "old kernel":
    sandbox.landlock_version = lambda: 0

def tried(work):
    try:
        work()
    except OSError as error:
        return error.errno
    return 0

def all_tries():
    return {
        "write inside": tried(lambda: (inside / "file").write_text("x")),
        "write outside": tried(lambda: (outside / "file").write_text("x")),
        "append outside": tried(lambda: (outside / "there").open("a")),
        "remove outside": tried(lambda: (outside / "there").unlink()),
        "read system": tried(lambda: Path("/etc/hosts").read_text()),
        "read outside": tried(lambda: (outside / "there").read_text()),
        "inet": tried(lambda: socket.socket(socket.AF_INET)),
        "inet6": tried(lambda: socket.socket(socket.AF_INET6)),
        "unix": tried(lambda: socket.socket(socket.AF_UNIX)),
        "program": tried(lambda: subprocess.run(["/bin/ls"], capture_output=True)),
        "python": tried(lambda: subprocess.run([sys.executable, "-c", ""], check=True)),
        "connect": tried(lambda: socket.socket(socket.AF_UNIX).connect(str(outside / "socket"))),
    }

state = sandbox.confine(writable=[inside])
first = all_tries()
sandbox.confine_further(state, readable=[inside], has_gpu=False)
print(json.dumps([state.to_json(), first, all_tries()]))
"""

SENSORS = """
import json, subprocess, sys
from pathlib import Path
from edgechat.engine.child import sandbox

def starts(program):
    try:
        return subprocess.run([program], capture_output=True).returncode == 0
    except OSError:
        return False

state = sandbox.confine(writable=[])
sandbox.confine_further(state, readable=[Path(sys.argv[1])], has_gpu=False)
print(json.dumps([starts("vcgencmd"), starts("/bin/ls"), state.no_programs]))
"""

has_landlock = pytest.mark.skipif(not sandbox.landlock_version(), reason="this kernel has no Landlock")


def tries(tmp_path: Path, kernel: str = "") -> list[dict[str, int]]:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "there").write_text("secret")
    done = subprocess.run(
        [sys.executable, "-c", TRIES, str(inside), str(outside), kernel], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, int]] = json.loads(done.stdout)
    return found


@has_landlock
def test_it_opens_no_internet_socket_runs_no_program_and_writes_nowhere_else(tmp_path: Path) -> None:
    state, first, then = tries(tmp_path)

    assert state["landlock"] >= 1
    refused = {"write outside", "append outside", "remove outside", "inet", "inet6", "program"}
    assert {name for name, error in first.items() if error} == refused | {"connect"}, first
    refused |= {"read outside", "python", "connect"}
    assert {name for name, error in then.items() if error} == refused, then
    assert then["connect"] == 1, "EPERM, not that nothing is there"


@has_landlock
def test_where_a_sensor_program_is_installed_it_alone_can_be_started(tmp_path: Path, monkeypatch) -> None:
    shutil.copy("/bin/true", tmp_path / "vcgencmd")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    done = subprocess.run([sys.executable, "-c", SENSORS, str(tmp_path)], capture_output=True, text=True, check=False)
    assert json.loads(done.stdout) == [True, False, False], done.stderr


def test_a_kernel_without_landlock_is_said_and_the_rest_holds(tmp_path: Path) -> None:
    state, first, then = tries(tmp_path, "old kernel")

    assert state["landlock"] == 0
    assert "no Landlock" in str(state["note"])
    assert first["inet"]
    assert not first["write outside"]
    assert then["program"]


@pytest.mark.engine
def test_a_real_engine_is_confined_and_ps_says_it(cli) -> None:
    assert cli("ask", "-n", "2", "hi").returncode == 0
    (engine,) = json.loads(cli("ps", "--json").stdout)

    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{engine['pid']}/status").read_text().splitlines() if ":" in line
    )
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")
    assert engine["sandbox"]["seccomp"]
    assert bool(engine["sandbox"]["landlock"]) == bool(sandbox.landlock_version())
    threads = list(Path(f"/proc/{engine['pid']}/task").iterdir())
    filters = {
        line for each in threads for line in (each / "status").read_text().splitlines() if "Seccomp_filters" in line
    }
    assert len(filters) == 1, "every thread has the same filters"


def test_a_file_that_the_resident_engine_may_not_read_is_loaded_by_the_next_one(cli, tmp_path, starter_file) -> None:
    """Its sandbox holds the directories of its own model; whether the other file is sound, a new engine finds out."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copyfile(starter_file, elsewhere / "other.gguf")
    (elsewhere / "damaged.gguf").write_bytes(b"GGUF")
    assert cli("ask", "-n", "1", "hi").returncode == 0
    done = cli("ask", "-n", "1", "hi", "-m", str(elsewhere / "other.gguf"), "--stats=json")
    assert done.returncode == 0, done.stderr
    assert '"model": "other"' in done.stderr
    damaged = cli("ask", "-n", "1", "hi", "-m", str(elsewhere / "damaged.gguf"))
    assert damaged.returncode == 4
    assert "Permission denied" not in damaged.stderr
