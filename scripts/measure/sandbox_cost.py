#!/usr/bin/env python3
"""What the engine's sandbox costs: the same questions to a confined engine and to one that is not, alternately.

    scripts/measure/sandbox_cost.py [--pairs 24] [--starts 5] [--json]

The package is copied twice, and in one copy the engine's two steps of confinement do nothing. Both engines hold the
starter model and wait for questions; each pair asks both, in alternating order. Three figures, each a ratio of seconds
with the sandbox to seconds without, the median over the pairs: a warm `ask` from start to end, the prefill of a new
prompt by the engine's own clock, and a start of the engine up to its first token. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NOTHING = """
from edgechat.engine.child.sandbox import SandboxState


def confine_engine(paths: object) -> SandboxState:
    return SandboxState(note="left out to measure what it costs")


def confine_loaded(state: SandboxState, paths: object, choice: object) -> None:
    pass
"""
CONFINEMENT = "edgechat/engine/process/confinement.py"
Work = Callable[["Installation", int], float]
"""Seconds of one thing that one of the two does; with the pair's number."""
SENTENCE = "The lamp on the bench was red, and the belt had stopped at noon. "


class Installation:
    """A copy of the package with a home of its own."""

    def __init__(self, folder: Path, *, is_confined: bool) -> None:
        folder.mkdir()
        source, home = folder / "source", folder / "home"
        shutil.copytree(ROOT / "edgechat", source / "edgechat", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "models.toml", source / "edgechat/models.toml")
        if not is_confined:
            (source / CONFINEMENT).write_text(NOTHING)
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("EDGECHAT_")},
            "EDGECHAT_HOME": str(home),
            "EDGECHAT_KEEP_ALIVE": "5m",
            "PYTHONPATH": str(source),
        }
        self._command = str(Path(sys.executable).with_name("edgechat"))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``edgechat ARGUMENTS``."""
        return subprocess.run(
            [self._command, *arguments], env=self._env, cwd="/", capture_output=True, text=True, check=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def ask(self, prompt: str, tokens: int) -> tuple[float, dict[str, Any]]:
        """Ask: seconds from start to end, and the answer's statistics."""
        began = time.perf_counter()
        done = self.run("ask", "-n", str(tokens), "--temp", "0", "--stats=json", prompt)
        took = time.perf_counter() - began
        return took, json.loads([line for line in done.stderr.splitlines() if line.startswith("{")][-1])

    def is_confined(self) -> bool:
        """Whether the running engine says so."""
        (engine,) = json.loads(self.run("ps", "--json").stdout)
        return bool(engine["sandbox"]["landlock"] or engine["sandbox"]["seccomp"])


def question(number: int) -> str:
    """A prompt of about 200 tokens that no cache has seen."""
    return f"{number} {time.monotonic_ns()}. " + SENTENCE * 12


def alternately(pairs: int, confined: Installation, other: Installation, work: Work) -> list[tuple[float, float]]:
    """Seconds (confined, not confined) of each pair; who begins changes from pair to pair."""
    found = []
    for number in range(pairs):
        order = (confined, other) if number % 2 else (other, confined)
        seconds = {id(each): work(each, number) for each in order}
        found.append((seconds[id(confined)], seconds[id(other)]))
        print(f"{work.__name__} {number}: {found[-1][0]:.3f} s, {found[-1][1]:.3f} s", file=sys.stderr, flush=True)
    return found


def warm_ask(each: Installation, number: int) -> float:
    """Seconds of a short question."""
    return each.ask(f"Say the number {number}.", 8)[0]


def prefill(each: Installation, number: int) -> float:
    """Seconds for 1,000 tokens of a new prompt, by the engine's clock."""
    return 1000 / float(each.ask(question(number), 1)[1]["prefill_tps"])


def start(each: Installation, _: int) -> float:
    """Seconds from no engine to the first token."""
    each.run("stop")
    return each.ask("Hello.", 1)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--starts", type=int, default=5, help="pairs of cold starts")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the engines are stopped on the way out
    with tempfile.TemporaryDirectory(prefix="edgechat-cost-") as made:
        confined = Installation(Path(made) / "a", is_confined=True)
        other = Installation(Path(made) / "b", is_confined=False)
        try:
            for each in (confined, other):
                for number in range(2):
                    warm_ask(each, -number)
            if not confined.is_confined() or other.is_confined():
                raise SystemExit("One engine must be confined and the other not: this kernel has neither part of it.")
            rows = {
                "warm ask": alternately(arguments.pairs, confined, other, warm_ask),
                "prefill (1,000 tokens)": alternately(arguments.pairs, confined, other, prefill),
                "start to first token": alternately(arguments.starts, confined, other, start),
            }
        finally:
            for each in (confined, other):
                each.run("stop")
    figures = {
        name: {
            "pairs": len(pairs),
            "confined_s": median(a for a, _ in pairs),
            "unconfined_s": median(b for _, b in pairs),
            "ratio": median(a / b for a, b in pairs),
        }
        for name, pairs in rows.items()
        if pairs
    }
    if arguments.json:
        print(json.dumps(figures))
        return
    print("| | pairs | with the sandbox | without | median ratio |\n|---|---|---|---|---|")
    for name, row in figures.items():
        print(
            f"| {name} | {row['pairs']} | {row['confined_s']:.3f} s | {row['unconfined_s']:.3f} s |"
            f" {row['ratio']:.3f} |"
        )


if __name__ == "__main__":
    main()
