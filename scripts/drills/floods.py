#!/usr/bin/env python3
"""Floods the engine's socket and the HTTP server, and measures their memory and for how long others wait.

    scripts/drills/floods.py

Runs `edgechat serve` on the starter model in a home of its own; nothing leaves this machine. Prints a Markdown table:
growth of the process's peak memory, the longest time that another client waited, and how many were served meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from edgechat.engine.client.connection import EngineConnection  # noqa: E402 - found through the line above
from edgechat.engine.protocol import unix_socket  # noqa: E402
from edgechat.paths import Paths  # noqa: E402
from scripts.drills.attacks.crowds import BODY, BOMB  # noqa: E402
from scripts.drills.attacks.target import Waits, peak_bytes  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable


def measure(name: str, pid: int, ask: Callable[[], object], attack: Callable[[], None]) -> None:
    """One row of the table. The attack has a process of its own, so that it takes none of the waiting one's turns."""
    quiet = Waits(ask)
    time.sleep(3)
    quiet.end()
    before = peak_bytes(pid)
    attacker = multiprocessing.get_context("fork").Process(target=attack)
    attacker.start()
    waits = Waits(ask)
    attacker.join()
    time.sleep(1)
    waits.end()
    grown = (peak_bytes(pid) - before) / 1e6
    print(
        f"| {name} | {grown:+.0f} MB | {waits.longest:.2f} s (quiet: {quiet.longest:.2f} s) | {waits.served} served, "
        f"{waits.failed} refused |", flush=True,
    )  # fmt: skip


def flood_frame(state: Path) -> None:
    """A guest's status frame of 31 MB."""
    peer = unix_socket.connect(state)
    assert peer is not None
    with contextlib.closing(peer), contextlib.suppress(OSError):
        EngineConnection(peer, keeps=False)
        peer.sendall(struct.pack(">I", len(BOMB)) + BOMB)


def flood_silent(state: Path) -> None:
    """Forty connections that say nothing, for 15 s."""
    peers = [unix_socket.connect(state) for _ in range(40)]
    time.sleep(15)
    for peer in peers:
        if peer is not None:
            peer.close()


def flood_bodies(port: int) -> None:
    """Fourteen bodies of 4 MB at once."""

    def post() -> None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=60) as peer:
            head = (
                "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
            )
            peer.sendall(head.encode() + BODY)
            while peer.recv(1 << 16):
                pass

    threads = [threading.Thread(target=post) for _ in range(14)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def flood_heads(port: int) -> None:
    """Six hundred half heads, for 8 s."""
    peers = []
    for _ in range(600):
        with contextlib.suppress(OSError):
            peer = socket.create_connection(("127.0.0.1", port), timeout=60)
            peer.sendall(b"GET /health HTTP/1.1\r\nHost: loc")
            peers.append(peer)
    time.sleep(8)
    for peer in peers:
        peer.close()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="edgechat-floods-") as home:
        env = {**os.environ, "EDGECHAT_HOME": home}
        paths = Paths.from_env(env)
        server = subprocess.Popen(
            [sys.executable, "-m", "edgechat", "serve", "--port", "0"], env=env, stderr=subprocess.PIPE, text=True
        )
        try:
            assert server.stderr is not None
            found = re.search(r"http://127\.0\.0\.1:(\d+)", server.stderr.readline())
            assert found
            port = int(found[1])

            def health() -> dict[str, object]:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60) as answer:
                    return dict(json.load(answer))

            def status() -> None:
                peer = unix_socket.connect(paths.state)
                if peer is None:
                    raise ConnectionRefusedError
                with contextlib.closing(EngineConnection(peer, keeps=False)) as link:
                    link.send({"type": "status"})
                    link.receive(timeout_s=60)

            until = time.monotonic() + 120
            while time.monotonic() < until:
                with contextlib.suppress(OSError):
                    if health()["status"] == "ready":
                        break
                time.sleep(0.5)
            peer = unix_socket.connect(paths.state)
            assert peer is not None
            with contextlib.closing(EngineConnection(peer, keeps=False)) as link:
                engine = link.pid
            print("| attack | memory | longest wait of another | others |\n|---|---|---|---|")
            measure("a `status` frame of 31 MB", engine, status, lambda: flood_frame(paths.state))
            measure("40 silent connections, 15 s", engine, status, lambda: flood_silent(paths.state))
            measure("14 bodies of 4 MB of `[],`", server.pid, health, lambda: flood_bodies(port))
            measure("600 half heads, 8 s", server.pid, health, lambda: flood_heads(port))
        finally:
            server.terminate()
            server.wait(60)
            subprocess.run([sys.executable, "-m", "edgechat", "stop"], env=env, check=False, capture_output=True)


if __name__ == "__main__":
    main()
