#!/usr/bin/env python3
"""How fast the terminal UI is: from start to usable, from key to screen while an answer comes, and what it costs.

    scripts/measure/ui_latency.py [start] [scripted] [engine] [cost] [--rounds 11] [--keys 200]

start     the app against a bare Textual app that says hello, alternating: wall clock and CPU seconds, medians
scripted  keys in a real pseudo-terminal while a scripted (FAKE) engine says 60 tokens a second
engine    the same while the real starter model answers on all cores
cost      the engine's decode speed with the UI attached, against `edgechat ask` with the same question, alternating

A key counts as shown when the bytes arrive after which a terminal emulator shows it at its place. Nothing is parsed
while it is timed. Works in homes of its own; each part ends with one line that begins with its name.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import string
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from edgechat.chat.history import History
from edgechat.engine.client import client
from edgechat.paths import Paths
from tests.tui.terminal import CTRL_U, ENTER, ESC, Terminal, frames

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
APP = (PYTHON, "-m", "edgechat")
HELLO = """
from textual.app import App
from textual.widgets import Static

class Hello(App):
    def compose(self):
        yield Static("Hello")
Hello().run()
"""
WELCOME = "Everything you write"
ENDLESS = "What is the capital of France?"
"""Asked greedily, the starter model never ends its answer."""
SIZE = (80, 24)
PATIENCE_S = 120.0


class Home:
    """A home of its own with everything that a child needs in its environment."""

    def __init__(self, folder: str, settings: str = "") -> None:
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("EDGECHAT_", "XDG_"))}
        self.env |= {"EDGECHAT_HOME": folder, "PYTHONPATH": str(ROOT)}
        self.paths = Paths.from_env(self.env)
        self.paths.config.mkdir(parents=True, exist_ok=True)
        (self.paths.config / "config.toml").write_text(settings, encoding="utf-8")


def speaker(home: Home, count: int, per_second: float) -> subprocess.Popen[str]:
    """A scripted engine in a process of its own, listening."""
    command = [PYTHON, "-m", "tests.tui.speaker", str(home.paths.state), str(count), str(per_second)]
    child = subprocess.Popen(command, env=home.env, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def percentile(values: list[float], share: float) -> float:
    """The smallest value that ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * share // 1).__int__() - 1)]


# From start to usable


def started(command: tuple[str, ...], env: dict[str, str], usable: str) -> tuple[float, float]:
    """Wall-clock and CPU seconds until a screen shows ``usable``."""
    with Terminal(command, env, SIZE) as terminal:
        end = time.monotonic() + PATIENCE_S
        mark = usable.encode()
        while mark not in terminal.raw and time.monotonic() < end:
            terminal.read_some(0.5)
        ticks = Path(f"/proc/{terminal.pid}/stat").read_text().rpartition(")")[2].split()
        cpu = (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")
        return terminal.chunks[-1][0] - terminal.started_at, cpu


def measure_start(rounds: int) -> None:
    """Alternating, after one start of each that fills the caches."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(folder)
        hello = Path(folder) / "hello.py"
        hello.write_text(HELLO)
        kinds = {"hello": ((PYTHON, str(hello)), "Hello"), "edgechat": (APP, WELCOME)}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        for number in range(rounds + 1):
            for name, (command, usable) in kinds.items():
                taken = started(command, home.env, usable)
                if number:
                    found[name].append(taken)
        wall = {name: median(each[0] for each in found[name]) for name in kinds}
        cpu = {name: median(each[1] for each in found[name]) for name in kinds}
        ratio = median(ours[0] / theirs[0] for ours, theirs in zip(found["edgechat"], found["hello"], strict=True))
        print(
            f"start: {wall['edgechat']:.3f} s against {wall['hello']:.3f} s, paired ratio {ratio:.2f} (bar 1.6);"
            f" CPU {cpu['edgechat']:.2f} s against {cpu['hello']:.2f} s, ratio {cpu['edgechat'] / cpu['hello']:.2f};"
            f" {rounds} rounds"
        )


# From key to screen


def delays(terminal: Terminal, keys: int, dice: random.Random) -> list[float]:
    """Type ``keys`` letters at human pace while an answer comes; seconds until each was on screen."""
    typed = ""
    sent: list[tuple[float, str]] = []
    for _ in range(keys):
        if len(typed) == SIZE[0] // 2:  # emptied, unmeasured
            terminal.pump(1.0)
            typed = ""
            terminal.send(CTRL_U)
            terminal.pump(0.5)
        letter = dice.choice(string.ascii_lowercase)
        typed += letter
        sent.append((terminal.send(letter.encode()), typed))
        terminal.pump(dice.uniform(0.08, 0.3))
    terminal.pump(1.0)
    return shown_after(terminal, sent)


def shown_after(terminal: Terminal, sent: list[tuple[float, str]]) -> list[float]:
    """For each key, the seconds until the field began with all that had been typed."""
    waiting = list(sent)
    found = []
    for at, screen in frames(terminal.chunks, SIZE):
        if waiting and at >= waiting[0][0]:
            shown = field(screen.display)
            while waiting and at >= waiting[0][0] and shown.startswith(waiting[0][1]):
                found.append(at - waiting.pop(0)[0])
    if waiting:
        raise TimeoutError(f"{len(waiting)} keys were never shown, the first {waiting[0][1]!r}")
    return found


def field(lines: list[str]) -> str:
    """What stands in the input field: the last line above the state and the keys."""
    text = lines[-3].strip(" ▌█▎▐")
    return "" if text.startswith("Ask something") else text


def ask(terminal: Terminal, question: str) -> None:
    """Ask, and wait until the answer runs."""
    terminal.send(question.encode())
    terminal.pump(0.5)
    terminal.send(ENTER)
    terminal.wait("tok/s · Esc", PATIENCE_S)


def report(name: str, found: list[float], beside: str) -> None:
    """One line."""
    in_ms = [1000 * each for each in found]
    print(
        f"{name}: {len(in_ms)} keys, p50 {percentile(in_ms, 0.5):.0f} ms, p95 {percentile(in_ms, 0.95):.0f} ms"
        f" (bar 50), worst {max(in_ms):.0f} ms; {beside}"
    )


def measure_scripted(keys: int) -> None:
    """While a scripted engine says 60 tokens a second."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(folder)
        child = speaker(home, 100_000, 60)
        try:
            with Terminal(APP, home.env, SIZE) as terminal:
                terminal.wait(WELCOME, PATIENCE_S)
                ask(terminal, "Why is the sky blue?")
                found = delays(terminal, keys, random.Random(7))
                pace = next(line for line in terminal.lines if "tok/s" in line).strip()
                ticks = Path(f"/proc/{terminal.pid}/stat").read_text().rpartition(")")[2].split()
                cpu = (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")
                share = cpu / (time.monotonic() - terminal.started_at)
        finally:
            child.kill()
            child.wait()
        report("scripted", found, f"UI at {share:.0%} of a core; shown: {pace}")


def measure_engine(keys: int) -> None:
    """While the real starter answers on all cores."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(folder, "temperature = 0\n")
        found: list[float] = []
        try:
            while len(found) < keys:
                with Terminal(APP, home.env, SIZE) as terminal:
                    terminal.wait(WELCOME, PATIENCE_S)
                    ask(terminal, ENDLESS)
                    found += delays(terminal, min(40, keys - len(found)), random.Random(len(found)))
                    pace = next((line for line in terminal.lines if "tok/s" in line), "the answer had ended").strip()
                    terminal.send(ESC)
                    terminal.pump(0.5)
        finally:
            client.stop(home.paths)
        report("engine", found, f"shown: {pace}")


# What it costs


def measure_cost(rounds: int) -> None:
    """Decode speed as the engine itself tells it, with the UI and with `edgechat ask`, alternating."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(folder, "temperature = 0\nmax_tokens = 300\nkeep_alive = '10m'\n")
        ratios, speeds = [], []
        try:
            with Terminal(APP, home.env, SIZE) as terminal:
                terminal.wait(WELCOME, PATIENCE_S)
                for number in range(rounds + 1):
                    theirs = asked(home)
                    ours = answered(home, terminal)
                    terminal.send(b"\x0e")
                    terminal.pump(0.5)
                    if number:
                        ratios.append(ours / theirs)
                        speeds.append((ours, theirs))
        finally:
            client.stop(home.paths)
        ours, theirs = (median(each[at] for each in speeds) for at in (0, 1))
        print(
            f"cost: decode {ours:.1f} tok/s with the UI against {theirs:.1f} tok/s with ask, paired ratio"
            f" {median(ratios):.3f} (bar 0.90), from {min(ratios):.3f} to {max(ratios):.3f}; {rounds} rounds"
        )


def asked(home: Home) -> float:
    """Tokens per second of one answer on standard output."""
    done = subprocess.run(
        [*APP, "ask", ENDLESS, "--stats=json"], env=home.env, capture_output=True, text=True, check=True, timeout=300
    )
    return float(json.loads(done.stderr.splitlines()[-1])["decode_tps"])


def answered(home: Home, terminal: Terminal) -> float:
    """Tokens per second of one answer in the UI."""
    ask(terminal, ENDLESS)
    terminal.wait(lambda shown: "tok/s · Esc" not in shown.text.splitlines()[-2], PATIENCE_S)
    with History.open(home.paths) as history:
        last = history.last()
        assert last is not None
        return history.messages(last.id, 1)[0].timing["decode_tps"]


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("start", "scripted", "engine", "cost")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(parts)}; all when none is named")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--keys", type=int, default=200)
    chosen = parser.parse_args()
    print(f"cpus {os.cpu_count()}, load {os.getloadavg()[0]:.1f}", flush=True)
    for part in chosen.parts or parts:
        if part == "start":
            measure_start(chosen.rounds)
        elif part == "scripted":
            measure_scripted(chosen.keys)
        elif part == "engine":
            measure_engine(chosen.keys)
        elif part == "cost":
            measure_cost(chosen.rounds)
        else:
            parser.error(f"there is no part {part!r}: {', '.join(parts)}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
