"""Fits a model to a board: a pure function from facts to plans, best first.

Knows no files and no llama.cpp: a board, a candidate's shape and a wish go in, and plans with their reasons come out.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgechat.board.board import Board
from edgechat.models.plan import Estimate, LoadSettings, MemoryNeed, Plan
from edgechat.models.shape import ModelShape, WeightBytes

DEFAULT_N_CTX = 4096
_CELLS_STEP = 256
_MIN_N_CTX = 512
_OVERHEAD = 60 * 1024 * 1024
_KV_BYTES = {"f16": 2.0, "q8_0": 34 / 32}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model file that might be loaded."""

    name: str
    quant: str
    shape: ModelShape
    weights: WeightBytes


@dataclass(frozen=True, slots=True)
class FitWish:
    """What the person asked for; None leaves it to the fit."""

    n_ctx: int | None = None
    threads: int | None = None


def ladder(board: Board, candidate: Candidate, wish: FitWish) -> tuple[Plan, ...]:
    """Every plan for one file, largest first; those that do not fit say so."""
    most = min(wish.n_ctx or DEFAULT_N_CTX, candidate.shape.n_ctx_train or DEFAULT_N_CTX)
    contexts = [most]
    while wish.n_ctx is None and contexts[-1] // 2 >= _MIN_N_CTX:
        contexts.append(contexts[-1] // 2)
    return tuple(_plan(board, candidate, wish, n_ctx, kv_type) for n_ctx in contexts for kv_type in ("f16", "q8_0"))


def _plan(board: Board, candidate: Candidate, wish: FitWish, n_ctx: int, kv_type: str) -> Plan:
    threads = wish.threads or board.cpu.n_big_cores
    settings = LoadSettings(n_ctx=n_ctx, kv_type=kv_type, n_threads=threads, n_threads_batch=threads)
    need = memory_need(candidate.shape, candidate.weights, settings)
    reserve = max(board.memory.total // 20, 64 * 1024 * 1024)
    return Plan(
        model=candidate.name,
        quant=candidate.quant,
        file_bytes=candidate.weights.file,
        settings=settings,
        memory=need,
        available=board.memory.available,
        reserve=reserve,
        fits=need.total + reserve <= board.memory.available,
        estimated=Estimate(None, None, "unknown"),
    )


def memory_need(shape: ModelShape, weights: WeightBytes, settings: LoadSettings) -> MemoryNeed:
    """Predicted peak memory of one way to load one file."""
    cells = -(-settings.n_ctx // _CELLS_STEP) * _CELLS_STEP
    per_cell = sum(heads * (shape.key_length + shape.value_length) for heads in shape.n_head_kv)
    kv = int(cells * per_cell * _KV_BYTES[settings.kv_type])
    outputs = max(settings.n_outputs_max, settings.n_seq_max) * shape.n_vocab * 4
    compute = settings.n_ubatch * (4 * shape.n_embd + 3 * max(shape.n_ff, default=0)) * 4 + outputs
    copied = weights.repackable if settings.repack and settings.load_mode == "mmap" else 0
    return MemoryNeed(weights.file + copied, kv + shape.recurrent_bytes * settings.n_seq_max, compute, _OVERHEAD)
