#!/usr/bin/env python3
"""Stand in for systemd: start the unit in its sandbox, watch it, restart it when it hangs.

    scripts/drills/fake_systemd.py [--watchdog SECONDS] [--open]

Takes the very unit that `edgechat service install --dry-run` prints, with a free port and a home of its own, and does
what can be done without systemd: Environment, UMask, NoNewPrivileges, an empty CapabilityBoundingSet,
ProtectSystem=strict with ReadWritePaths, the notify socket and the watchdog (`--watchdog`, instead of the unit's two
minutes). `--open` leaves the sandbox out, for machines where mount name spaces are forbidden. Then it
    1. tries to write outside ReadWritePaths, from inside;
    2. kills the engine: the server must bring it back by itself;
    3. stops the engine (SIGSTOP), so that it hangs: the watchdog must restart everything;
    4. stops the server: likewise;
    5. asks it to end: STOPPING=1, and an exit status that the unit calls a success.
What systemd-analyze thinks of the unit is said by systemd-analyze itself: `verify` and `security --offline=true`.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2 as httpx

from edgechat.engine.client import client
from edgechat.engine.protocol import unix_socket
from edgechat.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Callable

_START_S = 60.0


@dataclass(frozen=True)
class UnitFile:
    """The settings of a unit's [Service] that this script carries out."""

    settings: dict[str, list[str]]

    @classmethod
    def parse(cls, text: str) -> UnitFile:
        """Read a unit; words are split as systemd splits them, near enough for our own."""
        settings: dict[str, list[str]] = {}
        for line in text.splitlines():
            name, separator, value = line.partition("=")
            if separator:
                settings.setdefault(name, []).extend(shlex.split(value.replace("%%", "%")) or [""])
        return cls(settings)

    def command(self, *, is_open: bool) -> list[str]:
        """ExecStart, inside what can be had of the sandbox."""
        program = [word.replace("$$", "$") for word in self.settings["ExecStart"]]
        umask = f"umask {self.settings['UMask'][0]}"
        if is_open:
            return ["sh", "-c", f'{umask}; exec "$@"', "sh", *program]
        assert self.settings["ProtectSystem"] == ["strict"]
        assert self.settings["CapabilityBoundingSet"] == [""]
        writable = self.settings["ReadWritePaths"]
        binds = "; ".join(f"mount --bind {shlex.quote(path)} {shlex.quote(path)}" for path in writable)
        keep = "|".join(re.escape(path) for path in writable)
        # Every mount but those of ReadWritePaths and the kernel's own becomes read-only.
        script = (
            f"set -e; mount --make-rprivate /; {binds}; "
            f"awk '{{print $2}}' /proc/self/mounts | grep -vE '^(/proc|/sys|/dev|{keep})(/|$)' | sort -u | "
            'while read -r each; do mount -o remount,bind,ro "$each"; done; '
            f'{umask}; exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"'
        )
        return ["unshare", "--mount", "sh", "-c", script, "sh", *program]

    def environment(self) -> dict[str, str]:
        """Environment=, over this process's own."""
        return {**os.environ, **dict(each.split("=", 1) for each in self.settings["Environment"])}


class Supervisor:
    """Starts a unit, hears what it says, and restarts it when it says nothing or ends by failure."""

    def __init__(self, unit: UnitFile, watchdog_s: float, home: Path, *, is_open: bool) -> None:
        self._unit, self._watchdog_s, self._is_open = unit, watchdog_s, is_open
        self._said = home / "said"
        self._hears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._hears.bind(str(home / "notify"))
        self._hears.settimeout(0.2)
        self._address = str(home / "notify")
        self.restarts = 0
        self.status = ""
        self.is_stopping = False
        self.start()

    def start(self) -> None:
        """Start it, and return when it says READY=1."""
        env = {
            **self._unit.environment(),
            "NOTIFY_SOCKET": self._address,
            "WATCHDOG_USEC": str(int(self._watchdog_s * 1e6)),
        }
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                self._unit.command(is_open=self._is_open), env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                start_new_session=True,
            )  # fmt: skip
        self._last = time.monotonic()
        self.wait(lambda message: "READY=1" in message, _START_S)

    @property
    def url(self) -> str:
        """Where it serves."""
        found = re.search(r"(http://\S+)/v1", self._said.read_text())
        assert found, self._said.read_text()
        return found[1]

    def wait(self, is_it: Callable[[str], bool], patience_s: float) -> None:
        """Hear messages until one is what is waited for."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            for message in self.hear():
                if is_it(message):
                    return
            if self.process.poll() is not None:
                raise SystemExit(f"It ended with {self.process.returncode}: {self._said.read_text()}")
        raise SystemExit(f"It did not say so within {patience_s:.0f} s: {self._said.read_text()}")

    def hear(self) -> list[str]:
        """Messages that have arrived by now."""
        try:
            message = self._hears.recv(8192).decode()
        except TimeoutError:
            return []
        if "WATCHDOG=1" in message or "READY=1" in message:
            self._last = time.monotonic()
        if found := re.search(r"^STATUS=(.*)$", message, re.MULTILINE):
            self.status = found[1]
        self.is_stopping |= "STOPPING=1" in message
        return [message]

    def watch_for(self, seconds: float) -> None:
        """Do what the watchdog does, for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.hear()
            if time.monotonic() - self._last > self._watchdog_s or self.process.poll() is not None:
                self._restart()
                return

    def _restart(self) -> None:
        # systemd ends the whole control group; here the engine is found by its socket.
        paths = Paths.from_env(self._unit.environment())
        for pid in [self.process.pid, *engines(paths)]:
            try:
                os.killpg(os.getpgid(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(30)
        self.restarts += 1
        self.start()

    def chat(self) -> int:
        """Ask for an answer; the status."""
        body = {"messages": [{"role": "user", "content": "Say hi."}], "max_tokens": 4}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=60, trust_env=False).status_code


def engines(paths: Paths) -> list[int]:
    """Process ids of the engine, also when it hangs: its supervisor is whoever listens at the socket."""
    peer = unix_socket.connect(paths.state)
    group = unix_socket.process_group(peer) if peer else None
    if peer:
        peer.close()
    return [group] if group else []


def engine_child(paths: Paths) -> int:
    """Process id of the engine itself."""
    return int(client.status(paths)[0]["pid"])


def step(number: int, text: str, is_right: bool) -> bool:
    """Print how a step went."""
    print(f"{number}. {'ok' if is_right else 'FAILED'}: {text}", flush=True)
    return is_right


def drill(home: Path, watchdog_s: float, *, is_open: bool) -> bool:
    """All steps."""
    env = {**os.environ, "EDGECHAT_HOME": str(home / "edgechat")}
    for name in ("config", "state", "data", "cache", "models"):
        (home / "edgechat" / name).mkdir(parents=True)
    printed = subprocess.run(
        [sys.executable, "-m", "edgechat", "service", "install", "--dry-run", "--", "--port", "0"],
        env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    unit = UnitFile.parse(printed.stdout)
    paths = Paths.from_env(env)
    began = time.monotonic()
    supervisor = Supervisor(unit, watchdog_s, home, is_open=is_open)
    print(f"ready after {time.monotonic() - began:.1f} s; chat says {supervisor.chat()}; {supervisor.status}")
    good = True
    if not is_open:
        outside = home / "outside"
        probe = f"touch {home}/edgechat/inside && ! touch {outside} 2>&1 && ! touch /etc/edgechat-was-here 2>&1"
        entered = unit.command(is_open=False)
        done = subprocess.run(
            [*entered[: entered.index("sh", 4) + 1], "sh", "-c", probe],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        good &= step(1, f"writes outside ReadWritePaths are refused: {done.stdout.strip()!r}", done.returncode == 0)
    pid = engine_child(paths)
    os.kill(pid, signal.SIGKILL)
    supervisor.watch_for(2)
    said = f"engine killed: chat says {supervisor.chat()}, {supervisor.restarts} restarts"
    good &= step(2, said, supervisor.restarts == 0)
    os.kill(engine_child(paths), signal.SIGSTOP)
    began = time.monotonic()
    supervisor.watch_for(watchdog_s * 3)
    said = f"engine hung: restarted after {time.monotonic() - began:.1f} s, chat says {supervisor.chat()}"
    good &= step(3, said, supervisor.restarts == 1)
    # `unshare` and `setpriv` replaced themselves by it.
    os.kill(supervisor.process.pid, signal.SIGSTOP)
    began = time.monotonic()
    supervisor.watch_for(watchdog_s * 3)
    said = f"server hung: restarted after {time.monotonic() - began:.1f} s, chat says {supervisor.chat()}"
    good &= step(4, said, supervisor.restarts == 2)
    supervisor.process.terminate()
    until = time.monotonic() + 30
    while supervisor.process.poll() is None and time.monotonic() < until:
        supervisor.hear()
    code = supervisor.process.wait(5)
    code = code if code >= 0 else 128 - code
    succeeded = str(code) in {"0", *unit.settings["SuccessExitStatus"]}
    good &= step(5, f"asked to end: STOPPING=1 {supervisor.is_stopping}, exit status {code}", succeeded)
    client.stop(paths)
    return good and supervisor.is_stopping


def main() -> int:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--watchdog", type=float, default=9.0, metavar="SECONDS")
    parser.add_argument("--open", action="store_true", help="without the sandbox")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        return 0 if drill(Path(home), options.watchdog, is_open=options.open) else 1


if __name__ == "__main__":
    sys.exit(main())
