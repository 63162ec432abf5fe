#!/usr/bin/env python3
"""Interrupts `edgechat models pull` at random moments, then times it beside curl and sha256sum.

    scripts/drills/pull.py FILE.gguf [--times 50] [--rounds 5] [--seed N]

FILE is served by a hub of our own over loopback (tests/hub, the real protocol), a little at a time while it is being
interrupted: the connection cut, SIGKILL and Ctrl-C by turns. Afterwards the installed bytes must be right, nothing may
be left over, and what was sent more than once is counted. For the pace the hub runs in a process of its own.
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
from random import Random
from statistics import median

from edgechat.models.store.installed import find
from edgechat.paths import Paths
from tests.hub.server import Faults, HubServer
from tests.models.store_kit import FILE, REPO, leftovers

ROOT = Path(__file__).resolve().parents[2]

NAME = "tiny-instruct"
BLOCK = 256 * 1024
"""Bytes that are on their way when the connection ends: they are sent, and sent again."""
KINDS = ("cut", "SIGKILL", "Ctrl-C")
"""A connection that is cut is resumed by the pull itself, which is then killed."""


def pull(home: Path, endpoint: str) -> subprocess.Popen[str]:
    """Start it."""
    return subprocess.Popen(
        [sys.executable, "-m", "edgechat", "models", "pull", REPO],
        env={**os.environ, "EDGECHAT_HOME": str(home), "HF_ENDPOINT": endpoint},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


def interrupt(hub: HubServer, home: Path, kind: str, more: int) -> bool:
    """One pull, ended after ``more`` further bytes; whether it was still under way."""
    began = hub.bytes_sent
    if kind == "cut":  # it goes on by itself, and is killed a little later
        hub.faults.drops, hub.faults.drop_after = 1, more // 2
    child = pull(home, hub.endpoint)
    while hub.bytes_sent - began < more and child.poll() is None:
        time.sleep(0.002)
    child.send_signal(signal.SIGINT if kind == "Ctrl-C" else signal.SIGKILL)
    said = child.communicate(timeout=60)[1]
    if "Traceback" in said:
        sys.exit(f"It fell over:\n{said}")
    return child.returncode != 0


def interruptions(file: Path, times: int, rng: Random) -> None:
    """Interrupt, finish, and look at what there is."""
    with tempfile.TemporaryDirectory() as folder, HubServer() as hub:
        home, entry = Path(folder), hub.add(REPO, FILE, file)
        hub.faults = Faults(trickle=0.004)
        done: Counter[str] = Counter()
        while sum(done.values()) < times:
            kind = KINDS[sum(done.values()) % len(KINDS)]
            left = (entry.size - hub.bytes_sent) // (times - sum(done.values()) + 1)
            if not interrupt(hub, home, kind, rng.randrange(left // 2, left)):
                sys.exit(f"It was done after {sum(done.values())} interruptions: take a larger file.")
            done.update({"cut", "SIGKILL"} if kind == "cut" else {kind})
        times = sum(done.values())
        hub.faults = Faults()
        last = pull(home, hub.endpoint)
        said = last.communicate(timeout=600)[1]
        if last.returncode:
            sys.exit(said)
        paths = Paths.from_env({"EDGECHAT_HOME": str(home)})
        is_right = digest(find(paths, NAME).path) == entry.sha256
        twice = hub.bytes_sent - entry.size
        bar = entry.size // 100 + times * BLOCK
        print(f"{entry.size:,} bytes, {times} interruptions ({', '.join(f'{done[kind]} {kind}' for kind in KINDS)}): ")
        print(f"installed bytes right: {is_right}; left over: {leftovers(paths) or 'nothing'}")
        print(f"sent more than once: {twice:,} bytes (allowed: {bar:,}, 1 % and a block of {BLOCK:,} for each)")
        if not is_right or leftovers(paths) or twice > bar:
            sys.exit(1)


def digest(path: Path) -> str:
    """SHA-256 of a file, without its bytes in this process: a child's peak of memory begins with its parent's."""
    return subprocess.run(["sha256sum", path], check=True, capture_output=True, text=True).stdout.split()[0]


def timed(*command: str) -> float:
    """Seconds that a command takes."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def pace(file: Path, rounds: int) -> None:
    """Alternately: a pull, and curl of the same file with sha256sum after it."""
    hub = subprocess.Popen([sys.executable, __file__, "--serve", str(file)], stdout=subprocess.PIPE, text=True)
    try:
        assert hub.stdout is not None
        endpoint = hub.stdout.readline().strip()
        ratios, peaks = [], []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                began = time.perf_counter()
                child = pull(Path(folder), endpoint)
                _, status, usage = os.wait4(child.pid, 0)
                ours = time.perf_counter() - began
                if status:
                    sys.exit("The pull failed.")
                copy = str(Path(folder) / "copy")
                theirs = timed("curl", "-sfL", "-o", copy, f"{endpoint}/{REPO}/resolve/main/{FILE}")
                theirs += timed("sha256sum", copy)
                ratios.append(theirs / ours)
                peaks.append(usage.ru_maxrss * 1024)
                megabytes = file.stat().st_size / 1e6
                print(
                    f"pull {megabytes / ours:.0f} MB/s, curl and sha256sum {megabytes / theirs:.0f}: {ratios[-1]:.2f}"
                )
        print(f"median {median(ratios):.2f} (bar 0.8); most memory of a pull {max(peaks) / 1e6:.1f} MB (bar 60)")
    finally:
        hub.kill()


def serve(file: Path) -> None:
    """The hub of :func:`pace`."""
    with HubServer() as hub:
        hub.add(REPO, FILE, file)
        print(hub.endpoint, flush=True)
        time.sleep(600)


def main() -> None:
    """Run the drill."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("file", type=Path)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.file)
        return
    interruptions(given.file, given.times, Random(given.seed))
    pace(given.file, given.rounds)


if __name__ == "__main__":
    main()
