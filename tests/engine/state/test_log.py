"""The engine's log is bounded, keeps the end, and never stands in the engine's way."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgechat.engine.client import client
from edgechat.engine.client.connection import EngineConnection, EngineGoneError
from edgechat.engine.protocol import unix_socket
from edgechat.engine.state import log
from edgechat.errors import StateError
from edgechat.paths import private_directory


def write(state, text: bytes) -> None:
    descriptor = log.open_for_engine(state)
    os.write(descriptor, text)
    os.close(descriptor)


def test_what_was_written_last_is_what_is_read(tmp_path):
    write(tmp_path, b"first\n")
    start = log.path(tmp_path).stat().st_size
    write(tmp_path, b"second\n" * 10_000)
    assert log.tail(tmp_path, start=start, size=14) == "second\nsecond\n"
    assert "first" not in log.tail(tmp_path, start=start, size=1 << 20)
    assert log.tail(tmp_path, size=1 << 20).startswith("first")


def test_without_a_log_there_is_no_tail(tmp_path):
    assert log.tail(tmp_path) == ""
    log.keep_bounded(tmp_path)


def test_bytes_that_are_no_text_are_shown_as_such(tmp_path):
    write(tmp_path, b"\xff\xfeabc")
    assert log.tail(tmp_path).endswith("abc")


def test_a_large_log_is_set_aside_when_an_engine_starts(tmp_path):
    write(tmp_path, b"x" * (log.MAX_BYTES // 2 + 1))
    write(tmp_path, b"new\n")
    assert log.path(tmp_path).read_bytes() == b"new\n"
    assert sorted(each.name for each in log.path(tmp_path).parent.iterdir()) == ["engine.log", "engine.log.1"]


def test_a_log_that_outgrows_its_bound_loses_its_older_half_while_it_is_written(tmp_path):
    descriptor = log.open_for_engine(tmp_path)
    for number in range(log.MAX_BYTES // 8 + 1):
        os.write(descriptor, b"%07d\n" % number)
    log.keep_bounded(tmp_path)
    os.write(descriptor, b"the end\n")
    os.close(descriptor)
    lines = log.path(tmp_path).read_bytes().splitlines()
    assert len(lines) == log.MAX_BYTES // 16 + 1
    assert lines[-2:] == [b"%07d" % (log.MAX_BYTES // 8), b"the end"]


def test_a_small_log_is_left_alone(tmp_path):
    write(tmp_path, b"x" * 1000)
    log.keep_bounded(tmp_path)
    assert log.path(tmp_path).stat().st_size == 1000


def test_a_log_that_cannot_be_opened_says_where(tmp_path):
    log.path(tmp_path).mkdir(parents=True)
    with pytest.raises(StateError, match=r"engine\.log"):
        log.open_for_engine(tmp_path)


FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")

DEAF = """
import os, socket, tempfile
from edgechat.engine.state import log
from edgechat.engine.listener.connections import Listener
if {survives}: log.ignore_write_errors()
def defect(*_): raise ValueError("x" * 100_000)
Listener(socket.socket(socket.AF_UNIX), on_frame=defect, on_gone=defect, on_tick=defect).run()
"""


@needs_full
def test_on_a_full_disk_lines_are_dropped_and_nobody_stops() -> None:
    with log.Lossy(FULL.open("wb", buffering=0), line_buffering=True) as lossy:
        for _ in range(1000):
            assert lossy.write("x" * 100 + "\n") == 101
            lossy.flush()
        print("a line", file=lossy)


@pytest.mark.process
@needs_full
@pytest.mark.parametrize("survives", [True, False])
def test_an_engine_that_can_no_longer_hear_ends_even_where_it_cannot_say_why(survives: bool) -> None:
    with FULL.open("w") as disk:
        done = subprocess.run(
            [sys.executable, "-c", DEAF.format(survives=survives)], stderr=disk, timeout=60, check=False
        )
    assert done.returncode == 70


@pytest.fixture
def full_disk(paths):
    """The directory of the logs is a disk of its own, and full. A link to /dev/full would be refused."""
    folder = private_directory(log.path(paths.state).parent)
    command = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to mount a small disk")
    log.path(paths.state).touch()
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    yield
    client.stop(paths)
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.engine
def test_the_engine_answers_on_where_its_log_is_on_a_full_disk(cli, paths, full_disk) -> None:
    assert cli("ask", "-n", "1", "hi").returncode == 0
    (engine,) = client.status(paths)
    peer = unix_socket.connect(paths.state)
    assert peer is not None
    link = EngineConnection(peer, keeps=False)
    link.send({"type": "generate", "id": "none"})  # what it thinks of that goes to the log
    with pytest.raises(EngineGoneError):
        link.receive(timeout_s=20)
    link.close()
    assert cli("ask", "-n", "1", "hi").returncode == 0
    assert [each["pid"] for each in client.status(paths)] == [engine["pid"]]
