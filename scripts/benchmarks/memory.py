"""Section ``memory``: predicted against measured peak, over models, context sizes, KV types and load modes.

Predicted by ``edgechat.models.fit`` from the file's header; measured as VmHWM by ``measure_memory.py``, a child that
has the engine's modules imported, loads the file just so and fills a whole ubatch. Pages of a mapped model can be
taken back by the kernel at any time: their share stands in a column of its own.
"""

from __future__ import annotations

import itertools
import statistics
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from measure_memory import measure

from benchmarks.report import Section
from edgechat.board import probe
from edgechat.models import fit, gguf, gguf_shape
from edgechat.models.plan import LoadSettings, MemoryNeed

if TYPE_CHECKING:
    from benchmarks.ground import Ground, Model

CONTEXTS = (1024, 4096, 16384)
KV_TYPES = ("f16", "q8_0")
LOADS = (("mmap", False), ("mmap", True), ("read", False))
"""Load mode and repacking; reading with repacking needs what reading without needs, for the copy replaces the read."""
ENGINE = ("edgechat.engine.host", "edgechat.engine.choice", "edgechat.engine.residence", "edgechat.engine.loop")
"""What the engine process has imported once a model is resident: its own overhead is part of the prediction."""
WORST_SHARE, WORST_BYTES, MEDIAN_SHARE = 0.05, 50_000_000, 0.02


@dataclass(frozen=True, slots=True)
class Point:
    """One cell of the grid. Bytes."""

    model: str
    settings: LoadSettings
    predicted: MemoryNeed
    peak: int
    mapped: int

    @property
    def error(self) -> int:
        """Predicted minus measured."""
        return self.predicted.total - self.peak

    @property
    def share(self) -> float:
        """The error as a share of what was measured."""
        return self.error / self.peak

    @property
    def is_met(self) -> bool:
        """Within the larger of both allowances."""
        return abs(self.share) <= WORST_SHARE or abs(self.error) <= WORST_BYTES

    def row(self) -> tuple[str, ...]:
        """The point as a line of the table."""
        return (
            self.model,
            f"{self.settings.n_ctx}",
            self.settings.kv_type,
            self.settings.load_mode + (", repacked" if self.settings.repack else ""),
            _mb(self.predicted.total),
            _mb(self.peak),
            _mb(self.mapped),
            f"{self.error / 1e6:+.1f}",
            f"{self.share:+.1%}" + ("" if self.is_met else " **missed**"),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        need = self.predicted
        return {
            "model": self.model,
            "n_ctx": self.settings.n_ctx,
            "kv_type": self.settings.kv_type,
            "load_mode": self.settings.load_mode,
            "repack": self.settings.repack,
            "predicted": {
                "weights": need.weights,
                "kv": need.kv,
                "compute": need.compute,
                "overhead": need.overhead,
                "total": need.total,
            },
            "peak_rss_bytes": self.peak,
            "mapped_model_bytes": self.mapped,
        }


def run(ground: Ground) -> Section:
    """The whole grid for every model of the ground."""
    points = []
    for model, n_ctx, kv_type, load in itertools.product(ground.models, CONTEXTS, KV_TYPES, LOADS):
        settings = LoadSettings(
            n_ctx=n_ctx,
            kv_type=kv_type,
            load_mode=load[0],
            repack=load[1],
            n_threads=ground.threads,
            n_threads_batch=ground.threads,
        )
        points.append(_measure(model, settings))
        print("memory  " + "  ".join(points[-1].row()), file=sys.stderr, flush=True)
    shares = [abs(point.share) for point in points]
    worst = max(points, key=lambda point: abs(point.share))
    missed = sum(not point.is_met for point in points)
    note = (
        f"{len(points)} points: median error {statistics.median(shares):.1%} (bar ≤ {MEDIAN_SHARE:.0%}), worst "
        f"{worst.share:+.1%} ({worst.error / 1e6:+.0f} MB), {missed} beyond both {WORST_SHARE:.0%} and "
        f"{WORST_BYTES / 1e6:.0f} MB."
    )
    head = ("model", "n_ctx", "KV", "load", "predicted MB", "peak MB", "of it mapped file MB", "error MB", "error")
    return Section(
        "memory",
        "Memory: predicted and measured peak",
        columns=head,
        rows=tuple(point.row() for point in points),
        notes=(note,),
        data=[point.to_dict() for point in points],
    )


def _measure(model: Model, settings: LoadSettings) -> Point:
    header, features = gguf.read_header(model.path), probe.probe().cpu.features
    need = fit.memory_need(gguf_shape.shape_of(header), gguf_shape.weight_bytes(header, features), settings)
    found = measure(model.path, settings, imports=ENGINE)
    return Point(model.name, settings, need, found["peak_rss_bytes"], found["mapped_model_bytes"])


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f}"
