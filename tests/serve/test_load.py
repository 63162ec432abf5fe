"""Two hundred connections from another process, over several kinds of request; the memory is printed."""

import json
import subprocess
import sys
from collections import Counter

import psutil
import pytest

from edgechat.engine.client import client
from tests.serve.server import Server

pytestmark = [pytest.mark.engine, pytest.mark.slow]

LOADER = """
import asyncio, json, sys
import httpx2 as httpx
CHAT = {"messages": [{"role": "user", "content": "Say hi."}], "max_tokens": 6}
SCHEMA = {"type": "object", "properties": {"level": {"enum": ["low", "high"]}}, "required": ["level"],
          "additionalProperties": False}
KINDS = [
    ("POST", "/v1/chat/completions", CHAT),
    ("POST", "/v1/chat/completions", {**CHAT, "stream": True}),
    ("POST", "/v1/chat/completions", {**CHAT, "max_tokens": 40, "response_format":
        {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}}),
    ("POST", "/v1/completions", {"prompt": "Hi", "max_tokens": 4}),
    ("GET", "/health", None), ("GET", "/metrics", None), ("GET", "/v1/models", None),
    ("POST", "/v1/chat/completions", {"messages": []}),
]
async def ask(http, number):
    method, path, body = KINDS[number % len(KINDS)]
    text, status = "", 0
    async with http.stream(method, path, json=body) as response:
        status = response.status_code
        async for piece in response.aiter_text():
            text += piece
    is_stream = bool(body and body.get("stream")) and status == 200
    return status, (text.rstrip().endswith("data: [DONE]") if is_stream else True), response.headers.get("retry-after")
async def main():
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=sys.argv[1], timeout=100, limits=limits, trust_env=False) as http:
        seen = await asyncio.gather(*(ask(http, number) for number in range(200)))
    print(json.dumps(seen))
asyncio.run(main())
"""


def wave(server: Server) -> list[tuple[int, bool, str | None]]:
    done = subprocess.run(
        [sys.executable, "-c", LOADER, server.url], capture_output=True, text=True, timeout=110, check=True
    )
    return [tuple(each) for each in json.loads(done.stdout)]


def rss(server: Server) -> tuple[int, int]:
    return psutil.Process(server.process.pid).memory_info().rss, client.status(server.paths)[0]["rss_bytes"]


def test_two_hundred_connections_see_answers_or_503_and_memory_stays(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = wave(server)  # what is made once, threads above all, is made here
    before = rss(server)
    for _ in range(2):
        seen += wave(server)
    after = rss(server)
    statuses = Counter(status for status, _, _ in seen)
    with capsys.disabled():
        sys.stdout.write(f"\n{len(seen)} requests, 200 at once: {dict(statuses)}\n")
        for name, was, now in zip(("server", "engine"), before, after, strict=True):
            sys.stdout.write(
                f"{name} memory: {was / 1e6:.1f} -> {now / 1e6:.1f} MB ({(now / was - 1) * 100:+.1f} %)" + "\n"
            )
    assert set(statuses) <= {200, 400, 503}
    assert all(is_whole for _, is_whole, _ in seen)
    assert all(retry for status, _, retry in seen if status == 503)
    assert server.health()["running"] == 0
    assert server.chat().status_code == 200
    assert client.status(server.paths)[0]["running"] == 0
