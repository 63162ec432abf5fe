"""The command line of ``scripts/bench``: choose sections, models and rounds, then print, keep and publish results."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benchmarks import machine_info, peers, report
from scripts.benchmarks.edgechat_driver import Edgechat
from scripts.benchmarks.parameters import ROUNDS, Parameters, find_models

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTIONS = {
    "chat": ("starter", "qwen2.5-0.5b:Q4_K_M", "qwen2.5-1.5b:Q4_K_M"),
    "startup": ("starter", "qwen2.5-1.5b:Q4_K_M"),
    "json_answers": ("starter", "qwen2.5-0.5b:Q4_K_M", "qwen2.5-1.5b:Q4_K_M"),
    "cold_prefix": ("starter", "qwen2.5-0.5b:Q4_K_M", "qwen2.5-1.5b:Q4_K_M"),
    "batch": ("starter", "qwen2.5-0.5b:Q4_K_M", "qwen2.5-1.5b:Q4_K_M"),
    "chat_turns": ("starter", "qwen2.5-0.5b:Q4_K_M", "qwen2.5-1.5b:Q4_K_M"),
    "earlier_talk": ("starter", "qwen2.5-0.5b:Q4_K_M"),
    "stall": ("starter", "qwen2.5-0.5b:Q4_K_M"),
    "speculation": ("starter", "qwen2.5-0.5b:Q4_K_M"),
    "memory": tuple(
        f"{name}:{quant}"
        for name in ("smollm2-135m", "qwen2.5-0.5b", "qwen2.5-1.5b", "llama-3.2-1b")
        for quant in ("Q4_K_M", "Q3_K_M")
    ),
}
"""Section names with their default models; ``sections/NAME.py`` holds ``run(parameters)`` of each."""
DOCS = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def parser() -> argparse.ArgumentParser:
    """The flags of ``scripts/bench``."""
    made = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure edgechat against llama.cpp's own tools, alternately, in one run. Peers and shape models "
        "are made on first use, in $EDGECHAT_BENCH_DIR (default ~/.cache/edgechat-bench).",
    )
    made.add_argument("--only", default=",".join(SECTIONS), metavar="NAMES", help=f"sections of {', '.join(SECTIONS)}")
    made.add_argument(
        "--model",
        action="append",
        default=[],
        help="`starter`, NAME:QUANT of a shape model, or FILE.gguf; repeatable (default: each section's own)",
    )
    made.add_argument("--rounds", type=int, default=ROUNDS, help=f"turns of each contender ({ROUNDS})")
    made.add_argument(
        "--threads", type=int, default=machine_info.usable_cores(), help="threads for everybody (all cores)"
    )
    made.add_argument("--flavours", default=",".join(peers.FLAVOURS), help="builds of the peers to compare with")
    made.add_argument("--json", type=Path, metavar="FILE", help="also write every single figure here")
    made.add_argument("--write-docs", action="store_true", help="put the tables into docs/benchmarks.md")
    return made


def main() -> int:
    """Run the chosen sections, one after the other."""
    made = parser()
    args = made.parse_args()
    names, flavours = args.only.split(","), tuple(args.flavours.split(","))
    if unknown := [name for name in names if name not in SECTIONS]:
        made.error(f"no section is called {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    if unknown := [name for name in flavours if name not in peers.FLAVOURS]:
        made.error(f"no flavour is called {', '.join(unknown)}; there are {', '.join(peers.FLAVOURS)}")
    if args.rounds < 1 or args.threads < 1:
        made.error("--rounds and --threads must be 1 or more")
    # Servers and the engine are stopped on the way out, also when somebody ends a long run.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    root = peers.bench_dir()
    # The same variable must not reach edgechat's own processes as a setting of theirs.
    os.environ.pop("EDGECHAT_BENCH_DIR", None)
    described, sections = machine_info.describe() | {"threads": args.threads, "rounds": args.rounds}, []
    with tempfile.TemporaryDirectory(prefix="edgechat-bench-") as home, _engine(Path(home), args.threads) as edgechat:
        for name in names:
            models = find_models(root, args.model or SECTIONS[name])
            parameters = Parameters(root, models, args.rounds, args.threads, flavours, edgechat)
            sections.append(importlib.import_module(f"scripts.benchmarks.sections.{name}").run(parameters))
            # Kept after each section: an interrupted run loses one, not all.
            if args.json:
                report.write_json(args.json, described, sections)
    text = report.markdown(described, sections)
    print(text, end="")
    if args.write_docs:
        report.write_docs(DOCS, text)
    return 0


@contextlib.contextmanager
def _engine(home: Path, threads: int) -> Iterator[Edgechat]:
    edgechat = Edgechat(home, threads)
    try:
        yield edgechat
    finally:
        if edgechat.command.exists():
            edgechat.stop()
        else:
            print(f"{edgechat.command} is missing: install edgechat here first.", file=sys.stderr)
