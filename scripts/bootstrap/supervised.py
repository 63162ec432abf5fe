"""Run one command that cannot outlive its parent, with its output in a log and a progress line on stderr.

The command gets a watcher of its own: when the parent is gone (kill -9, a closed terminal) the watcher ends it with
all that it started. The watcher also inherits the setup lock, so the lock is free only once nothing runs any more.
It does not know what the command is for.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

POLL_S = 0.2
HEARTBEAT_S = 30.0
GRACE_S = 5.0

_STEP = re.compile(rb"\[(\d+)/(\d+)\]")
_BYTES = re.compile(rb"Progress (\d+) of (\d+)")
_NOW = re.compile(
    rb"^ *(?:Collecting|Downloading|Building wheel for|Installing build dependencies|Preparing) ?([^ \n]*)"
)


class SetupError(Exception):
    """A step that did not work: what to tell the user, and the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class Progress:
    """One line on stderr that is rewritten on a terminal, and plain lines now and then anywhere else."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.started = time.monotonic()
        self._spoke = self.started
        self._terminal = sys.stderr.isatty()
        if not self._terminal:
            print(f"{label} ...", file=sys.stderr, flush=True)

    def tick(self, detail: str) -> None:
        """Show what is going on now; `detail` may be empty."""
        now = time.monotonic()
        if self._terminal:
            line = f"{self.label} ... {_clock(now - self.started)}  {detail}"
            print(f"\r\033[K{line[: _columns() - 1]}", end="", file=sys.stderr, flush=True)
        elif now - self._spoke >= HEARTBEAT_S:
            self._spoke = now
            print(f"{self.label} ... {_clock(now - self.started)}  {detail}".rstrip(), file=sys.stderr, flush=True)

    def end(self, word: str) -> None:
        """Close the line with the time that the step took."""
        start = "\r\033[K" if self._terminal else ""
        print(f"{start}{self.label}: {word} ({_clock(time.monotonic() - self.started)})", file=sys.stderr, flush=True)


def run(label: str, argv: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path) -> None:
    """Run `argv` to its end, showing progress taken from its output.

    Raises:
        SetupError: it ended with another status than 0; the message carries the last lines of the log.
    """
    progress = Progress(label)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink, contextlib.closing(_Watched(argv, sink.fileno(), env, cwd)) as watched:
        tail = _Tail(log)
        while (status := watched.poll()) is None:
            progress.tick(tail.detail())
            time.sleep(POLL_S)
    if status == 0:
        progress.end("done")
        return
    progress.end("failed")
    raise failure(label, log, status)


def failure(label: str, log: Path, status: int) -> SetupError:
    """Say why a command failed, from the end of its log. A network that cannot be reached is exit 7, the rest 1."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("Progress ")]
    shown = "\n".join(f"    {line[:300]}" for line in lines[-15:])
    unreachable = re.search(
        r"NewConnectionError|NameResolutionError|name resolution|ConnectTimeout|ReadTimeout|Read timed out"
        r"|Connection refused|Connection reset|ConnectionError|ProxyError|Network is unreachable"
        r"|Incomplete(?:Read|Download)|from versions: none",
        text,
    )
    if unreachable:
        hint = (
            "The package index could not be reached, or lacks this. Check the network, then run the same command again."
        )
    elif "No space left on device" in text:
        hint = "The disk is full. Free some space, then run the same command again: it goes on from here."
    elif re.search(r"Killed|cannot allocate memory|out of memory", text, re.IGNORECASE) or status < 0:
        hint = "It was ended from outside, most likely for lack of memory. Try again with CMAKE_BUILD_PARALLEL_LEVEL=1."
    else:
        hint = "What went before is kept: once the cause is mended, run the same command again."
    return SetupError(f"{label}: failed. The end of {log}:\n{shown}\n{hint}", 7 if unreachable else 1)


class _Watched:
    """The command below its watcher. Leaving the block ends both, whatever the reason."""

    def __init__(self, argv: Sequence[str], output: int, env: Mapping[str, str], cwd: Path) -> None:
        gone, self._alive = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            status = 1
            try:
                os.close(self._alive)
                status = _watch(gone, argv, output, env, cwd)
            finally:
                os._exit(status)
        os.close(gone)
        self._status: int | None = None

    def close(self) -> None:
        """End the command if it still runs, and wait until it is gone."""
        os.close(self._alive)
        while self.poll() is None:
            time.sleep(0.02)

    def poll(self) -> int | None:
        if self._status is None:
            pid, raw = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(raw)
        return self._status


def _watch(gone: int, argv: Sequence[str], output: int, env: Mapping[str, str], cwd: Path) -> int:
    """Be the watcher: end the command when the parent's end of the pipe closes. Returns an exit status."""
    os.setpgid(0, 0)  # the terminal's Ctrl-C is for the parent, which then closes the pipe
    try:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=dict(env), cwd=cwd, start_new_session=True
        )
    except OSError as error:
        os.write(output, f"{argv[0]}: {error.strerror}\n".encode())
        return 127
    while child.poll() is None:
        ready, _, _ = select.select([gone], [], [], 0.1)
        if ready:
            _end(child)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the command's whole group: politely at first, since ninja then ends its compilers, each a group of its own.

    What is gone but not reaped (no init in some containers) still counts as the group, hence the second limit.
    """
    with contextlib.suppress(ProcessLookupError):  # raised once the group is empty
        for number in (signal.SIGTERM, signal.SIGKILL):
            os.killpg(child.pid, number)
            deadline = time.monotonic() + GRACE_S
            while time.monotonic() < deadline:
                child.poll()
                os.killpg(child.pid, 0)
                time.sleep(0.05)


class _Tail:
    """What the newest output says about how far the command is."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._seen = 0
        self._subject = ""
        self._count = ""

    def detail(self) -> str:
        with self._log.open("rb") as stream:
            stream.seek(self._seen)
            fresh = stream.read()
        self._seen += len(fresh)
        for line in fresh.splitlines():
            if subject := _NOW.match(line):
                self._subject, self._count = subject[1].rpartition(b"/")[2].decode(errors="replace"), ""
            elif step := _STEP.search(line):
                self._count = f"{int(step[1])} of {int(step[2])}"
            elif part := _BYTES.match(line):
                self._count = f"{int(part[1]) * 100 // max(1, int(part[2]))} %"
        return f"{self._subject} {self._count}".strip()


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80
