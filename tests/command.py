"""Run the ``edgechat`` command in a process of its own: with pipes, on a terminal, with an engine."""

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


class Cli:
    """Runs the ``edgechat`` command as a person or a script would."""

    def __call__(
        self, *arguments: str, stdin: str | bytes | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        if isinstance(stdin, bytes):
            done = subprocess.run(
                self.command(*arguments), input=stdin, capture_output=True, timeout=100, check=False, **options
            )
            return subprocess.CompletedProcess(
                done.args, done.returncode, done.stdout.decode(), done.stderr.decode("utf-8", "replace")
            )
        return subprocess.run(
            self.command(*arguments),
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            **options,
        )

    def popen(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """The same without waiting."""
        return subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def json(self, *arguments: str) -> Any:
        """Standard output as JSON; the command must succeed."""
        done = self(*arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @staticmethod
    def command(*arguments: str) -> list[str]:
        """The argument vector."""
        return [sys.executable, "-m", "edgechat", *arguments]


def run(*arguments: str, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The finished command; it must leave with ``code`` and without a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "edgechat", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def run_json(*arguments: str) -> Any:
    """What a command with ``--json`` prints."""
    return json.loads(run(*arguments, "--json").stdout)
