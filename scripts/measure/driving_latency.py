#!/usr/bin/env python3
"""How long a frame takes until its alert is out: in this process, and through `run driving --follow` under load.

    scripts/measure/driving_latency.py [--frames 2000] [--rate 20] [--busy 2]

Measures validation, rules and JSON of each frame with 30 frames of history; then sends frames at a rate into a live
stream while the model explains and further endless answers keep the engine busy, and takes the time from the last byte
written to the alert line read. Then sends what sensors really send (NaN, infinity, negative, wrong type, out of order,
silence) and prints what each gives. Works in a home of its own; prints Markdown.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections import deque
from typing import Any

from edgechat.tasks.contract import Context
from edgechat.tasks.registry import load
from edgechat.tasks.runner import TaskRun

SCENE = {"lane_center_offset_m": 0.2, "weather": "rain", "time_of_day": "night", "language": "en"}
ENDLESS = ("ask", "What is the capital of France?", "--temp", "0", "-n", "3500")
ODD: tuple[tuple[str, str], ...] = (
    ("speed NaN", '{"speed_kmh": NaN}'),
    ("gap infinite", '{"distance_to_car_m": Infinity}'),
    ("gap −5 m", '{"distance_to_car_m": -5}'),
    ("speed 900 km/h", '{"speed_kmh": 900}'),
    ("speed \"fast\"", '{"speed_kmh": "fast"}'),
    ("speed true", '{"speed_kmh": true}'),
    ("offset 20 (cm?)", '{"lane_center_offset_m": 20}'),
    ("weather hail", '{"weather": "hail"}'),
    ("an unknown field", '{"speed_mph": 55}'),
    ("no speed", '{"speed_kmh": null}'),
    ("not JSON", "speed=80"),
    ("t_s of the past", '{"t_s": -1.0}'),
    ("gap null: none seen", '{"distance_to_car_m": null}'),
    ("silence of 0.7 s", ""),
)  # fmt: skip


def frame(number: int, t_s: float | None = None) -> dict[str, Any]:
    """One moment of a car that closes in and falls back."""
    gap = 20 + abs(number % 120 - 60) / 4
    moment: dict[str, Any] = {"id": number, "speed_kmh": 80 + number % 7, "distance_to_car_m": gap, **SCENE}
    return moment if t_s is None else {**moment, "t_s": t_s}


def percentiles(samples: list[float]) -> str:
    """Median, p99 and the slowest, in milliseconds, as cells of a table."""
    ordered = sorted(samples)
    cells = (ordered[len(ordered) // 2], ordered[int(0.99 * (len(ordered) - 1))], ordered[-1])
    return " | ".join(f"{1000 * value:.2f}" for value in cells)


def in_process(count: int) -> tuple[list[float], list[float]]:
    """Seconds a frame from its bytes to the bytes of its alert line, with the stream's whole history.

    By the clock, and of this thread's processor time, which others that use the cores do not lengthen.
    """
    task = load("driving")
    wall: list[float] = []
    cpu: list[float] = []
    lines = [json.dumps(frame(number, number * 0.05)).encode() for number in range(count)]
    gc.collect()
    for number, line in enumerate(lines):
        began, spent = time.perf_counter(), time.thread_time()
        run: TaskRun[Any, Any] = TaskRun(task, json.loads(line), record_id=number, context=Context(live=True))
        json.dumps(run.result().to_json(), ensure_ascii=False)
        wall.append(time.perf_counter() - began)
        cpu.append(time.thread_time() - spent)
    return wall[30:], cpu[30:]


class Live:
    """`edgechat run driving --follow` with its pipes."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "edgechat", "run", "driving", "--follow"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._held = b""
        self._lines: deque[dict[str, Any]] = deque()

    def send(self, line: bytes) -> float:
        """Write a line; when its last byte was in the pipe."""
        assert self._child.stdin is not None
        self._child.stdin.write(line + b"\n")
        self._child.stdin.flush()
        return time.perf_counter()

    def read(self, timeout_s: float) -> dict[str, Any] | None:
        """The next line, or None when none came in time."""
        assert self._child.stdout is not None
        until = time.perf_counter() + timeout_s
        while not self._lines:
            left = until - time.perf_counter()
            if left <= 0 or not select.select([self._child.stdout], [], [], left)[0]:
                return None
            data = os.read(self._child.stdout.fileno(), 1 << 16)
            if not data:
                return None
            *whole, self._held = (self._held + data).split(b"\n")
            self._lines.extend(json.loads(line) for line in whole)
        return self._lines.popleft()

    def close(self) -> None:
        """End the stream."""
        self._child.kill()
        self._child.communicate()


def through_follow(count: int, rate: float) -> tuple[list[float], int]:
    """Seconds from a frame's last byte to its alert line, at ``rate`` frames a second; and how many were explained."""
    live, samples, explained = Live(), [], 0
    live.send(json.dumps(frame(0)).encode())
    while (first := live.read(60)) is None or first["status"] == "stale":
        pass
    for number in range(1, count):
        due = time.perf_counter() + 1 / rate
        sent = live.send(json.dumps(frame(number)).encode())
        while (line := live.read(5)) is not None:
            # What the model says about an earlier frame may come first.
            if line["id"] == number and not line["final"]:
                samples.append(time.perf_counter() - sent)
                break
            explained += line["final"] and line["status"] == "ok"
        while (line := live.read(max(due - time.perf_counter(), 0))) is not None:
            explained += line["final"] and line["status"] == "ok"
    live.close()
    return samples, explained


def odd_frames() -> None:
    """Print what each kind of damage gives."""
    print("\n| a frame with | status | risk | what is said |\n|---|---|---|---|")
    live = Live()
    for number, (name, change) in enumerate(ODD):
        base = frame(number, None)
        is_timed = name.startswith("t_s")
        if is_timed:
            live.close()
            live = Live()
            live.send(json.dumps(frame(100, 5.0)).encode())
        if change:
            line = json.dumps({**base, **json.loads(change)}) if change[:1] == "{" else change
            live.send(line.encode())
        answer: dict[str, Any] | None = None
        while (answer := live.read(10)) is not None:
            is_silence = answer["status"] == "stale"
            if is_silence == (not change) and (is_silence or answer["id"] in {number, number + 1, 2}):
                break
        if answer is None:
            print(f"| {name} | NOTHING CAME | | |")
            continue
        if is_timed:  # a stream has one clock, and the frames after this one bring none
            live.close()
            live = Live()
        risk = "none" if answer["result"] is None else answer["result"]["risk"]
        basis = "" if answer["result"] is None else f"basis {answer['result']['basis']}"
        said = "; ".join(error["message"] for error in answer["errors"]) or basis
        print(f"| {name} | {answer['status']} | {risk} | {said} |", flush=True)
    live.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=20, help="frames a second of the live stream")
    parser.add_argument("--busy", type=int, default=2, help="endless answers beside the explanations")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["EDGECHAT_HOME"] = home
        print("| where | frames | median ms | p99 ms | slowest ms |\n|---|---|---|---|---|")
        for name, found in zip(("by the clock", "processor time"), in_process(given.frames), strict=True):
            print(f"| in process, {name} | {len(found)} | {percentiles(found)} |", flush=True)
        command = [sys.executable, "-m", "edgechat"]
        try:
            subprocess.run([*command, "ask", "-n", "1", "hi"], capture_output=True, check=True)
            quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            busy = [subprocess.Popen([*command, *ENDLESS], **quiet) for _ in range(given.busy)]  # type: ignore[call-overload]
            samples, explained = through_follow(given.frames // 4, given.rate)
            still = sum(child.poll() is None for child in busy)
            where = f"--follow, {still} of {given.busy} endless answers still running, {explained} frames explained"
            print(f"| {where} | {len(samples)} | {percentiles(samples)} |", flush=True)
            for child in busy:
                child.kill()
                child.wait()
            odd_frames()
        finally:
            subprocess.run([*command, "stop"], capture_output=True, check=False)


if __name__ == "__main__":
    main()
