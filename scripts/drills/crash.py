#!/usr/bin/env python3
"""Kills the engine in every stage with every signal, many times, and counts what the user noticed.

    scripts/drills/crash.py [--times 20] [--ctrl-c 20] [--stages load prefill decode idle]

Each run asks a greedy question on the starter model, kills the engine (or interrupts the client) in a stage, and
then checks: the exit code, the cause that was named, that the text equals that of an undisturbed run, and that the next
question is answered. Works in a home of its own; prints a Markdown table, and to stderr all that a run with a fault
said.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from edgechat.engine.client import client
from edgechat.paths import Paths

SIGNALS = (signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL)
STAGES = ("load", "prefill", "decode", "idle")
CTX = ("--ctx", "2048")
"""Asked for, it stays: where others take the machine's memory meanwhile, texts must not differ for a smaller plan."""
HI = ("ask", "-n", "1", "hi", *CTX)
SHORT = ("ask", "Tell me about the sea.", "--temp", "0", "-n", "100", *CTX)
LONG = ("ask", "word " * 900, "--temp", "0", "-n", "12", *CTX)


class MissedError(Exception):
    """The engine could not be hit in the stage that was meant."""


def edgechat(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "edgechat", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start the command."""
    return subprocess.Popen(
        [sys.executable, "-m", "edgechat", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for(paths: Paths, stage: str, child: subprocess.Popen[str] | None = None) -> int:
    """Process id of the engine once it is in a stage.

    Raises:
        MissedError: ``child``, which was to bring it there, ended first; or it takes too long.
    """
    until = time.monotonic() + 60
    while time.monotonic() < until and (child is None or child.poll() is None):
        for engine in client.status(paths):
            if engine["stage"] == stage:
                return int(engine["pid"])
        time.sleep(0.001)
    if child is not None:
        child.kill()
        tell(f"never seen in {stage}", *child.communicate())
    raise MissedError(f"never seen in {stage}")


def tell(fault: str, out: str, err: str) -> None:
    """Print all that a run with a fault said, beside the table."""
    print(f"--- {fault}\nstdout: {out!r}\nstderr:\n{err}\n---", file=sys.stderr, flush=True)


def kill_once(paths: Paths, stage: str, number: signal.Signals, expected: dict[str, str]) -> str:
    """One run; ``""`` when the user noticed nothing but a note, else what went wrong."""
    if stage in {"load", "prefill"}:
        edgechat("stop")  # a warm engine has read the long prompt already
    else:
        edgechat(*HI)
    if stage == "idle":
        os.kill(wait_for(paths, "idle"), number)
        done = edgechat(*SHORT)
        code, out, err = done.returncode, done.stdout, done.stderr
    else:
        child = start(*(LONG if stage == "prefill" else SHORT))
        try:
            os.kill(wait_for(paths, stage, child), number)
        except MissedError as error:
            return str(error)
        out, err = child.communicate(timeout=120)
        code = child.returncode
    fault = ""
    if code != 0:
        fault = f"exit {code}"
    elif out != expected["prefill" if stage == "prefill" else "short"]:
        fault = "text differs"
    elif stage != "idle" and f"killed by {number.name}" not in err:
        fault = "cause not named"
    if fault:
        tell(f"{fault}: {number.name} in {stage}", out, err)
        return fault
    return "" if edgechat(*HI).returncode == 0 else "next ask failed"


def interrupt_once(paths: Paths, stage: str) -> tuple[str, float]:
    """One Ctrl-C; what went wrong, and the seconds until the client was gone."""
    if stage in {"load", "prefill"}:
        edgechat("stop")
    child = start(*(LONG if stage == "prefill" else ("ask", "Tell me about the sea.", "-n", "1500", *CTX)))
    try:
        wait_for(paths, stage, child)
    except MissedError as error:
        return str(error), 0.0
    began = time.monotonic()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    took = time.monotonic() - began
    if child.returncode != 130:
        tell(f"exit {child.returncode}: Ctrl-C in {stage}", out, err)
        return f"exit {child.returncode}", took
    return ("" if edgechat(*HI).returncode == 0 else "next ask failed"), took


def main() -> None:
    """Run the drill."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--times", type=int, default=20, help="kills per stage and signal")
    parser.add_argument("--ctrl-c", type=int, default=20, help="interrupts per stage")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    given = parser.parse_args()
    # A shell starts what runs in the background deaf to Ctrl-C, and that is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as home:
        os.environ["EDGECHAT_HOME"] = home
        paths = Paths.from_env()
        edgechat(*HI)
        expected = {"short": edgechat(*SHORT).stdout, "prefill": edgechat(*LONG).stdout}
        print("| stage | signal | runs | answer went on, same text, next ask right | otherwise |")
        print("|---|---|---|---|---|")
        for stage in given.stages if given.times else ():
            for number in SIGNALS:
                faults = Counter(kill_once(paths, stage, number, expected) for _ in range(given.times))
                good = faults.pop("", 0)
                print(f"| {stage} | {number.name} | {given.times} | {good} | {dict(faults) or '-'} |", flush=True)
        print("\n| Ctrl-C in | runs | right | slowest return, s | otherwise |\n|---|---|---|---|---|")
        for stage in given.stages if given.ctrl_c else ():
            if stage == "idle":
                continue  # nobody waits for an answer then
            results = [interrupt_once(paths, stage) for _ in range(given.ctrl_c)]
            faults = Counter(fault for fault, _ in results)
            good = faults.pop("", 0)
            slowest = max(took for _, took in results)
            print(f"| {stage} | {given.ctrl_c} | {good} | {slowest:.2f} | {dict(faults) or '-'} |", flush=True)
        edgechat("stop")


if __name__ == "__main__":
    if not Path("edgechat").is_dir():
        sys.exit("Run it from the project's root: scripts/drills/crash.py")
    main()
