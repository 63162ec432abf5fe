"""Kill a batch with SIGKILL at random moments, resume it, and compare its result with an undisturbed run.

Both translate the same short orders with the starter model, at the same time, each in a home of its own
and on a processor of its own. One record at a time repeats exactly and must, in everything but times. What may differ,
and how many did is said: several at once (rounding), and answers after ``--engine-too``, where the engine dies with
every other batch: it takes that for the OOM killer and steps its plan down, at last to a smaller KV type. Part of
``scripts/drills/tasks.py``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from edgechat.engine.client import client
from edgechat.paths import Paths

ROOT = Path(__file__).resolve().parents[2]
TIMES = ("timing", "created_at")
"""What may differ between two runs; everything else of a result is compared."""
_DO = (
    "Stop", "Start", "Check", "Clean", "Open", "Close", "Replace", "Inspect", "Grease", "Adjust", "Remove", "Tighten",
)  # fmt: skip
_WHICH = (
    "left", "right", "upper", "lower", "front", "rear", "main", "spare", "inner", "outer", "first", "last", "red",
    "small",
)  # fmt: skip
_WHAT = ["motor", "pump", "belt", "gearbox", "valve", "fan", "press", "robot", "oven", "conveyor", "sensor", "cover"]


@dataclass(frozen=True, slots=True)
class Run:
    """A batch in a home of its own."""

    home: Path
    source: Path
    out: Path
    parallel: int
    processor: int
    """The only one that the batch and its engine may use: as many threads in both runs, whatever else is going on."""

    def start(self) -> subprocess.Popen[str]:
        """Start it, or go on with it."""
        # Of this thread alone; what it starts has it from there.
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {self.processor})
        return subprocess.Popen(
            [sys.executable, "-m", "edgechat", "run", "translate", str(self.source), "--out", str(self.out),
             "--resume", "--no-cache", "--seed=1", f"--parallel={self.parallel}"],
            env=self.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def environment(self) -> dict[str, str]:
        """This process's, with the run's home; an engine works in its state directory, so paths are absolute."""
        known = [str(Path(each).resolve()) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
        return {**os.environ, "EDGECHAT_HOME": str(self.home), "PYTHONPATH": os.pathsep.join([str(ROOT), *known])}

    def stop(self) -> None:
        """Let its engine go."""
        subprocess.run(
            [sys.executable, "-m", "edgechat", "stop"], env=self.environment(), capture_output=True, check=False
        )


def notes(count: int, seed: int) -> list[dict[str, Any]]:
    """Up to 2,016 different orders of four words, with an id each: thousands of answers are minutes."""
    random = Random(f"notes{seed}")
    texts = [f"{do} the {which} {what}." for do in _DO for which in _WHICH for what in _WHAT]
    return [
        {"id": f"n{number}", "text": text, "source": "en", "target": random.choice(("fr", "de", "es"))}
        for number, text in enumerate(random.sample(texts, count))
    ]


def drill_batch(count: int, kills: int, seed: int, directory: Path, parallel: int, *, engine_too: bool) -> bool:
    """Run both, print what happened; True when nothing was lost or doubled, nor, where it must be exact, changed."""
    source = directory / "notes.jsonl"
    source.write_text("".join(json.dumps(note) + "\n" for note in notes(count, seed)), encoding="utf-8")
    processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    whole, killed = (
        Run(directory / f"home-{name}", source, directory / f"{name}.jsonl", parallel, processor)
        for name, processor in (("whole", processors[0]), ("killed", processors[-1]))
    )
    try:
        with ThreadPoolExecutor(2) as pool:
            done = [pool.submit(_leave, whole, count), pool.submit(_disturb, killed, count, kills, seed, engine_too)]
        for each in done:
            each.result()
    finally:
        whole.stop()
        killed.stop()
    return _compare(whole.out, killed.out, count, is_exact=parallel == 1 and not engine_too)


def _leave(run: Run, count: int) -> None:
    began = time.monotonic()
    _finish(run.start())
    print(f"uninterrupted: {count} records in {time.monotonic() - began:.0f} s, --parallel {run.parallel}", flush=True)


def _disturb(run: Run, count: int, kills: int, seed: int, engine_too: bool) -> None:
    random = Random(f"kills{seed}")
    began = time.monotonic()
    for number, moment in enumerate(sorted(random.sample(range(1, count), kills)), 1):
        child = run.start()
        _wait(child, run.out, moment)
        time.sleep(random.uniform(0, 0.2))
        engines = client.status(Paths.from_env(run.environment())) if engine_too and number % 2 else []
        for engine in engines:
            os.kill(int(engine["pid"]), signal.SIGKILL)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        done = _journalled(run.out)
        print(f"kill {number}: batch{' and engine' if engines else ''}, {done} records on the disk", flush=True)
    said = _finish(run.start())
    print("".join(f"  {line}\n" for line in said.splitlines() if line.startswith("Resuming")), end="")
    print(f"killed {kills} times: whole after {time.monotonic() - began:.0f} s", flush=True)


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
        child = [sys.executable, "-m", "tests.tasks.batch.batch_child", source, directory / "lines.out.jsonl", "0", "1"]
        began = time.monotonic()
        done = subprocess.run(
            [*map(str, child), str(directory / "questions")], cwd=ROOT, capture_output=True, check=True
        )
        peaks.append(int(done.stdout))
        print(f"{count} lines: peak {peaks[-1] / 1e6:.1f} MB, {time.monotonic() - began:.0f} s", flush=True)
    return peaks[1] < peaks[0] + 10_000_000


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
    differing = [
        (one["id"], one["status"], one["result"], other["status"], other["result"])
        for one, other in zip(first, second, strict=False)
        if any(one[name] != other[name] for name in one.keys() | other.keys() if name not in TIMES)
    ]
    statuses = {name: sum(done["status"] == name for done in second) for name in ("ok", "truncated", "failed")}
    once = "each once and in order" if is_complete else "NOT each once and in order"
    compared = sorted(first[0].keys() - set(TIMES)) if first else []
    print(f"{len(second)} records, {once}; {statuses}; {len(differing)} differ from the uninterrupted run")
    print(f"compared: {', '.join(compared)}", flush=True)
    for one in differing[:10]:
        print(f"  {one}")
    return is_complete and not (differing and is_exact)
