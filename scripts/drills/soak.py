#!/usr/bin/env python3
"""Run a server under misbehaving clients, kill its engine again and again, and count errors and memory growth.

    scripts/drills/soak.py [--minutes 20] [--clients 6] [--kill-every 30] [--json FILE]

Clients ask for chats, streams, JSON by schema, tasks, read their answer to the end or leave in the middle, and bring
instructions never seen before, so that the prefix cache turns over. The engine is killed by SIGKILL, SIGSEGV and
SIGABRT by turns. Every second somebody asks /health; every five, memory and descriptors are read. Runs in a home of
its own on the starter model. The exit status is 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2 as httpx
import psutil

from scripts.drills.server import RISK, Served, by_schema, chat

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNALS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT)
SCENE = {
    "speed_kmh": 90.0,
    "distance_to_car_m": 20.0,
    "lane_center_offset_m": 0.4,
    "weather": "rain",
    "time_of_day": "night",
}
WARM_UP_SHARE = 0.25
"""Of the time: what is made once (threads, arenas, caches up to their bound) is not growth."""
MAX_GROWTH = 0.03
MAX_NEW_FDS = 4
MAX_ZOMBIES = 3
"""One waits for the next start of an engine; others may be dying at the moment."""
MIN_UP = 0.99


@dataclass
class Tally:
    """What clients saw."""

    ended: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, how: str, said: str = "") -> None:
        """Count how a request ended; anything but an answer, a departure of our own or a 503 is a fault."""
        if how == "503":
            with contextlib.suppress(ValueError, KeyError):
                kind = f"{kind} ({json.loads(said)['error']['code']})"
        with self.lock:
            self.ended[f"{kind}: {how}"] += 1
            if how not in {"200", "503", "left", "error event"} and len(self.faults) < 50:
                self.faults.append(f"{kind}: {how} {said[:300]}")


@dataclass(frozen=True)
class Sample:
    """The processes at one moment."""

    at_s: float
    server_rss: int
    server_fds: int
    server_threads: int
    engine_rss: int
    engine_fds: int
    zombies: int
    """Ended children of the server that it has not buried."""


class Clients:
    """Threads that ask until they are told to stop."""

    def __init__(self, served: Served, tally: Tally, stop: threading.Event) -> None:
        self._served, self._tally, self._stop = served, tally, stop
        self._kinds: list[tuple[int, Callable[[httpx.Client, random.Random], None]]] = [
            (4, self._chat), (4, self._stream), (3, self._json), (2, self._task), (3, self._leave), (2, self._churn),
            (1, self._nonsense),
        ]  # fmt: skip

    def work(self, seed: int) -> None:
        """The body of one thread."""
        dice = random.Random(seed)
        weights = [weight for weight, _ in self._kinds]
        while not self._stop.is_set():
            # A connection is used a few times, as browsers and libraries do, then another is opened.
            with self._served.http(660) as http:
                for _ in range(dice.randint(1, 6)):
                    kind = dice.choices([each for _, each in self._kinds], weights)[0]
                    name = kind.__name__.strip("_")
                    try:
                        kind(http, dice)
                    except (httpx.HTTPError, OSError) as error:
                        self._tally.note(name, type(error).__name__, str(error))
                    if self._stop.is_set():
                        return
                    time.sleep(dice.uniform(0, 0.3))

    def _post(self, http: httpx.Client, kind: str, body: dict[str, Any]) -> str:
        response = http.post("/v1/chat/completions", json=body)
        self._tally.note(kind, str(response.status_code), response.text)
        if response.status_code != 200:
            return ""
        return str(response.json()["choices"][0]["message"]["content"])

    def _chat(self, http: httpx.Client, dice: random.Random) -> None:
        self._post(http, "chat", chat(f"Tell me about the number {dice.randint(1, 9999)}.", dice.randint(4, 48)))

    def _churn(self, http: httpx.Client, dice: random.Random) -> None:
        rules = " ".join(f"Rule {dice.getrandbits(24):x} says {dice.getrandbits(32):x}." for _ in range(40))
        messages = [{"role": "system", "content": rules}, {"role": "user", "content": "Which rule is first?"}]
        self._post(http, "churn", {**chat("", 8), "messages": messages})

    def _json(self, http: httpx.Client, dice: random.Random) -> None:
        asked = chat(f"Rain, {dice.randint(20, 160)} km/h, {dice.randint(3, 90)} m ahead. How risky?", 120)
        text = self._post(http, "json", {**asked, "response_format": by_schema(RISK)})
        if text and set(json.loads(text)) != set(RISK["required"]):
            self._tally.note("json", "does not satisfy its schema", text)

    def _task(self, http: httpx.Client, dice: random.Random) -> None:
        response = http.post("/v1/tasks/driving", json={**SCENE, "speed_kmh": float(dice.randint(20, 160))})
        self._tally.note("task", str(response.status_code), response.text)

    def _nonsense(self, http: httpx.Client, dice: random.Random) -> None:
        body = dice.choice([b"{", b"[]", b'{"messages": []}', b"\xff" * 64, b'{"messages": [{"role": "robot"}]}'])
        response = http.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
        how = "200" if response.status_code == 400 else f"{response.status_code} instead of 400"
        self._tally.note("nonsense", how, response.text)

    def _stream(self, http: httpx.Client, dice: random.Random) -> None:
        body = chat(f"Tell a story of {dice.randint(2, 99)} cats.", dice.randint(8, 64), stream=True)
        with http.stream("POST", "/v1/chat/completions", json=body) as response:
            text = "".join(response.iter_text())
        if response.status_code != 200:
            self._tally.note("stream", str(response.status_code), text)
            return
        last = text.strip().splitlines()[-1]
        if last == "data: [DONE]":
            self._tally.note("stream", "200")
        else:
            self._tally.note("stream", "error event" if '"error"' in last else "cut off", text[-300:])

    def _leave(self, http: httpx.Client, dice: random.Random) -> None:
        """Ask for what never ends, and go."""
        body = chat("What is the capital of France?", 2000, stream=True)
        left_after = dice.randint(0, 12)
        with http.stream("POST", "/v1/chat/completions", json=body) as response:
            if response.status_code != 200:
                self._tally.note("leave", str(response.status_code), response.read().decode())
                return
            for number, _ in enumerate(response.iter_lines()):
                if number >= left_after:
                    break
        self._tally.note("leave", "left")


def keep_killing(served: Served, every_s: float, stop: threading.Event, kills: Counter[str]) -> None:
    """Kill the engine, by turns with each signal."""
    number = 0
    while not stop.wait(every_s):
        pid = served.engine_pid()
        if pid is None:
            continue
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, SIGNALS[number % len(SIGNALS)])
            kills[SIGNALS[number % len(SIGNALS)].name] += 1
            number += 1


def keep_asking_health(served: Served, stop: threading.Event, words: Counter[str]) -> None:
    """Once a second: is it up?"""
    with served.http(10) as http:
        while not stop.wait(1):
            try:
                response = http.get("/health")
                said = response.json()
                words[f"{response.status_code} {said['status']}: {said['reason'] or ''}"[:120]] += 1
            except httpx.HTTPError as error:
                words[type(error).__name__] += 1


def sample(served: Served, began: float) -> Sample:
    """Look at both processes."""
    server, engine_rss, engine_fds = served.seen, 0, 0
    pid = served.engine_pid()
    if pid is not None:
        with contextlib.suppress(psutil.Error):
            engine = psutil.Process(pid)
            engine_rss, engine_fds = engine.memory_info().rss, engine.num_fds()
    return Sample(
        round(time.monotonic() - began, 1),
        server.memory_info().rss,
        server.num_fds(),
        server.num_threads(),
        engine_rss,
        engine_fds,
        sum(_is_zombie(each) for each in server.children()),
    )


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False  # buried meanwhile


def slope_per_hour(samples: list[Sample]) -> float:
    """Bytes an hour by which the server grows: least squares."""
    if len(samples) < 3:
        return 0.0
    fit = statistics.linear_regression([each.at_s for each in samples], [each.server_rss for each in samples])
    return fit.slope * 3600


def size_of(folder: Path) -> int:
    """Bytes below a folder."""
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def soak(served: Served, minutes: float, clients: int, kill_every_s: float) -> tuple[dict[str, Any], list[str]]:
    """Run it; the report, and which bars were missed."""
    stop, tally, kills, words = threading.Event(), Tally(), Counter[str](), Counter[str]()
    group = Clients(served, tally, stop)
    threads = [threading.Thread(target=group.work, args=(number,)) for number in range(clients)]
    threads.append(threading.Thread(target=keep_killing, args=(served, kill_every_s, stop, kills)))
    threads.append(threading.Thread(target=keep_asking_health, args=(served, stop, words)))
    began = time.monotonic()
    for thread in threads:
        thread.start()
    samples: list[Sample] = []
    try:
        while time.monotonic() - began < minutes * 60 and served.process.poll() is None:
            time.sleep(min(5, minutes * 6))
            samples.append(sample(served, began))
    finally:
        stop.set()
        for thread in threads:
            thread.join(150)
    time.sleep(1)
    last = sample(served, began)
    settled = [each for each in samples if each.at_s > minutes * 60 * WARM_UP_SHARE]
    first = settled[0] if settled else last
    tenth = max(len(settled) // 10, 1)
    was, now = (statistics.median(each.server_rss for each in part) for part in (settled[:tenth], settled[-tenth:]))
    metrics = served.metrics()
    # A full queue is a promise kept, and loading is what a killed engine's successor does.
    well = ("200", "503 loading", "503 degraded: The queue is full")
    up = sum(count for word, count in words.items() if word.startswith(well)) / max(words.total(), 1)
    # The bar above forgives loading; what a client meets is this.
    unready = sum(count for word, count in words.items() if not word.startswith(("200", "503 degraded: The queue")))
    report = {
        "minutes": round((time.monotonic() - began) / 60, 1),
        "requests": dict(sorted(tally.ended.items())),
        "faults": tally.faults,
        "kills": dict(kills),
        "engine_restarts": metrics.get("edgechat_engine_restarts_total", 0),
        "answers_recovered": sum(
            value for name, value in metrics.items() if name.startswith("edgechat_recovered_total")
        ),
        "health": dict(words),
        "uptime_share": round(up, 4),
        "unready_s_per_kill": round(unready / max(kills.total(), 1), 2),
        "server_alive": served.process.poll() is None,
        "server_rss_mb": [round(was / 1e6, 1), round(now / 1e6, 1)],
        "server_rss_growth": round(now / was - 1, 4),
        "server_rss_slope_mb_per_hour": round(slope_per_hour(settled) / 1e6, 2),
        "server_fds": [first.server_fds, max(each.server_fds for each in settled), last.server_fds],
        "server_threads": [first.server_threads, last.server_threads],
        "engine_rss_mb": [round(first.engine_rss / 1e6, 1), round(last.engine_rss / 1e6, 1)],
        "engine_fds": [first.engine_fds, last.engine_fds],
        "most_zombies": max(each.zombies for each in settled),
        "home_mb": round(size_of(served.home) / 1e6, 1),
        "samples": [asdict(each) for each in samples],
    }
    bars = [
        (not tally.faults, "a request ended in a way it must not"),
        (report["server_alive"], "the server died"),
        (up >= MIN_UP, f"up for {up:.2%} of the time"),
        (now / was - 1 < MAX_GROWTH, f"the server's memory grew by {now / was - 1:.1%}"),
        (last.server_fds - first.server_fds <= MAX_NEW_FDS, "descriptors were not given back"),
        (last.zombies <= MAX_ZOMBIES, "children were not buried"),
        ("this is a defect" not in served.said.read_text(), "the server printed a traceback"),
    ]
    return report, [text for is_held, text in bars if not is_held]


def main() -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--kill-every", type=float, default=30, metavar="SECONDS")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report with every sample")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, Served(Path(home), "--parallel", "4", "--queue", "4") as served:
        served.wait_ready()
        report, missed = soak(served, options.minutes, options.clients, options.kill_every)
    if options.json:
        options.json.write_text(json.dumps(report))
    for name, value in report.items():
        if name != "samples":
            print(f"{name:30} {json.dumps(value) if isinstance(value, (dict, list)) else value}")
    for text in missed:
        print(f"MISSED: {text}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
