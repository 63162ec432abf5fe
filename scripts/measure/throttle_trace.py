"""Print the throttle policy's decisions over a recording.

    scripts/measure/throttle_trace.py tests/boards/ramps/pi5-heat.jsonl

A recording names a tree of tests/boards and the files that change in it. Every look reads the files as on a live board;
nothing is simulated but the clock. Lines appear where something is decided, and every ``--every`` seconds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.board.source import Source
from edgechat.board.vitals.vitals import read_throttle_inputs
from edgechat.engine.throttle import throttle_levels
from edgechat.engine.throttle.throttle_levels import Throttle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.board.vitals.vitals import Vitals

BOARDS = Path(__file__).parents[2] / "tests/boards"
_PARTS = (
    "sys/class/thermal",
    "sys/class/hwmon",
    "sys/devices/platform",
    "sys/devices/system/cpu",
    "sys/fs/cgroup",
    "proc",
    "commands",
)


@dataclass(frozen=True, slots=True)
class Look:
    """One look of the recording, and what came of it."""

    t_s: float
    vitals: Vitals
    throttle: Throttle
    note: str
    """What changed; ``""`` when nothing did."""


def replay(recording: Path) -> Iterator[Look]:
    """Every look of a recording, in order."""
    head, *lines = map(json.loads, recording.read_text().splitlines())
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for part in _PARTS:
            if (BOARDS / head["tree"] / part).is_dir():
                shutil.copytree(BOARDS / head["tree"] / part, root / part)
        source, throttle = Source(root), Throttle()
        for line in lines:
            for name, text in line["files"].items():
                (root / name).write_text(text)
            vitals = read_throttle_inputs(source)
            before, throttle = (
                throttle,
                throttle_levels.decide(throttle, vitals, line["t_s"], head.get("needed_bytes", 0)),
            )
            yield Look(
                line["t_s"], vitals, throttle, throttle_levels.describe_change(before, throttle, head["n_threads"])
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recordings", nargs="*", type=Path, help="the ones in tests/boards/ramps when none is named")
    parser.add_argument("--every", type=float, default=30.0, metavar="SECONDS")
    arguments = parser.parse_args()
    for recording in arguments.recordings or sorted((BOARDS / "ramps").glob("*.jsonl")):
        head = json.loads(recording.read_text().splitlines()[0])
        print(f"== {recording.stem}: {head['about']}")
        columns = f"{'t':>6} {'hottest':>8} {'room':>7} {'memory':>7} {'left':>8} {'firmware':>24}"
        print(f"{columns} {'level':>8} {'threads':>7}")
        told = -arguments.every
        for look in replay(recording):
            if not look.note and look.t_s - told < arguments.every:
                continue
            told = look.t_s
            print(_row(look, head["n_threads"]))
            if look.note:
                print(f"       {look.note}")
        print()
    return 0


def _row(look: Look, n_threads: int) -> str:
    room, hottest, stall = look.vitals.headroom, look.vitals.hottest, look.vitals.memory_stall
    left = stall.available if stall else None
    return (
        f"{look.t_s:5.0f}s {f'{hottest.celsius:.1f} C' if hottest else '-':>8} "
        f"{f'{room.degrees:+.1f} C' if room else '-':>7} {f'{stall.worst.some10:.0f} %' if stall else '-':>7} "
        f"{f'{left / 1e9:.1f} GB' if left is not None else '-':>8} "
        f"{', '.join(look.vitals.throttling.now)[:24] or '-':>24} {look.throttle.name:>8} "
        f"{look.throttle.threads(n_threads):>7}"
    )


if __name__ == "__main__":
    sys.exit(main())
