#!/usr/bin/env python3
"""Tries everything that two other users of the machine could do to an owner of edgechat, and prints a Markdown table.

    sudo scripts/drills/other_users.py [--python /usr/bin/python3]

Needs root, for three real uids that exist only while it runs: an owner, a stranger, and a member of the owner's group.
Two homes: one with the usual modes, and one that a group shares (mode 2770), which edgechat refuses. The interpreter
must be one that all users can run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from edgechat.engine.protocol.framing import encode  # noqa: E402 - found through the line above
from edgechat.engine.protocol.version import IDENTITY  # noqa: E402
from scripts.drills.attacks.crowds import greeted, receive  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

OWNER, STRANGER, MEMBER = 60_001, 60_002, 60_003
STATUS: dict[str, object] = {"type": "status"}
KEEP: dict[str, object] = {"type": "keep", "seconds": -1}


def as_user(uid: int, groups: list[int], work: Callable[[], object]) -> str:
    """What ``work`` came to, done in a process of that user: ``yes``, or why not."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        try:
            os.setgroups(groups)
            os.setgid(uid)
            os.setuid(uid)
            answer = str(work() or "yes")
        except urllib.error.HTTPError as error:
            refuses = error.code in {401, 403}
            answer = f"{'no' if refuses else 'yes'} (status {error.code}{'' if refuses else ': the model is loading'})"
        except Exception as error:  # noqa: BLE001 - whatever stops it is the answer
            answer = f"no ({getattr(error, 'strerror', None) or type(error).__name__})"
        os.write(into, answer.encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as stream:
        answer = stream.read().decode()
    os.waitpid(child, 0)
    return answer


class Owner:
    """The owner's edgechat in one home."""

    def __init__(self, python: str, home: Path, group: int) -> None:
        site = next(Path(each) for each in sys.path if each.endswith("site-packages"))
        self.env = {
            "PATH": "/usr/bin:/bin", "HOME": str(home.parent), "EDGECHAT_HOME": str(home),
            "PYTHONPATH": f"{ROOT}:{site}", "EDGECHAT_KEEP_ALIVE": "10m",
            # For the group alone, as systemd makes it for a service.
            "EDGECHAT_SHARED": str(home.parent / "run"),
        }  # fmt: skip
        self.python, self.home, self.group = python, home, group

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ``edgechat ARGUMENTS`` as the owner."""
        return subprocess.Popen(
            [self.python, "-P", "-m", "edgechat", *arguments], env=self.env, cwd="/", text=True,
            user=OWNER, group=OWNER, extra_groups=[self.group], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run it to its end: exit code, and what it said on standard error."""
        process = self.start(*arguments)
        _, said = process.communicate(timeout=300)
        return process.returncode, said


def port_of(process: subprocess.Popen[str]) -> int:
    """The port in what a server says first."""
    assert process.stderr is not None
    while line := process.stderr.readline():
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    raise SystemExit("the server did not start")


def get(port: int, path: str) -> str:
    """The status of a request."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        return f"yes (status {answer.status}, {answer.geturl().rpartition('/')[2] or 'page'})"


def web_socket(port: int) -> str:
    """Open the web socket through which a tab of the browser acts."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        peer.sendall(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        status = peer.recv(100).split(b" ")[1].decode()
    return f"yes (status {status})" if status == "101" else f"no (status {status})"


def connect(path: Path) -> None:
    """Connect to the engine."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(path))


def send_shared(path: Path, frame: dict[str, object]) -> str:
    """Send a frame to the engine that a group shares; what it answers."""
    with greeted(str(path), {"type": "hello", "keeps": False, **IDENTITY}) as peer:
        peer.sendall(encode(frame))
        return f"yes ({receive(peer)['type']})"


def tries(home: Path, engine: int, ports: dict[str, int]) -> dict[str, Callable[[], object]]:
    """Everything that is tried."""
    return {
        "list the home": lambda: list(home.iterdir()) and None,
        "read the settings": lambda: (home / "config/config.toml").read_text() and None,
        "read the server's token": lambda: (home / "config/serve.token").read_text() and None,
        "read the conversations": lambda: next((home / "data").glob("*.db*")).read_bytes() and None,
        "read the engine's log": lambda: (home / "state/logs/engine.log").read_text() and None,
        "read a kept prefix or template verdict": lambda: next((home / "cache").rglob("*.json")).read_bytes() and None,
        "connect to the engine's socket": lambda: connect(home / "state/engine.sock"),
        "connect to the engine that a group shares": lambda: send_shared(home.parent / "run/engine.sock", STATUS),
        "stop that engine": lambda: send_shared(home.parent / "run/engine.sock", {"type": "stop"}),
        "choose when that engine ends": lambda: send_shared(home.parent / "run/engine.sock", KEEP),
        "replace the socket": (home / "state/engine.sock").unlink,
        "place a file in the state directory": lambda: (home / "state/queue.py").write_text("") and None,
        "rename the state directory": lambda: (home / "state").rename(home / "state.old"),
        "change an installed model": lambda: next((home / "models").rglob("*.gguf")).open("r+b").close(),
        "stop the engine with a signal": lambda: os.kill(engine, signal.SIGTERM),
        "read the engine's environment": lambda: Path(f"/proc/{engine}/environ").read_bytes() and None,
        "read the engine's memory": lambda: Path(f"/proc/{engine}/mem").open("rb").close(),
        "see the engine in the list of processes": lambda: Path(f"/proc/{engine}/cmdline").read_bytes() and None,
        "open a tab of `tui --web`": lambda: web_socket(ports["web"]),
        "ask `serve` without --token": lambda: get(ports["open"], "/v1/models"),
        "ask `serve --token`": lambda: get(ports["token"], "/v1/models"),
        "`/health` of `serve --token`": lambda: get(ports["token"], "/health"),
    }


def usual(python: str, folder: Path) -> None:
    """The table for a home with the usual modes."""
    home = folder / "usual" / "edgechat"
    home.parent.mkdir()
    home.parent.chmod(0o755)
    os.chown(home.parent, OWNER, OWNER)
    run = home.parent / "run"
    run.mkdir()
    run.chmod(0o750)
    os.chown(run, OWNER, OWNER)
    owner = Owner(python, home, OWNER)
    code, said = owner.run("ask", "-c", "-n", "4", "Say hello.")
    if code:
        raise SystemExit(f"ask ended with {code}: {said}")
    (home / "config").mkdir(exist_ok=True)
    (home / "config/config.toml").write_text("")
    (home / "models/x").mkdir(parents=True)
    (home / "models/x/file.gguf").touch()
    shutil.copystat(home, home / "models")
    for each in (home / "config", home / "config/config.toml", home / "models", home / "models/x/file.gguf"):
        os.chown(each, OWNER, OWNER)
    servers = {
        "open": owner.start("serve", "--port", "0"),
        "token": owner.start("serve", "--port", "0", "--token"),
        "web": owner.start("tui", "--web", "--port", "0"),
    }
    try:
        ports = {name: port_of(server) for name, server in servers.items()}
        engines = subprocess.run(
            [python, "-P", "-m", "edgechat", "ps", "--json"], env=owner.env, cwd="/", user=OWNER, group=OWNER,
            extra_groups=[], capture_output=True, text=True, check=True,
        )  # fmt: skip
        engine = json.loads(engines.stdout)[0]["pid"]
        print("| a home with the usual modes | a stranger | a member of the owner's group |\n|---|---|---|")
        for name, work in tries(home, engine, ports).items():
            row = [as_user(STRANGER, [], work), as_user(MEMBER, [OWNER], work)]
            print(f"| {name} | {row[0]} | {row[1]} |", flush=True)
    finally:
        for server in servers.values():
            server.terminate()
            server.wait(60)
        owner.run("stop")


def shared(python: str, folder: Path) -> None:
    """What edgechat says in a home that a group shares, and in one that a stranger has prepared."""
    print("\n| a home that others can write | what the owner is told |\n|---|---|")
    for name, mode, uid in (
        ("shared by a group (2770)", 0o2770, OWNER), ("open to all (0777)", 0o777, OWNER),
        ("sticky and open to all (1777), state prepared by a stranger", 0o1777, OWNER),
        ("made by a stranger (0755)", 0o755, STRANGER),
    ):  # fmt: skip
        home = folder / f"shared-{mode:o}-{uid}"
        home.mkdir()
        os.chown(home, uid, MEMBER)
        home.chmod(mode)
        if mode == 0o1777:
            (home / "state").mkdir()
            (home / "state/queue.py").write_text("raise SystemExit('ran as the owner')")
            os.chown(home / "state", STRANGER, STRANGER)
        code, said = Owner(python, home, MEMBER).run("ask", "-n", "1", "hi")
        print(f"| {name} | exit code {code}: {' '.join(said.split()).replace(str(folder), '…')} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="/usr/bin/python3", help="an interpreter that all users can run")
    arguments = parser.parse_args()
    "localhost".encode("idna")  # imported now: the other users may not be able to read this Python's files
    if os.geteuid() != 0:
        raise SystemExit("Other users can be played by root only.")
    with tempfile.TemporaryDirectory(prefix="edgechat-users-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        began = time.monotonic()
        usual(arguments.python, folder)
        shared(arguments.python, folder)
        print(f"\n{time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
