#!/usr/bin/env python3
"""What a board of unknown, slow cores is recommended: `edgechat models plan` held to a share of a core by a cgroup.

    scripts/measure/slow_cores.py [--share 0.5,0.25,0.1] [--way seen,blind] [FILE.gguf]...

Each run puts `edgechat models plan --json` with an empty home into a fresh cgroup of the CPU controller (version 1 or
2, whichever is there; root is needed) with that share of one core as its quota, and tells how many seconds the answer
took. With a FILE, the plan of that file follows, and what the file really reaches in the same group. The ways:

seen    the probe sees the quota, as in a container
blind   the cgroup file system is hidden, so that the machine looks like two cores that others keep busy
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgechat.models.planning.plan import LoadSettings

if TYPE_CHECKING:
    from typing_extensions import Self

V1 = Path("/sys/fs/cgroup/cpu")
V2 = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
PATIENCE_S = 200.0


class Group:
    """A CPU cgroup of this script's own, removed when the block ends."""

    def __init__(self, share: float) -> None:
        is_v1 = (V1 / "cpu.cfs_quota_us").exists()
        if not is_v1 and "cpu" not in (V2 / "cgroup.subtree_control").read_text().split():
            (V2 / "cgroup.subtree_control").write_text("+cpu")
        self.directory = (V1 if is_v1 else V2) / f"edgechat-slow-{os.getpid()}"
        self.directory.mkdir()
        quota = round(share * PERIOD_US)
        if is_v1:
            (self.directory / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (self.directory / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (self.directory / "cpu.max").write_text(f"{quota} {PERIOD_US}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        until = time.monotonic() + 10
        while (self.directory / "cgroup.procs").read_text().split() and time.monotonic() < until:
            time.sleep(0.05)
        self.directory.rmdir()

    def run(self, command: list[str], home: Path, *, blind: bool, data: str = "") -> tuple[dict[str, Any], str, float]:
        """What a command prints as JSON, what it says beside, and its seconds."""
        hide = ["unshare", "--mount", "sh", "-c", 'umount -R /sys/fs/cgroup && exec "$@"', "sh"] if blind else []
        join = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.directory / "cgroup.procs")]
        began = time.monotonic()
        done = subprocess.run(
            [*join, *hide, sys.executable, "-m", *command], input=data, capture_output=True, text=True, check=False,
            timeout=PATIENCE_S, env=os.environ | {"EDGECHAT_HOME": str(home)},
        )  # fmt: skip
        took = time.monotonic() - began
        if done.returncode:
            raise SystemExit(f"{command} ended with {done.returncode}: {done.stderr[-1000:]}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found, " ".join(done.stderr.split()), took

    @property
    def throttled_s(self) -> float:
        """Seconds that the kernel kept its threads waiting: proof that the quota was in force."""
        facts = dict(line.split() for line in (self.directory / "cpu.stat").read_text().splitlines())
        return int(facts.get("throttled_time", 0)) / 1e9 or int(facts.get("throttled_usec", 0)) / 1e6


def tell(what: str, found: dict[str, Any]) -> None:
    """One plan in a line."""
    estimated, practice = found["estimated"], found["in_practice"]
    print(
        f"  {what}: {found['model']}:{found['quant'].lower()}, {found['file_bytes'] / 1e6:,.0f} MB, "
        f"{estimated['decode_tps']} tok/s ({practice['careful_decode_tps']} at the least), question "
        f"{practice['question_s']} s, page {practice['page_s']} s, {estimated['basis']}", flush=True,
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--share", default="0.5,0.25,0.1", help="shares of one core")
    parser.add_argument("--way", default="seen,blind")
    args = parser.parse_args()
    for way in args.way.split(","):
        blind = way == "blind"
        for share in map(float, args.share.split(",")):
            with Group(share) as group, tempfile.TemporaryDirectory() as directory:
                home = Path(directory)
                found, said, took = group.run(["edgechat", "models", "plan", "--json"], home, blind=blind)
                print(
                    f"{way}, {share:g} of a core: {took:.1f} s, threads held back for {group.throttled_s:.1f} s; {said}"
                )
                tell("recommended", found)
                for file in args.files:
                    planned, _, _ = group.run(["edgechat", "models", "plan", str(file), "--json"], home, blind=blind)
                    tell("planned", planned)
                    threads = planned["n_threads"]
                    settings = LoadSettings(512, n_batch=64, n_ubatch=64, n_seq_max=1, n_outputs_max=1,
                                            n_threads=threads, n_threads_batch=threads)  # fmt: skip
                    size = {"prompt_tokens": 64, "enough_s": 1.5}
                    asked = json.dumps({"path": str(file.absolute()), "settings": asdict(settings), "size": size})
                    reached, _, _ = group.run(["edgechat.engine.native.measure"], home, blind=blind, data=asked)
                    print(f"  reached: {reached['decode_tps']} tok/s, prefill {reached['prefill_tps']}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
