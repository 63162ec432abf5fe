"""Runs the command line as people do: in a process of its own, with a home of its own."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING, Any

from edgechat.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def on_terminal(*arguments: str, env: Mapping[str, str], width: int = 80) -> tuple[bytes, int]:
    """What ``edgechat`` writes to a terminal of so many columns, both streams together, and its exit code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    child = subprocess.Popen(
        [sys.executable, "-m", "edgechat", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**env, "TERM": "xterm-256color"},
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            data = os.read(ours, 4096)
        except OSError:  # Linux says so when the last one has closed the other end
            break
        if not data:
            break
        written += data
    os.close(ours)
    return written, child.wait(timeout=60)


class Command:
    """``edgechat models …`` below ``home``."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("HF_", "EDGECHAT_"))},
            "EDGECHAT_HOME": str(home),
            "HF_HOME": str(home / "hf"),
            "HOME": str(home / "user"),
        }

    def __call__(
        self, *arguments: str, code: int = ExitCode.OK, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "edgechat", "models", *arguments],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json").stdout)
