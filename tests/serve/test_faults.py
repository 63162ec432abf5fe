"""The faults that a server must survive: no token, forged names, slow clients, large and deep bodies, many clients."""

import contextlib
import json
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2 as httpx
import psutil
import pytest

from tests.serve.server import Server

pytestmark = pytest.mark.engine

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that others could reach."""
    with Server(tmp_path_factory.mktemp("guarded"), "--host", "0.0.0.0", "--allow-host", "proxy.example") as running:
        running.wait_ready()
        yield running


def token(server: Server) -> dict[str, str]:
    return {"Authorization": f"Bearer {(server.paths.config / 'serve.token').read_text().strip()}"}


def test_beyond_loopback_a_token_is_demanded_and_says_so(guarded: Server) -> None:
    file = guarded.paths.config / "serve.token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert str(file) in guarded.banner
    assert file.read_text().strip() not in guarded.banner
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}):
        for path in ("/v1/models", "/metrics", "/v1/nothing", "/openapi.json"):
            response = guarded.http.get(path, headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
            assert response.json()["error"]["code"] == "invalid_api_key"
    assert guarded.http.get("/v1/models", headers=token(guarded)).status_code == 200
    assert guarded.http.get("/health").status_code == 200


def test_the_banner_warns_that_plain_http_can_be_read(guarded: Server) -> None:
    until(lambda: "reverse proxy" in guarded.banner)
    assert "plain HTTP" in guarded.banner


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_new_token_takes_the_place_of_the_old_one_at_once(guarded: Server) -> None:
    old = token(guarded)
    command = [sys.executable, "-m", "edgechat", "serve", "--rotate-token"]
    done = subprocess.run(command, env=guarded.env, capture_output=True, text=True, check=True)
    assert str(guarded.paths.config / "serve.token") in done.stderr
    assert guarded.http.get("/v1/models", headers=old).status_code == 401
    assert guarded.http.get("/v1/models", headers=token(guarded)).status_code == 200


def test_a_token_that_others_can_read_is_not_used(guarded: Server) -> None:
    file = guarded.paths.config / "serve.token"
    file.touch()
    file.chmod(0o644)
    response = guarded.http.get("/v1/models", headers=token(guarded))
    assert response.status_code == 503
    assert "chmod 600" in response.json()["error"]["message"]
    file.chmod(0o600)
    file.touch()
    assert guarded.http.get("/v1/models", headers=token(guarded)).status_code == 200


FOREIGN = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "evil.local",
    "",
    "a b",
    "127.0.0.1@evil",
]


@pytest.mark.parametrize("host", FOREIGN)
def test_a_forged_host_is_refused(server: Server, host: str) -> None:
    response = server.http.get("/v1/models", headers={"Host": host})
    assert response.status_code in {400, 403}
    if response.status_code == 403:
        assert response.json()["error"]["code"] == "host_not_allowed"


def test_the_machines_own_names_and_addresses_pass(server: Server, guarded: Server) -> None:
    name = socket.gethostname().partition(".")[0]
    own = [
        "localhost",
        "127.0.0.1:8080",
        "[::1]:8080",
        "192.168.1.20",
        name,
        f"{name}.local",
        f"{name.upper()}-2.local",
    ]
    for host in own:
        assert server.http.get("/v1/models", headers={"Host": host}).status_code == 200, host
    assert server.http.get("/v1/models", headers={"Host": "proxy.example"}).status_code == 403
    assert guarded.http.get("/v1/models", headers={"Host": "proxy.example", **token(guarded)}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "file://"])
def test_a_foreign_page_is_refused_and_gets_no_permission(server: Server, origin: str) -> None:
    for method in ("GET", "OPTIONS", "POST"):
        response = server.http.request(method, "/v1/chat/completions", headers={"Origin": origin})
        assert response.status_code == 403
        assert not [name for name in response.headers if name.startswith("access-control")]
    assert server.http.get("/v1/models", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert server.http.get("/v1/models", headers={"Origin": server.url}).status_code == 200


def test_a_gigabyte_is_refused_before_it_is_read(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as peer:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        peer.sendall(head + b"Content-Length: 1073741824\r\n\r\n")
        assert b" 413 " in peer.recv(4096)


def test_a_body_without_a_length_is_cut_off_and_memory_is_bounded(server: Server) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(256):
            yield b"[" * 262_144

    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    for _ in range(3):
        response = server.http.post("/v1/chat/completions", content=endless(), headers=JSON)
        assert response.status_code == 413
    assert process.memory_info().rss - before < 32 * 1024 * 1024
    assert server.chat().status_code == 200


@pytest.mark.parametrize("body", ["[" * 100_000, '{"a":' * 100_000, "[" * 65 + "]" * 65], ids=["open", "objects", "65"])
def test_deep_json_is_refused(server: Server, body: str) -> None:
    response = server.http.post("/v1/chat/completions", content=body.encode(), headers=JSON)
    assert response.status_code == 400
    assert response.json()["error"]["code"] in {"json_too_deep", "invalid_json"}


def test_a_schema_nested_too_deeply_is_refused(server: Server) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(40):
        schema = {"type": "array", "items": schema}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert server.chat(response_format=wanted).status_code in {200, 400}
    for _ in range(40):
        schema = {"type": "array", "items": schema}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert server.chat(response_format=wanted).status_code == 400


@pytest.mark.slow
def test_clients_that_say_nothing_or_little_are_let_go(server: Server) -> None:
    """One sends half a head, one a head and half a body; meanwhile others are answered."""
    silent = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    silent.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: loc")
    slow = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    slow.sendall(head + b'Content-Length: 100\r\n\r\n{"mess')
    assert server.chat().status_code == 200
    with contextlib.suppress(ConnectionResetError):  # as good as an end
        assert silent.recv(100) == b""
    assert b" 408 " in slow.recv(4096)
    silent.close()
    slow.close()


def test_a_client_that_stops_reading_holds_nothing(server: Server) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "Tell a story."}], "stream": True, "max_tokens": 100})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n{'Content-Type: application/json'}\r\n"
    peers = []
    for _ in range(4):
        peer = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        peers.append(peer)
    assert server.chat().status_code == 200
    for peer in peers:
        peer.close()


def test_garbage_is_answered_and_forgotten(server: Server) -> None:
    for data in (
        b"\x16\x03\x01\x02\x00\x01",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"\0" * 4096,
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as peer:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            assert b" 200 " not in peer.recv(4096)
    assert "Traceback" not in server.banner
    assert server.chat().status_code == 200


def test_two_hundred_clients_get_an_answer_or_a_503(server: Server) -> None:
    statuses: list[int] = []

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=100, trust_env=False) as http:
            body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
            statuses.append(http.post("/v1/chat/completions", json=body).status_code)

    threads = [threading.Thread(target=ask) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(statuses) == 200
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 40
    assert server.chat().status_code == 200


def test_a_bomb_of_small_values_is_refused_before_it_is_parsed(server: Server) -> None:
    """4 MB of ``[],`` blocked ``/health`` for 0.85 s, fourteen of them for 8 s."""
    for piece in (b"[],", b'{"a":1},', b"1,"):
        body = b'{"messages":[' + piece * (4_000_000 // len(piece)) + b"1]}"
        response = server.http.post("/v1/chat/completions", content=body, headers=JSON)
        assert (response.status_code, response.json()["error"]["code"]) == (400, "json_too_large")
    arguments = "[" + "[]," * 1_300_000 + "[]]"
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    said = [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    assert server.post("/v1/chat/completions", {"messages": said}).status_code == 400


def test_half_heads_keep_nobody_out(server: Server) -> None:
    """600 of them filled all places for 14 s."""
    peers = []
    try:
        for _ in range(600):
            peer = socket.create_connection(("127.0.0.1", server.port), timeout=60)
            peer.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: loc")
            peers.append(peer)
        with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as other:
            assert other.get("/health").status_code == 200
            assert other.get("/v1/models").status_code == 200
    finally:
        for peer in peers:
            peer.close()
