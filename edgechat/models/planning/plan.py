"""A plan: model, quantization, load settings, memory need and reasons; and the request it answers. Data only.

``fit.py`` makes plans, the engine loads by them, ``models plan`` prints them. Bytes are integers and add up.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgechat.models.planning.kv_types import DEFAULT_KV_TYPE

LONGEST_DRAFT = 15
"""Most draft tokens verified in one step, over all answers: a CPU's matrix kernels take 16 rows at once."""


_WORDS_PER_TOKEN = 0.75
"""English; other languages take more tokens a word."""


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Predicted peak memory of the engine process, by cause. ``total`` is their sum."""

    weights: int
    kv: int
    compute: int
    overhead: int
    mapped: int = 0
    """The part of ``weights`` in clean pages of the mapped file. The kernel may drop and reread them, so the process is
    never killed for them, but decoding is fast only while they stay in memory."""
    device: int = 0
    """The part of ``total`` in a device's own memory; 0 where the device shares the RAM."""

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
    """The settings with which llama.cpp loads and runs one model file."""

    n_ctx: int
    """Cells of the unified KV cache, a multiple of 256, shared by all sequences."""
    kv_type: str = DEFAULT_KV_TYPE
    """For keys and values alike; a name of ``kv_types.KV_TYPES``."""
    n_batch: int = 512
    n_ubatch: int = 128
    n_seq_max: int = 4
    """Most sequences in the context at once."""
    n_outputs_max: int = 4
    """Most rows of logits of one decode call; more would abort the process."""
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
    n_rollback: int = 0
    """Recurrent states kept beside the last one, of every sequence: so many draft tokens can be taken back at once."""
    checkpoint_bytes: int = 0
    """Most bytes of checkpoints: copies of recurrent states and sliding windows, where a model has them."""


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """The settings a plan has to keep to; the fit chooses where a field is None."""

    n_ctx: int | None = None
    threads: int | None = None
    kv_type: str | None = None
    exact: bool = False
    """Change only what changes no answer: ubatch, number of sequences, load mode, threads. For pinned models."""
    parallel: int = 16
    """Sequences in the context at once; a quarter of them where each needs a window or a recurrent state of its own. A
    token costs least in batches of 16 rows and more: with the 0.5B model half as much in 8 rows as alone, a third in 16
    (2 cores, AVX-512)."""
    longest_draft: int = LONGEST_DRAFT
    """Most draft tokens verified in one step, over all sequences; each is an output row."""
    offload: bool = True
    """Whether the engine was built to use the board's GPU."""
    purpose: str = "chat"
    any_licence: bool = False
    """Also recommend models whose licence has not been accepted."""
    min_decode_tps: float = 3.0
    """Slower models are skipped while a faster one fits: people read faster than this. A model that thinks before every
    answer must be three times as fast."""

    @property
    def output_rows(self) -> int:
        """Rows of logits of one step; sequences come first, and drafts get the rows that are left."""
        return max(self.parallel, 1 + self.longest_draft)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Expected speed in tokens per second; None when nothing is known."""

    prefill_tps: float | None
    decode_tps: float | None
    basis: str
    """``calibrated``: measured here with this file. ``starter``: from the starter model, measured here. ``published``:
    from published measurements of this board. ``bandwidth``: from data sheets. ``assumed``: nothing is known of the
    board, so the slowest of its kind. ``unknown``: the model does not fit."""
    careful_tps: float | None = None
    """The decode speed that a recommendation relies on: lower than ``decode_tps`` where less is known."""
    question_s: float | None = None
    """Seconds until the first word of the answer to a question of 100 tokens."""
    page_s: float | None = None
    """The same of a page of 1,000 tokens."""
    rests_on: str = ""
    """What the prediction rests on, in words of the speed table: ``fitted: 30 decode, 14 prefill``."""

    @property
    def words_per_minute(self) -> float | None:
        """English words of an answer in a minute; a person reads about 240."""
        return None if self.decode_tps is None else self.decode_tps * _WORDS_PER_TOKEN * 60


@dataclass(frozen=True, slots=True)
class Alternative:
    """A plan that was not chosen."""

    model: str
    quant: str
    n_ctx: int
    kv_type: str
    total: int
    fits: bool
    why_not: str
    decode_tps: float | None = None
    """Expected decode speed; None where it does not fit."""
    page_s: float | None = None
    """Expected seconds to read a page of 1,000 tokens."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to load one model on one board, with the numbers and reasons."""

    model: str
    quant: str
    file_bytes: int
    settings: LoadSettings
    memory: MemoryNeed
    available: int
    """Bytes of memory that a new process could use at planning time."""
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
