"""How fast a board reads a prompt and writes an answer, predicted from published measurements.

Decoding one token reads every weight that takes part in it once, so a token takes ``bytes / bandwidth`` plus a fixed
time. Reading a prompt is bound by arithmetic: 2 FLOP for each non-embedding weight that takes part, at a rate that
depends on the kernel of the weights' type; attention and other work per token are counted on top, weighted by how much
slower they run than matrix products. Bandwidth, fixed time and rate are constants of a board, a way (CPU, CUDA, Metal)
and a power mode; what a type or an architecture costs is shared by all boards of one kind of arithmetic.

The constants are in ``speed_table.py``; ``board_speed.py`` chooses them for a board, ``starter_speed.py`` derives them
from the starter model. Whether a model fits into memory is decided before: of a file larger than the free memory no
speed is predicted at all, since storage then decides.
Units: GB = 10^9 bytes, GFLOP/s = 10^9, seconds unless a name says otherwise. Pure, standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PROMPT = 512
"""Prompt tokens that a prefill speed refers to, as llama-bench's pp512."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a model asks for one token. Counts, not billions."""

    read_bytes: float
    """Weight bytes that decoding reads: without an untied input embedding, without idle experts and without the
    per-layer tables of Gemma 3n/4; with the output matrix."""
    params: int
    """Non-embedding weights that take part in one token."""
    kv_bytes: int = 0
    """KV cache bytes of one token of context, all layers."""
    attention: int = 0
    """FLOP of attention for one prompt token and one token of context: 4 x query width x attending layers."""
    window: int = 0
    """Context that most layers see; 0 when all."""
    activations: int = 0
    """Elements between the matrices of all layers: width and feed-forward width. Norms, gates and the quantizing of
    inputs go over them. Counted only where the starter's speed is the basis."""
    types: tuple[tuple[str, float], ...] = (("q4_k", 1.0),)
    """Share of ``params`` by ggml type in lower case; sums to 1."""
    kind: str = "dense"
    """``dense``, ``moe``, ``deltanet`` (Qwen3.5, 3.6), ``gemma2``, ``gemma3n`` or ``ple`` (Gemma 4 E)."""
    repacked: bool = True
    """Whether the CPU backend's ARM kernels for repacked weights are in use; of no matter elsewhere."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What one kind of arithmetic makes of types and architectures, shared by all its boards."""

    types: Mapping[str, float] = field(default_factory=dict)
    """Speed of a type's matrix product, relative to Q4_K (repacked where ``plain`` says so)."""
    plain: float = 0.0
    """The same for all types that are not repacked; 0 where repacking makes no difference."""
    attention: float = 1.0
    """FLOP of a matrix product that one FLOP of attention takes as long as."""
    setup: float = 0.0
    """GFLOP that everything else for one prompt token takes as long as."""
    kinds: Mapping[str, float] = field(default_factory=dict)
    """Prefill work of an architecture, relative to a dense one of as many weights."""
    slower: Mapping[str, float] = field(default_factory=dict)
    """Time of decoding for each byte by type or architecture, relative to the rest."""
    context: float = 1.0
    """Time of decoding for each byte of the KV cache, relative to one of the weights."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Constants of one board, way and power mode."""

    bandwidth: float
    """GB/s that decoding reaches, not the data sheet's."""
    fixed_ms: float
    """Milliseconds of every token that do not depend on the model's size."""
    gflops: float
    """GFLOP/s of prefill with the reference type."""
    arithmetic: Arithmetic
    basis: str
    """``fitted: N decode, M prefill`` rows (0: scaled from boards of its kind), ``few:`` the same with less than three,
    ``scaled: from what`` or ``assumed: why``."""
    activation_ns: float = 0.0
    """Nanoseconds of every prompt token for each of its ``activations``; only where the starter was measured."""


@dataclass(frozen=True, slots=True)
class Speed:
    """A prediction."""

    decode_tps: float
    prefill_tps: float
    """At ``PROMPT`` tokens unless asked otherwise."""
    basis: str
    spread: float
    """Two thirds of published rows with such a basis lie within this factor - 1, either way."""


SPREAD = {"fitted": 0.15, "few": 0.25, "scaled": 0.35, "assumed": 0.5}
"""Two thirds of published rows lie within this factor - 1 of a prediction, by the first word of its basis."""


def scaled(like: Machine, bandwidth: float, arithmetic: float, basis: str) -> Machine:
    """Constants of a board nobody measured, from one of its kind: ratios of data sheet bandwidths and of peak rates."""
    return replace(like, bandwidth=like.bandwidth * bandwidth, gflops=like.gflops * arithmetic, basis=basis)


def decode_seconds(work: Work, on: Machine, depth: int = 0) -> float:
    """Seconds of decoding one token behind ``depth`` tokens of context."""
    slower = on.arithmetic.slower
    factor = sum(share * slower.get(name, 1.0) for name, share in work.types) * slower.get(work.kind, 1.0)
    seen = min(depth, work.window) * 5 / 6 + depth / 6 if work.window else float(depth)
    read = work.read_bytes * factor + work.kv_bytes * seen * on.arithmetic.context
    return read / (on.bandwidth * 1e9) + on.fixed_ms / 1e3


def prefill_seconds(work: Work, on: Machine, prompt: int = PROMPT) -> float:
    """Seconds of reading one token of a prompt of ``prompt`` tokens, on average over them."""
    how = on.arithmetic
    if how.plain and not work.repacked:
        slowness = 1 / how.plain
    else:
        slowness = sum(share / how.types.get(name, how.plain or 1.0) for name, share in work.types)
    behind = min(prompt / 2, work.window) if work.window else prompt / 2
    flop = 2 * work.params * how.kinds.get(work.kind, 1.0) * slowness + how.attention * work.attention * behind
    return (flop / 1e9 + how.setup) / on.gflops + on.activation_ns * work.activations / 1e9


def predict(
    work: Work,
    on: Machine,
    *,
    prompt: int = PROMPT,
    depth: int = 0,
    engine: tuple[float, float] = (1.0, 1.0),
) -> Speed:
    """What to expect of a model that fits into free memory.

    Args:
        work: the model.
        on: the board.
        prompt: tokens that the prefill speed refers to.
        depth: tokens of context behind which decoding is asked for.
        engine: decode and prefill of the engine relative to llama.cpp, an entry of ``speed_table.ENGINES``.
    """
    return Speed(
        decode_tps=engine[0] / decode_seconds(work, on, depth),
        prefill_tps=engine[1] / prefill_seconds(work, on, prompt),
        basis=on.basis,
        spread=SPREAD.get(on.basis.partition(":")[0], 0.5),
    )
