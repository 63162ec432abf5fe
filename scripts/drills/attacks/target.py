"""The edgechat that is attacked: a checkout, run in a home of its own, and what an attack came to."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.models.store.installed import starter

if TYPE_CHECKING:
    from collections.abc import Callable

STRANGER = 60_002
"""User id of somebody else; only root can act as another user."""


@dataclass(frozen=True)
class Outcome:
    """What an attack came to."""

    is_in: bool
    """Whether it reached what it aimed at."""
    detail: str
    """What was seen."""


class Target:
    """One checkout of edgechat in a home of its own.

    Args:
        checkout: the root of its source.
        folder: an empty directory for what the attacks prepare.
        home: its home; in ``folder`` by default.
    """

    def __init__(self, checkout: Path, folder: Path, home: Path | None = None) -> None:
        self.checkout, self.folder, self.home = checkout, folder, home or folder / "home"
        self.shared = folder / "run"
        self.shared.mkdir(exist_ok=True)
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("EDGECHAT_")},
            "PYTHONPATH": str(checkout),
            "EDGECHAT_HOME": str(self.home),
            "EDGECHAT_SHARED": str(self.shared),
        }
        self.marker = folder / "marker.log"

    def start(self, *arguments: str, as_module: bool = False, cwd: Path | None = None) -> subprocess.Popen[str]:
        """Start ``edgechat ARGUMENTS``, or ``python -m edgechat ARGUMENTS``."""
        command = [sys.executable, "-m", "edgechat"] if as_module else [str(Path(sys.executable).with_name("edgechat"))]
        return subprocess.Popen(
            [*command, *arguments], env=self.env, cwd=cwd or "/", text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str, as_module: bool = False, cwd: Path | None = None) -> tuple[int, str, str]:
        """Run it to its end: exit code, standard output and standard error."""
        process = self.start(*arguments, as_module=as_module, cwd=cwd)
        try:
            out, said = process.communicate(timeout=240)
        except subprocess.TimeoutExpired:
            process.kill()
            out, said = process.communicate()
        return process.returncode, out.strip(), " ".join(said.split())

    def with_home(self, home: Path) -> Target:
        """The same checkout in another home."""
        return Target(self.checkout, self.folder, home)

    def starter_copy(self) -> Path:
        """A copy of the starter model that the user may change."""
        model = starter()
        if model is None:
            raise SystemExit("The starter model is not installed; run scripts/setup test.")
        copy = self.folder / "starter.gguf"
        shutil.copy(model.path, copy)
        return copy

    def plant(self, file: Path) -> None:
        """Write a module that leaves a mark when it is imported."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"import os\nopen({str(self.marker)!r}, 'a').write('{file.stem} ')\n")

    def has_run_planted(self) -> bool:
        """Whether a planted module was imported since the last call."""
        found = self.marker.exists()
        self.marker.unlink(missing_ok=True)
        return found

    def processes(self) -> list[int]:
        """Process ids of this home's engines and supervisors."""
        found = []
        for each in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if each.name.isdigit() and f"EDGECHAT_HOME={self.home}\0".encode() in (each / "environ").read_bytes():
                    found.append(int(each.name))
        return found

    def stop(self) -> None:
        """End the engine."""
        self.run("stop")

    def port_of(self, process: subprocess.Popen[str]) -> int:
        """The port in what a server says first."""
        assert process.stderr is not None
        while line := process.stderr.readline():
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                return int(found[1])
        raise SystemExit("the server did not start")


def peak_bytes(pid: int) -> int:
    """Peak resident memory of a process; 0 when it is gone."""
    with contextlib.suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
    return 0


class MemoryWatch:
    """Remembers the largest process of a target; ends one that grows beyond a limit, for the machine's sake."""

    def __init__(self, target: Target, limit: int) -> None:
        self._target, self._limit = target, limit
        self.peak = 0
        self.killed = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._is_over.wait(0.1):
            for pid in self._target.processes():
                peak = peak_bytes(pid)
                self.peak = max(self.peak, peak)
                if peak > self._limit:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        self.killed += 1

    def end(self) -> None:
        """Stop watching."""
        self._is_over.set()
        self._thread.join()


class Waits:
    """Asks something over and over in a thread; remembers the longest wait."""

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask, self._is_over = ask, threading.Event()
        self.longest, self.served, self.failed = 0.0, 0, 0
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        while not self._is_over.is_set():
            began = time.monotonic()
            try:
                self._ask()
                self.served += 1
            except OSError:
                self.failed += 1
            self.longest = max(self.longest, time.monotonic() - began)
            time.sleep(0.005)

    def end(self) -> None:
        """Stop asking."""
        self._is_over.set()
        self._thread.join()


def as_stranger(work: Callable[[], object], *, groups: tuple[int, ...] = ()) -> str:
    """What ``work`` returned in a process of another user (of this one where this is not root), or its error."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        try:
            if os.geteuid() == 0:
                os.setgroups(list(groups))
                os.setgid(STRANGER)
                os.setuid(STRANGER)
            answer = str(work())
        except Exception as error:  # noqa: BLE001 - whatever stops it is the answer
            answer = f"{type(error).__name__}: {error}"
        os.write(into, answer.encode()[:4000])
        os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as stream:
        answer = stream.read().decode()
    os.waitpid(child, 0)
    return answer
