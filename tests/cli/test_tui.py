"""``edgechat`` and ``edgechat tui`` as commands: a terminal opens the app, anything else gets a word."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.process


@pytest.mark.process
def test_without_a_terminal_edgechat_prints_its_help() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgechat"], input="", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert "Commands:" in done.stdout


@pytest.mark.process
def test_without_a_terminal_tui_says_what_to_use_instead() -> None:
    command = [sys.executable, "-m", "edgechat", "tui"]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "edgechat ask" in done.stderr


@pytest.mark.process
def test_on_a_terminal_edgechat_opens_and_ctrl_q_leaves() -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execv(sys.executable, [sys.executable, "-m", "edgechat"])
    shown = b""
    end = time.monotonic() + 60
    while b"Everything you write" not in shown:
        assert time.monotonic() < end, shown[-500:]
        if select.select([terminal], [], [], 0.2)[0]:
            shown += os.read(terminal, 1 << 16)
    os.write(terminal, b"\x11")
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                os.read(terminal, 1 << 16)
            except OSError:
                break
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
