"""Attacks 8 to 10: a bomb and silent guests on the engine's socket, a bomb of small values and half heads over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from typing import TYPE_CHECKING, Any

from scripts.drills.attacks.target import Outcome, Waits, as_stranger, peak_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.drills.attacks.target import Target

BOMB = b'{"type":"status","x":[' + b"{}," * 10_300_000 + b"{}]}"
BODY = b'{"messages":[' + b"[]," * 1_300_000 + b"[]]}"
THIRD = 60_003
"""User id of a third user."""
DEAF_S = 2.0
"""A wait that counts as being kept out, on a machine that may be busy."""
LENGTH = struct.Struct(">I")
_IDENTITY = """
import json
try:
    from edgechat.engine.protocol.version import IDENTITY
except ImportError:
    from edgechat.engine.dialect import WHO as IDENTITY
print(json.dumps(IDENTITY))
"""


def guests(target: Target) -> Outcome:
    """A guest sends a ``status`` frame of 31 MB; then 32 guests say nothing while another one wants to ask."""
    shown = subprocess.run([sys.executable, "-P", "-c", _IDENTITY], env=target.env, capture_output=True, check=True)
    hello = {"type": "hello", "keeps": False, **json.loads(shown.stdout)}
    target.run("ask", "-n", "1", "hi")
    path = str(target.shared / "engine.sock")
    os.chown(path, -1, 0)
    pid = int(json.loads(target.run("ps", "--json")[1])[0]["pid"])
    before = peak_bytes(pid)
    waits = Waits(lambda: _status(str(target.home / "state/engine.sock"), hello))

    def bomb() -> str:
        with greeted(path, hello) as peer, contextlib.suppress(OSError):
            peer.sendall(LENGTH.pack(len(BOMB)) + BOMB)
            return str(receive(peer).get("type"))
        return "disconnected"

    answer = as_stranger(bomb, groups=(0,))
    time.sleep(1)
    waits.end()
    grown = (peak_bytes(pid) - before) / 1e6

    with _silent(path):
        place = as_stranger(lambda: _try_greeting(path, hello), groups=(0,))
    target.stop()
    return Outcome(
        grown > 50 or waits.longest > DEAF_S or place != "let in",
        f"frame: {answer}, {grown:+.0f} MB, owner waited {waits.longest:.2f} s; a guest beside "
        f"32 silent ones of another user: {place}",
    )


def small_values(target: Target) -> Outcome:
    """Fourteen bodies of 4 MB of ``[],`` at once, while another client asks for ``/health``."""
    with _serving(target) as (port, pid):
        before = peak_bytes(pid)
        waits = Waits(lambda: _health(port))
        threads = [threading.Thread(target=_post, args=(port,)) for _ in range(14)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(1)
        waits.end()
        grown = (peak_bytes(pid) - before) / 1e6
    text = f"{grown:+.0f} MB, /health waited {waits.longest:.2f} s, {waits.served} served, {waits.failed} refused"
    return Outcome(waits.longest > DEAF_S or grown > 150, text)


def half_heads(target: Target) -> Outcome:
    """Six hundred half request heads; another client asks for ``/health`` for eight seconds."""
    with _serving(target) as (port, _):
        peers = []
        for _ in range(600):
            with contextlib.suppress(OSError):
                peers.append(socket.create_connection(("127.0.0.1", port), timeout=10))
                peers[-1].sendall(b"GET /health HTTP/1.1\r\nHost: loc")
        waits = Waits(lambda: _health(port))
        time.sleep(8)
        waits.end()
        for peer in peers:
            peer.close()
    text = f"/health waited {waits.longest:.2f} s, {waits.served} served, {waits.failed} refused"
    return Outcome(waits.failed > waits.served or waits.longest > DEAF_S, text)


@contextlib.contextmanager
def _silent(path: str) -> Iterator[None]:
    """Meanwhile a third user has 32 connections open that say nothing."""
    told, into = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setgroups([0])
            os.setuid(THIRD)
        peers = [socket.socket(socket.AF_UNIX) for _ in range(32)]
        for each in peers:
            with contextlib.suppress(OSError):
                each.connect(path)
        os.write(into, b"x")
        time.sleep(60)
        os._exit(0)
    try:
        os.read(told, 1)
        time.sleep(0.5)
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(told)
        os.close(into)


@contextlib.contextmanager
def greeted(path: str, hello: dict[str, Any]) -> Iterator[socket.socket]:
    """A connection after the handshake."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(60)
        peer.connect(path)
        body = json.dumps(hello).encode()
        peer.sendall(LENGTH.pack(len(body)) + body)
        answer = receive(peer)
        if answer["type"] != "hello":
            raise ConnectionRefusedError(str(answer.get("reason")))
        yield peer


def _try_greeting(path: str, hello: dict[str, Any]) -> str:
    try:
        with greeted(path, hello):
            return "let in"
    except OSError as error:
        return f"kept out ({error})"


def _status(path: str, hello: dict[str, Any]) -> None:
    with greeted(path, hello) as peer:
        body = b'{"type":"status"}'
        peer.sendall(LENGTH.pack(len(body)) + body)
        receive(peer)


def receive(peer: socket.socket) -> dict[str, Any]:
    data = b""
    while len(data) < 4 or len(data) < 4 + LENGTH.unpack_from(data)[0]:
        piece = peer.recv(1 << 16)
        if not piece:
            raise ConnectionResetError("disconnected")
        data += piece
    return dict(json.loads(data[4 : 4 + LENGTH.unpack_from(data)[0]]))


@contextlib.contextmanager
def _serving(target: Target) -> Iterator[tuple[int, int]]:
    """A server whose model is ready: its port and process id."""
    server = target.start("serve", "--port", "0")
    try:
        port = target.port_of(server)
        until = time.monotonic() + 120
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                if _health(port)["status"] == "ready":
                    break
            time.sleep(0.5)
        yield port, server.pid
    finally:
        server.terminate()
        server.wait(60)
        target.stop()


def _health(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60) as answer:
        return dict(json.load(answer))


def _post(port: int) -> None:
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=60) as peer:
        peer.sendall(head.encode() + BODY)
        while peer.recv(1 << 16):
            pass
