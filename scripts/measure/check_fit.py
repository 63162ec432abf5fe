#!/usr/bin/env python3
"""Hold the memory prediction against what a load really takes, over a grid of models and settings.

Every point is loaded by ``measure_memory.py`` in a child of its own; the prediction is
``edgechat.models.planning.memory_need``'s for the
same settings and the same bare process. A plan promises room for every row of logits that one step may ask for, so
the last step asks for all of them; ``--rows 0`` shows what a single answer without drafts leaves unused. Prints a
Markdown table, or one JSON object a line with ``--json``.

    python scripts/measure/check_fit.py DIR/*.gguf                     the grid: 2 load modes, 3 contexts, 2 KV types
    python scripts/measure/check_fit.py DIR/*.gguf --load-mode mmap --repack both --n-ctx 4096
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgechat.board.probe.probe import probe
from edgechat.models.gguf.header import read_header
from edgechat.models.gguf.header_shape import shape_of, weight_bytes
from edgechat.models.planning.memory_need import BARE, memory_need
from edgechat.models.planning.plan import LoadSettings, PlanRequest
from scripts.measure.measure_memory import LoadFailedError, measure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.models.planning.plan import MemoryNeed

ALLOWED_BYTES, ALLOWED_SHARE = 50_000_000, 0.05
"""A prediction may be off by either; the median by MEDIAN_SHARE."""
MEDIAN_SHARE = 0.02
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Point:
    """One load, predicted and measured; bytes."""

    model: str
    settings: LoadSettings
    need: MemoryNeed
    measured: int
    reclaimable: int

    @property
    def error(self) -> int:
        """Predicted less measured: below 0 the plan promised too little."""
        return self.need.total - self.measured

    @property
    def share(self) -> float:
        """The error as a part of what was measured."""
        return self.error / self.measured

    @property
    def passes(self) -> bool:
        """Whether the error is allowed."""
        return abs(self.error) <= max(ALLOWED_BYTES, ALLOWED_SHARE * self.measured)

    def json(self) -> dict[str, Any]:
        """One row for a program."""
        settings, need = self.settings, self.need
        return {
            "model": self.model,
            "n_ctx": settings.n_ctx,
            "kv_type": settings.kv_type,
            "load_mode": settings.load_mode,
            "repack": settings.repack,
            "n_ubatch": settings.n_ubatch,
            "weights": need.weights,
            "kv": need.kv,
            "compute": need.compute,
            "overhead": need.overhead,
            "predicted": need.total,
            "measured": self.measured,
            "reclaimable": self.reclaimable,
            "error": self.error,
        }

    def row(self) -> str:
        """One row of the Markdown table."""
        settings = self.settings
        how = settings.load_mode + (" + repack" if settings.repack else "")
        return (
            f"| {self.model} | {settings.n_ctx} | {settings.kv_type} | {how} | {self.need.total / MB:,.1f} "
            f"| {self.measured / MB:,.1f} | {self.reclaimable / MB:,.1f} | {self.error / MB:+.1f} | {self.share:+.2%} |"
        )


HEAD = (
    "| model | n_ctx | KV | load | predicted MB | measured MB | of it reclaimable | error MB | error |\n"
    "|---|--:|---|---|--:|--:|--:|--:|--:|"
)


def points(
    models: list[Path], grid: list[LoadSettings], features: tuple[str, ...], fill: int, rows: int = 0
) -> Iterator[Point]:
    """Measure every model with every setting: a prompt of ``fill`` tokens, then a step of ``rows`` output rows."""
    for path, settings in itertools.product(models, grid):
        header = read_header(path)
        need = memory_need(shape_of(header), weight_bytes(header, features), settings, process=BARE)
        try:
            found = measure(path, settings, fill=fill, steps=2, rows=rows)
        except LoadFailedError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            continue
        yield Point(path.stem, settings, need, found["peak_rss_bytes"], found["mapped_model_bytes"])


def summary(found: list[Point]) -> str:
    """One line that says whether the prediction holds."""
    errors = sorted(abs(point.share) for point in found)
    worst = max(found, key=lambda point: abs(point.error))
    under = min(found, key=lambda point: point.error)
    return (
        f"{len(found)} points; median error {statistics.median(errors):.2%}; worst {worst.error / MB:+.1f} MB "
        f"({worst.share:+.2%}, {worst.model} n_ctx {worst.settings.n_ctx}); most under-predicted "
        f"{under.error / MB:+.1f} MB; {sum(not point.passes for point in found)} out of bounds"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", help="GGUF files")
    parser.add_argument("--n-ctx", type=int, nargs="+", default=[1024, 4096, 16384])
    parser.add_argument("--kv-type", nargs="+", default=["f16", "q8_0"], choices=("f16", "q8_0"))
    parser.add_argument("--load-mode", nargs="+", default=["mmap", "read"], choices=("mmap", "read"))
    parser.add_argument("--repack", default="with-read", choices=("on", "off", "both", "with-read"))
    parser.add_argument("--n-ubatch", type=int, nargs="+", default=[128])
    parser.add_argument(
        "--fill",
        type=int,
        default=256,
        help="prompt tokens (256); the masks alone grow with it, by 2 bytes x n_ubatch a cell",
    )
    wish = PlanRequest()
    parser.add_argument("--n-seq-max", type=int, default=wish.parallel, help="sequences (%(default)s, as in plans)")
    parser.add_argument(
        "--n-outputs-max", type=int, default=wish.output_rows, help="rows of logits (%(default)s, as in plans)"
    )
    parser.add_argument("--rows", type=int, help="rows of logits that the last step asks for: all that are allowed")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of the table")
    return parser


def main() -> int:
    args = _parser().parse_args()
    grid = []
    for mode, n_ctx, kv, ubatch in itertools.product(args.load_mode, args.n_ctx, args.kv_type, args.n_ubatch):
        repacks = {"on": [True], "off": [False], "both": [False, True], "with-read": [mode == "read"]}[args.repack]
        grid += [
            LoadSettings(
                n_ctx,
                kv,
                n_ubatch=ubatch,
                n_seq_max=args.n_seq_max,
                n_outputs_max=args.n_outputs_max,
                load_mode=mode,
                repack=repack,
                n_threads=2,
                n_threads_batch=2,
            )
            for repack in repacks
        ]
    if not args.json:
        print(HEAD)
    found = []
    rows = args.n_outputs_max if args.rows is None else args.rows
    for point in points(args.models, grid, probe().cpu.features, args.fill, rows):
        found.append(point)
        print(json.dumps(point.json()) if args.json else point.row(), flush=True)
    if not found:
        return 1
    print(("" if args.json else "\n") + summary(found), file=sys.stderr if args.json else sys.stdout)
    shares = [abs(point.share) for point in found]
    return 0 if all(point.passes for point in found) and statistics.median(shares) <= MEDIAN_SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
