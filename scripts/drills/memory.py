#!/usr/bin/env python3
"""Ask under hard memory limits around the plan's need; count killed processes and what the user got.

    scripts/drills/memory.py [--model FILE.gguf]... [--percent 50,60,...] [--way seen,blind,...] [--json FILE]

Each run puts `edgechat ask`, and with it the engine that it starts, into a fresh memory cgroup (version 1 or 2,
whichever is there; root is needed) or under an address-space limit, at a percentage of the need of the plan that the
unlimited machine would choose. Model files are copied into a home of the drill's own and evicted from the page cache
before each run, so that their pages are charged to the group. The ways:

seen     the engine's probe sees the limit
blind    the cgroup file system is hidden from it, so that it plans as if there were no limit
late     the limit falls onto the group after the engine has chosen its plan
address  RLIMIT_AS from the start, as by `ulimit -v`
mapping  RLIMIT_AS falls onto the engine after it has chosen its plan, so that its allocations fail
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgechat import config
from edgechat.board.probe.probe import probe
from edgechat.engine.client import client
from edgechat.engine.protocol.request import Wish
from edgechat.engine.selection.model_choice import choose
from edgechat.engine.state import exit_reason, log, pressure_history
from edgechat.engine.state.oom_history import OomHistory
from edgechat.errors import EdgechatError
from edgechat.models.planning.reserve import reserve
from edgechat.models.store.installed import starter
from edgechat.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

PERCENT = (50, 60, 70, 80, 90, 100, 110)
WAYS = ("seen", "blind", "late", "address", "mapping")
QUESTION = "Tell me about the sea. " + "The sea is large and blue. " * 20
ASK = ("ask", QUESTION, "--temp", "0", "-n", "16", "--seed", "1", "--stats=json", "--keep-alive", "0")
PATIENCE_S = 180.0
V1 = Path("/sys/fs/cgroup/memory")
V2 = Path("/sys/fs/cgroup")


class Group:
    """A memory cgroup of this drill's own; removed with everything in it when the block ends."""

    def __init__(self, name: str) -> None:
        self._is_v1 = (V1 / "memory.limit_in_bytes").exists()
        self.directory = (V1 if self._is_v1 else V2) / name
        if not self._is_v1 and "memory" not in (V2 / "cgroup.subtree_control").read_text().split():
            (V2 / "cgroup.subtree_control").write_text("+memory")
        self.directory.mkdir()
        # Swap would turn a kill into a crawl, and is never room.
        if self._is_v1:
            (self.directory / "memory.swappiness").write_text("0")
        elif (self.directory / "memory.swap.max").exists():
            (self.directory / "memory.swap.max").write_text("0")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        until = time.monotonic() + 10
        while self.processes() and time.monotonic() < until:
            time.sleep(0.02)
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        while True:
            try:
                self.directory.rmdir()
            except OSError:
                if time.monotonic() > until + 10:
                    raise
                time.sleep(0.05)
            else:
                return

    def limit(self, size: int) -> bool:
        """Set the limit; False when the kernel cannot bring the group below it."""
        name = "memory.limit_in_bytes" if self._is_v1 else "memory.max"
        try:
            (self.directory / name).write_text(str(size))
        except OSError:
            return False
        return True

    @property
    def kills(self) -> int:
        """Processes of the group that the OOM killer took."""
        file = self.directory / ("memory.oom_control" if self._is_v1 else "memory.events")
        return next(int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith("oom_kill "))

    def processes(self) -> list[int]:
        """Who is in it."""
        return [int(pid) for pid in (self.directory / "cgroup.procs").read_text().split()]

    def command(self, command: list[str], *, blind: bool) -> list[str]:
        """The command that joins the group first, and loses sight of all groups when ``blind``."""
        hide = ["unshare", "--mount", "sh", "-c", 'umount -R /sys/fs/cgroup && exec "$@"', "sh"] if blind else []
        join = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.directory / "cgroup.procs")]
        return [*join, *hide, *command]


@dataclass
class Run:
    """One question under one limit, and what came of it."""

    model: str
    way: str
    percent: float
    need: int
    """Bytes that the plan of the unlimited machine needs."""
    limit: int
    kills: int = 0
    """Processes that the OOM killer took in the group."""
    engine_deaths: list[str] = field(default_factory=list)
    """Cause, detail and stage of each, as the supervisor wrote them."""
    other_kills: int = 0
    """Kills that no supervisor's note explains, and a client that ended by a signal."""
    exit: int = 0
    answered: bool = False
    plan: str = ""
    """What answered: model, quantization, n_ctx, KV type."""
    full_plan: str = ""
    stepped_down_from: str | None = None
    refusal: str = ""
    seconds: float = 0.0
    peak_rss: int = 0
    processes: list[str] = field(default_factory=list)
    """Whoever was seen in the group: role, ``oom_score_adj``, and the seconds from the start at which it was last seen
    alive. Tells who may have been the victim of a kill that no note explains."""

    @property
    def outcome(self) -> str:
        """``smaller plan``, ``full plan``, ``refused``, or what went wrong."""
        if self.other_kills:
            return "WRONG: another process was killed"
        if self.exit == 0 and self.answered:
            return "full plan" if self.plan == self.full_plan else "smaller plan"
        return "refused" if self.exit == 3 else f"WRONG: exit {self.exit}"


class Drill:
    """The runs over one model."""

    def __init__(self, home: Path, model: str | None, ctx: int | None, *, is_warm: bool = False) -> None:
        self.is_warm = is_warm
        self.paths = Paths.from_env({"EDGECHAT_HOME": str(home)})
        self.env = {**os.environ, "EDGECHAT_HOME": str(home)}
        self.model, self.ctx = model, ctx
        self.files = list(home.rglob("*.gguf"))
        board = probe()
        choice = choose(
            Wish.of(model, ctx), paths=self.paths, config=config.load(self.paths.config), board=board, **_unlimited()
        )
        self.name = choice.label if model else f"{choice.label} and smaller ones"
        settings = choice.plan.settings
        self.need = choice.plan.memory.host
        smallest = choice.ladder[-1].memory.host
        self.least = smallest + reserve(OomHistory(hidden_limit=smallest).limited(board)).size
        """Bytes that an engine must have had, before it was killed, for the smallest plan to be tried."""
        self.full_plan = f"{choice.label} {settings.n_ctx} {settings.kv_type} ub{settings.n_ubatch}"

    def run(self, way: str, percent: float) -> Run:
        """One question under a limit of this percentage of the full plan's need."""
        run = Run(self.name, way, percent, self.need, int(self.need * percent / 100), full_plan=self.full_plan)
        self._forget()
        with Group(f"edgechat-drill-{os.getpid()}") as group:
            if way in {"seen", "blind"}:
                group.limit(run.limit)
            command = [sys.executable, "-m", "edgechat", *ASK]
            command += ["-m", self.model] if self.model else []
            command += ["--ctx", str(self.ctx)] if self.ctx else []
            if way == "address":
                command = ["prlimit", f"--as={run.limit}", *command]
            began = time.monotonic()
            with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
                child = subprocess.Popen(
                    group.command(command, blind=way == "blind"), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                    env=self.env,
                )  # fmt: skip
                notes = self._watch(child, group, run)
                run.seconds = time.monotonic() - began
                run.exit = child.returncode
                out.seek(0)
                err.seek(0)
                self._read(run, out.read().decode(), err.read().decode())
            client.stop(self.paths)
            run.kills = group.kills
        run.engine_deaths = [f"{note.cause}: {note.detail} ({note.stage})" for note in notes]
        explained = sum(note.cause == "oom" and "kernel" in note.detail for note in notes)
        run.other_kills = max(run.kills - explained, 0) + (run.exit < 0)
        return run

    def _watch(self, child: subprocess.Popen[bytes], group: Group, run: Run) -> list[exit_reason.ExitReason]:
        """Collect the supervisors' notes until the client ends; bring the limit down when it is to come late."""
        notes: dict[str, exit_reason.ExitReason] = {}
        seen: dict[int, str] = {}
        began = time.monotonic()
        is_limited = run.way not in {"late", "mapping"}
        until = time.monotonic() + PATIENCE_S
        while True:
            is_over = child.poll() is not None
            note = exit_reason.last(self.paths.state)
            if note is not None:
                notes[note.engine] = note
            for pid in group.processes():
                if role := _role(pid):
                    seen[pid] = f"{role} until {time.monotonic() - began:.3f}"
            if is_over:
                run.processes = list(seen.values())
                return list(notes.values())
            if not is_limited and (pids := [e["pid"] for e in client.status(self.paths) if e["model"]]):
                if run.way == "mapping":
                    is_limited = True
                    resource.prlimit(pids[0], resource.RLIMIT_AS, (run.limit, run.limit))
                else:
                    # Version 1 refuses a limit that it cannot reclaim down to: ask again until there is room.
                    is_limited = group.limit(run.limit)
            if time.monotonic() > until:
                child.terminate()
            time.sleep(0.005)

    def _forget(self) -> None:
        """A state without deaths, steps down or short memory, and a page cache without the models."""
        for name in (exit_reason.NOTE, "stepped-down.json", pressure_history.FILE):
            (self.paths.state / name).unlink(missing_ok=True)
        log.path(self.paths.state).unlink(missing_ok=True)
        if not self.is_warm:
            # The trial of a chat template takes memory of its own, beside the model's first load.
            shutil.rmtree(self.paths.cache, ignore_errors=True)
        for file in self.files:
            with file.open("rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def _read(self, run: Run, out: str, err: str) -> None:
        run.answered = bool(out.strip())
        lines = err.strip().splitlines()
        stats: dict[str, Any] = next((json.loads(line) for line in lines if line.startswith("{")), {})
        if stats:
            run.stepped_down_from = stats["stepped_down_from"]
            run.peak_rss = stats["peak_rss_bytes"]
            run.plan = f"{stats['model']}:{stats['quant'].lower()} {stats['n_ctx']} {_loaded_by(self.paths.state)}"
        if run.exit:
            run.refusal = next((line for line in lines if line.startswith("edgechat: ")), "no word")


def _role(pid: int) -> str:
    """What a process of the group is and its ``oom_score_adj``; ``""`` when it has just ended."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        adjusted = Path(f"/proc/{pid}/oom_score_adj").read_text().strip()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
    if not line or state in "ZX":
        return ""
    if "edgechat.engine.process.main" in line:
        return f"{'engine' if adjusted != '0' else 'supervisor'} {pid} ({adjusted})"
    known = [name for name in ("edgechat.engine.text.template_check", "edgechat ask") if name in line]
    return f"{known[0] if known else line[:40].strip()} {pid} ({adjusted})"


def _loaded_by(state: Path) -> str:
    """KV type and ubatch of the last context, from the engine's log: an answer's statistics do not tell them."""
    kv, ubatch = "?", "?"
    for line in log.path(state).read_text(errors="replace").splitlines():
        if "K (" in line:
            kv = line.split("K (")[1].split(")")[0].strip()
        if "n_ubatch" in line:
            ubatch = line.split("=")[-1].strip()
    return f"{kv} ub{ubatch}"


def _unlimited() -> dict[str, Any]:
    return {"offload": False, "oom_history": OomHistory()}


@contextlib.contextmanager
def _homes(models: list[Path], *, ctx: int | None, is_warm: bool) -> Iterator[list[Drill]]:
    """A home for each model file, and one where all of them are installed together."""
    with tempfile.TemporaryDirectory(prefix="edgechat-drill-") as directory:
        drills = []
        for model in models:
            home = Path(directory) / model.stem
            (home / "files").mkdir(parents=True)
            copy = home / "files" / model.name
            shutil.copyfile(model, copy)
            os.sync()
            drills.append(Drill(home, str(copy), ctx, is_warm=is_warm))
        if len(models) > 1:
            home = Path(directory) / "all"
            home.mkdir()
            for drill in drills:
                subprocess.run(
                    [sys.executable, "-m", "edgechat", "models", "add", str(drill.model)],
                    env={**os.environ, "EDGECHAT_HOME": str(home)}, check=True, stdout=subprocess.DEVNULL,
                )  # fmt: skip
            drills.append(Drill(home, None, ctx, is_warm=is_warm))
        yield drills


def table(runs: list[Run]) -> str:
    """The runs in Markdown."""
    lines = [
        "| model | limit is | % of need | limit MB | OOM kills | of others | exit | answer | plan | s |",
        "|---|---|--:|--:|--:|--:|--:|---|---|--:|",
    ]
    for run in runs:
        plan = run.plan or run.refusal.removeprefix("edgechat: ").split(": ")[-1]
        lines.append(
            f"| {run.model} | {run.way} | {run.percent} | {run.limit / 1e6:,.0f} | {run.kills} | {run.other_kills} "
            f"| {run.exit} | {run.outcome} | {plan} | {run.seconds:.1f} |"
        )
    outcomes = Counter(run.outcome for run in runs)
    killed = sum(run.kills for run in runs)
    lines.append("")
    lines.append(
        f"{len(runs)} runs, {killed} kills, {sum(run.other_kills for run in runs)} of anything but the engine: "
        + ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        + "."
    )
    return "\n".join(lines)


def main() -> int:
    """Run the drill; 1 when a run went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", type=Path, action="append", help="a GGUF file beside the starter; repeatable")
    parser.add_argument("--no-starter", action="store_true", help="only the files given by --model")
    parser.add_argument("--percent", default=",".join(map(str, PERCENT)), help="of the unlimited plan's need")
    parser.add_argument("--way", default=",".join(WAYS), help=f"among {', '.join(WAYS)}")
    parser.add_argument("--ctx", type=int, help="ask for this context")
    parser.add_argument("--warm", action="store_true", help="keep what earlier runs learned of the chat template")
    parser.add_argument("--json", type=Path, help="write the runs here")
    given = parser.parse_args()
    models = list(given.model or [])
    own = starter()
    if own is not None and not given.no_starter:
        models.insert(0, own.path)
    runs: list[Run] = []
    try:
        with _homes(models, ctx=given.ctx, is_warm=given.warm) as drills:
            for drill in drills:
                for way in given.way.split(","):
                    for percent in map(int, given.percent.split(",")):
                        run = drill.run(way, percent)
                        runs.append(run)
                        deaths = "; ".join(run.engine_deaths) or "no death"
                        print(f"{run.model} {way} {percent}%: {run.outcome}, {run.plan or run.refusal}, {deaths}, "
                              f"{run.seconds:.1f} s", file=sys.stderr, flush=True)  # fmt: skip
    except (EdgechatError, OSError) as error:
        sys.exit(f"The drill cannot go on: {error}")
    finally:
        if given.json:
            given.json.write_text(json.dumps([{**asdict(run), "outcome": run.outcome} for run in runs], indent=1))
    print(table(runs))
    return int(any(run.outcome.startswith("WRONG") for run in runs))


if __name__ == "__main__":
    sys.exit(main())
