#!/usr/bin/env python3
"""Asks for answers that never end, with a deadline, and measures when the call returns and whether the slot is free.

    scripts/drills/deadline.py [--timeout 3] [--times 5]

From Python: `Assistant.ask` and `Assistant.run`. From the command line: `edgechat run … --timeout`, the whole
process. After each the next question must get its first token at once: the engine
knows no other client. Greedy on the starter model, in a home of its own; prints a Markdown table; exit 1 when late.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgechat import Assistant
from edgechat.engine.client import client
from edgechat.errors import DeadlineError
from edgechat.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Callable

SLACK_S = 0.2
ENDLESS = "What is the capital of France?"
LONG = {"text": "Open the cover and look at the belt. " * 80, "source": "en", "target": "fr"}


def edgechat(*arguments: str, codes: tuple[int, ...] = (0,)) -> str:
    """Run the command to its end; its standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "edgechat", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode not in codes:
        sys.exit(f"edgechat {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--timeout", type=float, default=3.0, help="seconds allowed")
    parser.add_argument("--times", type=int, default=5)
    given = parser.parse_args()
    late: list[str] = []
    with tempfile.TemporaryDirectory() as home:
        os.environ["EDGECHAT_HOME"] = home
        record = Path(home) / "long.json"
        record.write_text(json.dumps(LONG), encoding="utf-8")
        paths = Paths.from_env()
        try:
            with Assistant.open() as assistant:

                def ask() -> str:
                    try:
                        return assistant.ask(
                            ENDLESS, timeout=given.timeout, max_tokens=3500, temperature=0
                        ).finish_reason
                    except DeadlineError:
                        return "DeadlineError"

                def run() -> str:
                    return assistant.run("translate", LONG, timeout=given.timeout).status

                def command() -> str:
                    arguments = ("run", "translate", str(record), "--no-cache", "--timeout", str(given.timeout))
                    return str(json.loads(edgechat(*arguments, codes=(0, 5)))["status"])

                assistant.ask("Hi", max_tokens=1)
                empty = min(
                    _seconds(lambda: edgechat("run", "driving", '{"speed_kmh": -1}', codes=(5,))) for _ in "123"
                )
                print(f"An `edgechat run` that asks nothing takes {empty:.2f} s.\n")
                print("| call | ended as | slowest, s | next first token, slowest, s | clients left |")
                print("|---|---|---|---|---|")
                calls: dict[str, Callable[[], str]] = {
                    "Assistant.ask": ask, "Assistant.run": run, "edgechat run, whole process": command,
                }  # fmt: skip
                for name, call in calls.items():
                    rows = [_measured(call, assistant) for _ in range(given.times)]
                    slowest, following = max(row[1] for row in rows), max(row[2] for row in rows)
                    ends = sorted({row[0] for row in rows})
                    active = client.status(paths)[0]["clients"]
                    print(f"| {name} | {', '.join(ends)} | {slowest:.2f} | {following:.2f} | {active} |", flush=True)
                    if slowest > given.timeout + SLACK_S:
                        late.append(name)
        finally:
            edgechat("stop")
    if late:
        sys.exit(f"Later than {given.timeout + SLACK_S:.1f} s: {', '.join(late)}")


def _measured(call: Callable[[], str], assistant: Assistant) -> tuple[str, float, float]:
    began = time.perf_counter()
    end = call()
    took = time.perf_counter() - began
    return end, took, _seconds(lambda: assistant.ask("Hi", max_tokens=1))


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
