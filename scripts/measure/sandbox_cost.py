#!/usr/bin/env python3
"""What the engine's sandbox costs: the same questions to a confined engine and to one that is not, alternately.

    scripts/measure/sandbox_cost.py [--model FILE] [--pairs 24] [--starts 5] [--threads N] [--json]

The package is copied twice, and in one copy the engine's two steps of confinement do nothing. Both engines hold the
same model, the starter by default, and wait for questions; each pair asks both, in alternating order. Three figures,
each a ratio of seconds with the sandbox to seconds without, the median over the pairs: a warm `ask` from start to end,
the prefill of a new prompt by the engine's own clock, and a start of the engine up to its first token; and the same for
the processor time of the engine, which waiting for other programs does not lengthen. With one thread, which never spins
while it waits for another one, that is the figure to trust on a busy machine. Prints a Markdown table.
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
Work = Callable[["Installation", int], tuple[float, float]]
"""Seconds of one thing that one of the two does, and the engine's processor seconds; with the pair's number."""
SENTENCE = "The lamp on the bench was red, and the belt had stopped at noon. "


class Installation:
    """A copy of the package with a home of its own."""

    def __init__(self, folder: Path, *, is_confined: bool, threads: int, model: Path | None) -> None:
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
        if threads:
            self._env["EDGECHAT_THREADS"] = str(threads)
        self._pid = 0
        self._command = str(Path(sys.executable).with_name("edgechat"))
        self._model = ["-m", str(model.resolve())] if model else []

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``edgechat ARGUMENTS``."""
        return subprocess.run(
            [self._command, *arguments], env=self._env, cwd="/", capture_output=True, text=True, check=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def ask(self, prompt: str, tokens: int) -> tuple[float, dict[str, Any]]:
        """Ask: seconds from start to end, and the answer's statistics."""
        began = time.perf_counter()
        done = self.run("ask", *self._model, "-n", str(tokens), "--temp", "0", "--stats=json", prompt)
        took = time.perf_counter() - began
        return took, json.loads([line for line in done.stderr.splitlines() if line.startswith("{")][-1])

    def is_confined(self) -> bool:
        """Whether the running engine, whose processor time is measured from now on, says so."""
        (engine,) = json.loads(self.run("ps", "--json").stdout)
        self._pid = int(engine["pid"])
        return bool(engine["sandbox"]["landlock"] or engine["sandbox"]["seccomp"])

    def processor_s(self) -> float:
        """Processor time of all threads of the engine until now."""
        tasks = Path(f"/proc/{self._pid}/task").iterdir()
        return sum(int((each / "schedstat").read_text().split()[0]) for each in tasks) / 1e9


def question(number: int) -> str:
    """A prompt of about 200 tokens that no cache has seen."""
    return f"{number} {time.monotonic_ns()}. " + SENTENCE * 12


def alternately(pairs: int, confined: Installation, other: Installation, work: Work) -> list[tuple[float, ...]]:
    """Seconds and processor seconds, confined and then not, of each pair; who begins changes from pair to pair."""
    found: list[tuple[float, ...]] = []
    for number in range(pairs):
        order = (confined, other) if number % 2 else (other, confined)
        seconds = {id(each): work(each, number) for each in order}
        found.append((*seconds[id(confined)], *seconds[id(other)]))
        print(number, *(f"{each:.3f}" for each in found[-1]), file=sys.stderr, flush=True)
    return found


def warm_ask(each: Installation, number: int) -> tuple[float, float]:
    """A short question."""
    before = each.processor_s()
    took, _ = each.ask(f"Say the number {number}.", 8)
    return took, each.processor_s() - before


def prefill(each: Installation, number: int) -> tuple[float, float]:
    """1,000 tokens of a new prompt, by the engine's clock."""
    before = each.processor_s()
    _, stats = each.ask(question(number), 1)
    n_read = stats["prompt_tokens"] - stats["cached_tokens"]
    return 1000 / float(stats["prefill_tps"]), (each.processor_s() - before) * 1000 / n_read


def start(each: Installation, _: int) -> tuple[float, float]:
    """From no engine to the first token."""
    each.run("stop")
    took = each.ask("Hello.", 1)[0]
    each.is_confined()
    return took, each.processor_s()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--starts", type=int, default=5, help="pairs of cold starts")
    parser.add_argument("--threads", type=int, default=0, help="of the engines; as planned by default")
    parser.add_argument("--model", type=Path, metavar="FILE", help="a GGUF file; the starter by default")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the engines are stopped on the way out
    with tempfile.TemporaryDirectory(prefix="edgechat-cost-") as made:
        confined = Installation(Path(made) / "a", is_confined=True, threads=arguments.threads, model=arguments.model)
        other = Installation(Path(made) / "b", is_confined=False, threads=arguments.threads, model=arguments.model)
        try:
            for each in (confined, other):
                for number in range(2):
                    each.ask(f"Say the number {-number}.", 8)
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
        f"{name}{what}": {
            "pairs": len(pairs),
            "confined_s": median(pair[at] for pair in pairs),
            "unconfined_s": median(pair[at + 2] for pair in pairs),
            "ratio": median(pair[at] / pair[at + 2] for pair in pairs),
        }
        for name, pairs in rows.items()
        if pairs
        for at, what in enumerate(("", ", processor time"))
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
