"""Kills a batch with SIGKILL at random moments, resumes it, and compares it with one that nobody disturbed.

The task is a plugin that the drill plants, found as an installed package is: its answers are one word of a list and one
of the model's, so that 2,000 records are minutes. In half of the kills the engine dies with the batch. One record at a
time repeats exactly and must; several at once may differ in rounding, and how many did is said. Part of
``scripts/task_drill.py``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

from edgechat.engine import client
from edgechat.paths import Paths

ROOT = Path(__file__).resolve().parent.parent
_WHAT = ("Smoke", "Noise", "Oil leak", "Vibration", "Heat", "A smell", "A crack", "Rust", "A loose bolt", "Dust")
_WHERE = ("motor", "pump", "belt", "gearbox", "valve", "fan", "press", "robot", "oven", "conveyor")
_WHEN = (
    "since Monday",
    "after the shift",
    "at start",
    "line stopped",
    "all night",
    "again",
    "twice today",
    "since repair",
)


def plant(directory: Path) -> None:
    """Make the plugin known to every process that is started from now on, as its installation would."""
    info = directory / "notekind-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: notekind\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgechat.tasks]\nnotekind = notekind:NoteKind\n")
    # Absolute: an engine works in its state directory, and must be of the same code as the batch.
    known = [str(Path(each).resolve()) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(directory.resolve()), str(ROOT / "scripts"), *known])


def notes(count: int, seed: int) -> list[dict[str, Any]]:
    """Different notes with an id each."""
    random = Random(f"notes{seed}")
    return [
        {
            "id": f"n{number}",
            "note": f"{random.choice(_WHAT)} at {random.choice(_WHERE)} {number}, {random.choice(_WHEN)}.",
        }
        for number in range(count)
    ]


def drill_batch(count: int, kills: int, seed: int, directory: Path, parallel: int) -> bool:
    """Run both, print what happened; True when nothing was lost or doubled, nor, one at a time, changed."""
    plant(directory / "site")
    source = directory / "notes.jsonl"
    source.write_text("".join(json.dumps(note) + "\n" for note in notes(count, seed)), encoding="utf-8")
    whole, out = directory / "whole.jsonl", directory / "killed.jsonl"
    began = time.monotonic()
    _finish(_start(source, whole, parallel))
    print(f"uninterrupted: {count} records in {time.monotonic() - began:.0f} s, --parallel {parallel}", flush=True)
    random = Random(f"kills{seed}")
    began = time.monotonic()
    for number, moment in enumerate(sorted(random.sample(range(1, count), kills)), 1):
        child = _start(source, out, parallel)
        _wait(child, out, moment)
        time.sleep(random.uniform(0, 0.2))
        engines = client.status(Paths.from_env()) if number % 2 else []
        for engine in engines:
            os.kill(int(engine["pid"]), signal.SIGKILL)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        done = _journalled(out)
        print(f"kill {number}: batch{' and engine' if engines else ''}, {done} records on the disk", flush=True)
    said = _finish(_start(source, out, parallel))
    print("".join(f"  {line}\n" for line in said.splitlines() if line.startswith("Resuming")), end="")
    print(f"killed {kills} times: whole after {time.monotonic() - began:.0f} s", flush=True)
    return _compare(whole, out, count, is_exact=parallel == 1)


def drill_memory(directory: Path) -> bool:
    """Peak memory of a batch over 1,000 and over 100,000 lines, answered by a script; True when it does not grow."""
    peaks = []
    for count in (1_000, 100_000):
        source = directory / "lines.jsonl"
        with source.open("w", encoding="utf-8") as file:
            for i in range(count):
                scene = {"speed_kmh": 40 + i % 9000 / 100, "lane_center_offset_m": i // 9000 / 100}
                rest = {"distance_to_car_m": 45.0, "weather": "rain", "time_of_day": "day"}
                file.write(json.dumps({**scene, **rest}) + "\n")
        child = [sys.executable, "-m", "tests.tasks.batch_child", source, directory / "lines.out.jsonl", "0", "1"]
        began = time.monotonic()
        done = subprocess.run(
            [*map(str, child), str(directory / "questions")], cwd=ROOT, capture_output=True, check=True
        )
        peaks.append(int(done.stdout))
        print(f"{count} lines: peak {peaks[-1] / 1e6:.1f} MB, {time.monotonic() - began:.0f} s", flush=True)
    return peaks[1] < peaks[0] + 10_000_000


def _start(source: Path, out: Path, parallel: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "edgechat", "run", "notekind", str(source), "--out", str(out), "--resume", "--no-cache",
         "--language", "en", f"--parallel={parallel}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _finish(child: subprocess.Popen[str]) -> str:
    _, said = child.communicate()
    if child.returncode not in {0, 5}:
        sys.exit(f"edgechat run ended with {child.returncode}: {said.strip()}")
    return said


def _wait(child: subprocess.Popen[str], out: Path, moment: int) -> None:
    while child.poll() is None and _journalled(out) < moment:
        time.sleep(0.05)
    if child.returncode is not None:
        sys.exit(f"The batch ended before it was killed, with {child.returncode}.")


def _journalled(out: Path) -> int:
    journal = out.with_name(out.name + ".journal")
    return max(journal.read_bytes().count(b"\n") - 1, 0) if journal.exists() else 0


def _compare(whole: Path, out: Path, count: int, *, is_exact: bool) -> bool:
    first, second = (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] for path in (whole, out)
    )
    ids = [done["id"] for done in second]
    is_complete = ids == [f"n{number}" for number in range(count)] == [done["id"] for done in first]
    essence = ("status", "result", "input_sha256")
    differing = [
        (one["id"], one["result"], other["result"])
        for one, other in zip(first, second, strict=False)
        if any(one[name] != other[name] for name in essence)
    ]
    statuses = {name: sum(done["status"] == name for done in second) for name in ("ok", "truncated", "failed")}
    once = "each once and in order" if is_complete else "NOT each once and in order"
    print(f"{len(second)} records, {once}; {statuses}; {len(differing)} differ from the uninterrupted run", flush=True)
    for one in differing[:10]:
        print(f"  {one}")
    return is_complete and not (differing and is_exact)
