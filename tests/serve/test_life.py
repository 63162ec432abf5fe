"""The server's start, queue and end: clients that leave, signals, an engine that dies."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import pytest

from edgechat.engine.client import client
from tests.serve.server import Server

pytestmark = pytest.mark.engine

LONG = {"max_tokens": 2000, "temperature": 0.9, "repeat_penalty": 1.2}


def until(true: Callable[[], bool], patience_s: float = 30.0) -> None:
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def raw_chat(server: Server, **fields: Any) -> socket.socket:
    """A connection on which a question was asked, whose answer nobody reads yet."""
    import json

    body = json.dumps({"messages": [{"role": "user", "content": "Tell a very long story."}], **fields}).encode()
    peer = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"  # noqa: E501
    peer.sendall(head.encode() + body)
    return peer


def test_it_says_where_it_is_and_how_to_reach_it(server):
    assert f"http://127.0.0.1:{server.port}/v1" in server.banner
    assert f"ssh -L {server.port}:127.0.0.1:{server.port}" in server.banner
    (line,) = [line for line in server.banner.splitlines() if "curl" in line]
    command = line.partition("curl")[2].replace('"Hello"}]', '"Hello"}], "max_tokens": 1')
    done = subprocess.run(f"curl -s {command}", shell=True, capture_output=True, text=True, check=True)
    assert '"object":"chat.completion"' in done.stdout


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_the_engine(server, stream):
    before = server.metric("edgechat_cancelled_total")
    peer = raw_chat(server, stream=stream, **LONG)
    until(lambda: client.status(server.paths)[0]["running"] == 1)
    peer.close()
    until(lambda: client.status(server.paths)[0]["running"] == 0, 5)
    until(lambda: server.health()["running"] == 0, 5)
    assert server.metric("edgechat_cancelled_total") == before + 1


def test_a_full_queue_says_when_to_come_again(tmp_path):
    with Server(tmp_path / "queue", "--parallel", "1", "--queue", "1") as server:
        server.wait_ready()
        peers = [raw_chat(server, stream=True, **LONG)]
        until(lambda: server.health()["running"] == 1)
        peers.append(raw_chat(server, stream=True, **LONG))
        until(lambda: server.health()["waiting"] == 1)
        response = server.chat()
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
        assert response.json()["error"]["code"] == "busy"
        assert server.health()["reason"] == "The queue is full."
        for peer in peers:
            peer.close()
        until(lambda: server.health()["status"] == "ready", 10)
        assert server.chat().status_code == 200


def test_a_time_limit_ends_an_answer_with_what_there_is(tmp_path):
    many = {"type": "array", "items": {"type": "integer"}, "minItems": 200}
    wanted = {"type": "json_schema", "json_schema": {"name": "many", "schema": many}}
    with Server(tmp_path / "limit", "--timeout", "2") as server:
        server.wait_ready()
        # What is made once for each model and schema is not part of what is timed.
        server.chat("Numbers.", response_format=wanted, max_tokens=1)
        answer = server.chat("Numbers.", response_format=wanted, max_tokens=4000).json()
        assert "choices" in answer, answer
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["choices"][0]["message"]["content"]
        assert answer["usage"]["completion_tokens"] < 2000


def test_a_killed_engine_costs_nobody_the_answer(server):
    server.wait_ready()  # or the answer that runs is the server's own, and the engine one that it has not met yet
    said = {}
    asking = threading.Thread(target=lambda: said.update(server.chat("Tell a story.", max_tokens=300).json()))
    asking.start()
    until(lambda: client.status(server.paths)[0]["running"] == 1)
    os.kill(client.status(server.paths)[0]["pid"], signal.SIGKILL)
    asking.join(60)
    assert said["choices"][0]["message"]["content"]
    assert said["usage"]["completion_tokens"] <= 300
    assert server.metric("edgechat_engine_restarts_total") >= 1
    assert server.health()["status"] == "ready"


def test_a_signal_lets_running_answers_end_and_takes_no_new_ones(tmp_path):
    with Server(tmp_path / "signal") as server:
        server.wait_ready()
        peer = raw_chat(server, stream=True, max_tokens=200, temperature=0)
        assert peer.recv(65536).startswith(b"HTTP/1.1 200")
        server.process.send_signal(signal.SIGTERM)
        rest = b""
        while data := peer.recv(65536):
            rest += data
        peer.close()
        assert b"[DONE]" in rest
        assert server.process.wait(30) == 143
        assert "Traceback" not in server.banner


def test_an_address_that_is_taken_is_named(server):
    done = subprocess.run(
        [sys.executable, "-m", "edgechat", "serve", "--port", str(server.port)],
        env=server.env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 8
    assert f"port {server.port}" in done.stderr
    assert "--port" in done.stderr


def test_a_model_that_is_not_there_is_said_in_health_and_in_answers(tmp_path):
    with Server(tmp_path / "none", "-m", "no-such-model") as server:
        until(lambda: server.health()["status"] == "degraded")
        assert "no-such-model" in server.health()["reason"]
        response = server.chat()
        assert response.status_code in {404, 503}
        assert "no-such-model" in response.json()["error"]["message"]


@pytest.mark.parametrize("command", [["serve"], ["service", "install", "--dry-run"], ["tui", "--web"]], ids=str)
def test_in_an_incomplete_installation_it_says_what_to_install_and_where(command, tmp_path):
    missing = "textual_serve" if "--web" in command else "starlette"
    code = f"import sys; sys.modules[{missing!r}] = None; from edgechat.cli.main import run; run({command!r})"
    env = {**os.environ, "EDGECHAT_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    # The program that runs, wherever it was installed; no checkout, and no defect.
    assert f"{sys.executable} -m pip install" in " ".join(done.stderr.split())
    assert missing.replace("_", "-") in done.stderr
    assert "defect" not in done.stderr
    assert "'.[" not in done.stderr


def test_what_the_readme_shows_needs_no_extra():
    """A board may have no network when the server, the UI in a browser or the service is first wanted."""
    requirements = [line for line in metadata.requires("edgechat") or [] if "extra ==" not in line]
    names = {re.split(r"[<>=!~\[; ]", line, maxsplit=1)[0] for line in requirements}
    assert {"starlette", "uvicorn", "prometheus-client", "aiohttp", "textual-serve"} <= names


def test_an_engine_that_should_stay_is_brought_back_though_nobody_asks(tmp_path):
    with Server(tmp_path / "kept", "--keep-alive", "-1") as server:
        server.wait_ready()
        first = client.status(server.paths)[0]["pid"]
        os.kill(first, signal.SIGKILL)
        until(lambda: any(each["pid"] != first and each["stage"] == "idle" for each in client.status(server.paths)))
        until(lambda: server.health()["status"] == "ready")
        log = (server.paths.state / "logs" / "serve.log").read_text()
        assert f"listens on 127.0.0.1 port {server.port}" in log
