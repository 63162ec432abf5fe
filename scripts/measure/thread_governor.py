#!/usr/bin/env python3
"""Measure the thread governor's cost on a quiet machine: the same engine with and without it, alternately.

    scripts/measure/thread_governor.py FILE.gguf [--rounds 9] [--tokens 256]

Two engines hold the model; one never looks at the machine and always takes the planned threads. Prints each pair, the
median of their ratios, and how often the governor gave a thread back although nobody else computed: a wrong guess
would cost far more than looking does.
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
from statistics import median
from typing import Any

from edgechat.engine.child.environment import native_environment

SETTLE_S = 1.0
_UNGOVERNED = """
from edgechat.engine.process import main
from edgechat.engine.throttle import thread_governor

def planned(self, now, *, resting=False):
    return self.n_planned

thread_governor.Governor.update = planned
thread_governor.Governor.on_answer_start = lambda self: None
main.main()
"""


def _log(home: Path) -> Path:
    return home / "state" / "logs" / "engine.log"


def start_ungoverned(home: Path) -> None:
    """An engine in ``home`` that clients find there like any other."""
    (home / "state").mkdir(parents=True, mode=0o700)
    _log(home).parent.mkdir()
    ready, ready_for_engine = os.pipe()
    with _log(home).open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-c", _UNGOVERNED, str(ready_for_engine)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(ready_for_engine,), start_new_session=True,
            env={**native_environment(), "EDGECHAT_HOME": str(home)},
        )  # fmt: skip
    os.close(ready_for_engine)
    if os.read(ready, 1) != b"r":
        raise SystemExit(f"The engine without a governor did not start: {_log(home).read_text()}")
    os.close(ready)


def ask(home: Path, model: Path, tokens: int) -> dict[str, Any]:
    """Statistics of one greedy answer."""
    question = f"{time.monotonic_ns()} Write a very long story about the sea and the land."
    done = subprocess.run(
        [sys.executable, "-m", "edgechat", "ask", "-m", str(model), "--ctx", "2048", "-n", str(tokens), "--temp", "0",
         "--stats=json", question],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
        env={**os.environ, "EDGECHAT_HOME": str(home)},
    )  # fmt: skip
    stats: dict[str, Any] = json.loads([line for line in done.stderr.splitlines() if line.startswith("{")][-1])
    return stats


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=256)
    chosen = parser.parse_args()
    model = chosen.model.resolve()
    with tempfile.TemporaryDirectory(prefix="governor-") as scratch:
        governed, ungoverned = Path(scratch) / "with", Path(scratch) / "without"
        start_ungoverned(ungoverned)
        try:
            for home in (governed, ungoverned):
                ask(home, model, 8)
            ratios = []
            for number in range(chosen.rounds):
                tps = {}
                for home in (governed, ungoverned) if number % 2 else (ungoverned, governed):
                    time.sleep(SETTLE_S)
                    tps[home] = ask(home, model, chosen.tokens)["decode_tps"]
                ratios.append(tps[governed] / tps[ungoverned])
                print(f"with {tps[governed]:.1f}  without {tps[ungoverned]:.1f}  ratio {ratios[-1]:.3f}", flush=True)
            log = _log(governed).read_text(errors="replace")
            gave_back = sum(line.startswith("threads ") for line in log.splitlines())
            print(f"median ratio {median(ratios):.3f}; thread counts changed {gave_back} times")
        finally:
            for home in (governed, ungoverned):
                subprocess.run(
                    [sys.executable, "-m", "edgechat", "stop"],
                    env={**os.environ, "EDGECHAT_HOME": str(home)}, check=False, capture_output=True,
                )  # fmt: skip


if __name__ == "__main__":
    main()
