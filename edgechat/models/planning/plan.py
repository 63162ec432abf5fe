"""A plan: which model, at which quantization, loaded how, with what it needs and why. Data only.

``fit.py`` makes plans, the engine carries them out, ``models plan`` prints them. Bytes are integers and add up.
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_DRAFT = 15
"""Draft tokens checked in one step, over all answers; 16 rows are what a CPU's matrix kernels take at once."""


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Predicted peak memory of the engine process, by cause. ``total`` is their sum."""

    weights: int
    kv: int
    compute: int
    overhead: int
    mapped: int = 0
    """The part of ``weights`` that is clean pages of the mapped file: the kernel may drop them and read them again, so
    they never get a process killed, but decoding is only fast while they stay."""
    device: int = 0
    """The part of all this that lies in a device's own memory; 0 where the device shares the RAM."""

    @property
    def host(self) -> int:
        """Bytes of RAM needed."""
        return self.total - self.device

    @property
    def total(self) -> int:
        """Bytes needed in all."""
        return self.weights + self.kv + self.compute + self.overhead


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """How llama.cpp is told to load and run one model file."""

    n_ctx: int
    """Cells of the unified KV cache, a multiple of 256, shared by all sequences."""
    kv_type: str = "f16"
    """``f16`` or ``q8_0``, for keys and values alike."""
    n_batch: int = 512
    n_ubatch: int = 128
    n_seq_max: int = 4
    """Sequences that may live in the context together."""
    n_outputs_max: int = 4
    """Rows of logits one decode may ask for; exceeding it aborts the process, so it is planned, never guessed."""
    n_gpu_layers: int = 0
    load_mode: str = "mmap"
    """``mmap`` (pages shared with the page cache) or ``read`` (private copy)."""
    repack: bool = False
    """Let the CPU backend re-order weights for its SIMD kernels (a second copy of them under mmap)."""
    n_threads: int = 1
    """Threads for decode."""
    n_threads_batch: int = 1
    """Threads for prefill."""
    flash_attn: bool = True


@dataclass(frozen=True, slots=True)
class Estimate:
    """Expected speed in tokens per second; None when nothing is known."""

    prefill_tps: float | None
    decode_tps: float | None
    basis: str
    """``calibrated`` (measured here with this file), ``bandwidth`` (from memory bandwidth) or ``unknown``."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """Something the plan was chosen over."""

    model: str
    quant: str
    n_ctx: int
    kv_type: str
    total: int
    fits: bool
    why_not: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One decision with its numbers and reasons."""

    model: str
    quant: str
    file_bytes: int
    settings: LoadSettings
    memory: MemoryNeed
    available: int
    """Bytes the board could give at planning time."""
    reserve: int
    """Bytes kept free for the rest of the machine."""
    fits: bool
    estimated: Estimate
    reasons: tuple[str, ...] = ()
    alternatives: tuple[Alternative, ...] = ()

    @property
    def label(self) -> str:
        """``name:quant``, as commands take it."""
        return f"{self.model}:{self.quant.lower()}"
