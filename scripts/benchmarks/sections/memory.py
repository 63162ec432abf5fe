"""Section ``memory``: predicted against measured peak, over models, context sizes, KV types and load modes.

The grid and its judgement are ``check_fit.py``'s; this is the place in the report where they stand. Neither the engine
nor a peer is started: every point is a child of its own that loads the file just so.
"""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING

from edgechat.board.probe.probe import probe
from edgechat.models.planning.plan import LoadSettings, PlanRequest
from scripts.benchmarks.report import Section
from scripts.measure import check_fit

if TYPE_CHECKING:
    from scripts.benchmarks.parameters import Parameters

CONTEXTS = (1024, 4096, 16384)
KV_TYPES = ("f16", "q8_0")
LOADS = (("mmap", False), ("mmap", True), ("read", True))
"""Load mode and repacking. Reading needs the same memory either way: the re-ordered copy is the only one."""

PROMPT_TOKENS = 256
"""Two ubatches: every buffer is touched, but for the masks' last rows."""


def run(parameters: Parameters) -> Section:
    """The whole grid for every model of the parameters."""
    wish = PlanRequest()
    grid = [
        LoadSettings(
            n_ctx=n_ctx,
            kv_type=kv_type,
            n_seq_max=wish.parallel,
            n_outputs_max=wish.output_rows,
            load_mode=load_mode,
            repack=repack,
            n_threads=parameters.threads,
            n_threads_batch=parameters.threads,
        )
        for n_ctx, kv_type, (load_mode, repack) in itertools.product(CONTEXTS, KV_TYPES, LOADS)
    ]
    found = []
    models, features = [model.path for model in parameters.models], probe().cpu.features
    for point in check_fit.points(models, grid, features, PROMPT_TOKENS, wish.output_rows):
        found.append(point)
        print(f"memory  {point.row()}", file=sys.stderr, flush=True)
    return Section(
        "memory",
        "Memory: predicted and measured peak",
        table="\n".join([check_fit.HEAD, *(point.row() for point in found)]),
        notes=(check_fit.summary(found),),
        data=[point.json() for point in found],
    )
