"""The predicted peak memory of an engine process, from a model's shape and its load settings. Pure arithmetic.

The formulas follow llama.cpp of llama-cpp-python 0.3.36 (``src/llama-kv-cache*.cpp``, ``src/llama-context.cpp``). Other
constants were fitted to dry runs (``no_alloc``) of 14 models and to VmHWM: ``docs/fit.md``,
``scripts/measure/check_fit.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from edgechat.models.gguf.header_shape import ENCODERS
from edgechat.models.planning.context_length import padded
from edgechat.models.planning.kv_types import DEFAULT_KV_TYPE, KV_TYPES
from edgechat.models.planning.plan import MemoryNeed
from edgechat.models.planning.reserve import MIB

if TYPE_CHECKING:
    from edgechat.models.gguf.shape import ModelShape, WeightBytes
    from edgechat.models.planning.plan import LoadSettings

_F32, _F16 = 4, 2
_CELL_HEAD, _TENSOR_HEAD = 24, 16
"""Bytes that a saved state takes for each cell and each tensor beside their content (``state_write_meta``)."""
_WORK_BYTES = 1.14
"""Bytes for each element of the widest activation that ggml quantizes to q8_K before a matrix product (292 / 256)."""
_DELTA_WIDTH, _DELTA_KEYS = 7.5, 6200
"""f32 values in memory for each token in linear attention: in units of its value width, and for keys and queries.
From dry runs of Qwen3.5 0.8B, 4B and 3.6 35B-A3B, whose keys are 2048 wide."""


@dataclass(frozen=True, slots=True)
class ProcessCost:
    """Memory of a process that runs llama.cpp, without weights, KV cache and compute buffers; bytes."""

    base: int
    """Python, libraries, graph objects, allocator slack."""
    per_token: float
    """For each vocabulary entry, without llama.cpp's own vocabulary."""


BARE = ProcessCost(base=35_000_000, per_token=0)
"""Python and libllama alone, by ``scripts/measure/measure_memory.py``; 3 MB of it are in partly filled large pages
(``edgechat/engine/child/environment.py``)."""
ENGINE = ProcessCost(base=BARE.base + 20_000_000, per_token=460)
"""The engine. Measured with an 0.5B shape: plain answers 1 MB above BARE; the first answer under a schema adds numpy
(11.2 MB), llguidance (4.5 MB) and its tokenizer (450, 434 and 459 bytes an entry for vocabularies of 49, 152 and 128
thousand). Counted from the start, so that the first schema does not run out of memory."""

CUDA_CONTEXT = 512 * MIB
"""CUDA's own context, kernels and cuBLAS. Not measured by us: contexts of 107 MiB (RTX 4060 Ti) to 555 MiB (RTX PRO
6000) are published (llama.cpp PR 23604), and llama-server on a Jetson Orin needs 550 MB more than weights and KV."""

# llama.cpp's memory for the vocabulary: 124 bytes for each entry and 4.65 for each byte of the file's header, which is
# mostly tokens and merges. Fitted to 49k/49k (14.4 of 15.0 MB), 152k/151k and 128k/280k tokens/merges.
_VOCAB_PER_TOKEN = 124
_VOCAB_PER_HEADER_BYTE = 4.65


def memory_need(
    shape: ModelShape,
    weights: WeightBytes,
    settings: LoadSettings,
    *,
    process: ProcessCost = ENGINE,
    device: str = "",
    unified: bool = False,
) -> MemoryNeed:
    """Predict the peak memory of one file with these settings and a full context.

    Args:
        shape: the model.
        weights: its bytes, for the processor that runs it (``repackable`` depends on it).
        settings: its load settings.
        process: memory of the process without llama.cpp's buffers.
        device: ``cuda`` or ``metal`` when ``settings.n_gpu_layers`` counts; ``""`` for the CPU alone.
        unified: the device takes its memory from the RAM.

    Returns:
        Bytes by cause; ``device`` is the part in the device's own memory, 0 where it shares the RAM.
    """
    offloaded = settings.n_gpu_layers if device else 0
    layers = kv_by_layer(shape, settings)
    first = max(0, shape.n_layer + 1 - offloaded)  # llama.cpp gives the device the last layers, and the output first
    on_device = _device_weights(weights, first) if offloaded else 0
    compute = compute_bytes(shape, settings)
    kv = sum(layers) + settings.checkpoint_bytes + _draft_copy(shape, settings)
    overhead = process.base + round(process.per_token * shape.n_vocab) + _vocabulary(shape, weights)
    if device == "cuda" and offloaded:
        overhead += CUDA_CONTEXT
    if device == "metal" and unified and settings.load_mode == "mmap":
        # Metal wraps the mapped pages: nothing is copied.
        host, on_device = weight_bytes(shape, weights, settings), 0
    elif offloaded:
        host = _host_weights(weights, first)
    else:
        host = weight_bytes(shape, weights, settings)
    work = _work_bytes(shape, settings)
    own = 0
    if offloaded and not unified:
        own = on_device + sum(layers[first:]) + compute + (CUDA_CONTEXT if device == "cuda" else 0)
    # Loading has its own peak; it counts only where the caches made afterwards are smaller.
    compute = max(compute + work, _load_peak(weights, settings) - kv)
    return MemoryNeed(
        weights=host + on_device,
        kv=kv,
        compute=compute,
        overhead=overhead,
        mapped=host if settings.load_mode == "mmap" else 0,
        device=own,
    )


def tensor_total(shape: ModelShape, weights: WeightBytes) -> int:
    """Bytes of all tensors that llama.cpp loads: the file without its header and without skipped tensors."""
    output = 0 if shape.tied_embeddings else weights.output
    return weights.embedding + output + sum(weights.per_layer) + weights.other


def weight_bytes(shape: ModelShape, weights: WeightBytes, settings: LoadSettings) -> int:
    """Bytes of weights resident on the CPU side when nothing is offloaded.

    Under mmap every repacked tensor is a second copy beside its mapped pages. Under read it replaces the original,
    except for a tied output matrix, whose original is the embedding.
    """
    total = tensor_total(shape, weights)
    if not settings.repack:
        return total
    if settings.load_mode == "mmap":
        return total + weights.repackable
    return total + (weights.repackable_output if shape.tied_embeddings else 0)


def _draft_copy(shape: ModelShape, settings: LoadSettings) -> int:
    """The copy of one recurrent state before a draft, where llama.cpp keeps none to go back to."""
    has_drafts = settings.n_outputs_max > settings.n_seq_max
    return shape.recurrent_bytes if has_drafts and not settings.n_rollback else 0


def checkpoint_size(shape: ModelShape, settings: LoadSettings) -> int:
    """Bytes of one checkpoint: the recurrent state, and a full window of every sliding layer's cells; 0 without either.

    llama.cpp writes a few bytes for each cell and tensor beside them.
    """
    recurrent = shape.recurrent_bytes
    keeps = shape.n_layer - shape.shared_kv_layers
    stored, sliding = KV_TYPES[settings.kv_type], 0
    for layer, heads in enumerate(shape.n_head_kv[:keeps]):
        if shape.sliding_layers and shape.sliding_layers[layer]:
            key, value = shape.key_length_swa or shape.key_length, shape.value_length_swa or shape.value_length
            sliding += stored.row_bytes(heads * key) + stored.row_bytes(heads * value)
    cells = min(shape.sliding_window, settings.n_ctx)
    parts = _TENSOR_HEAD * 2 * shape.n_layer
    return recurrent + cells * (sliding + _CELL_HEAD) + parts if recurrent or sliding else 0


def kv_by_layer(shape: ModelShape, settings: LoadSettings) -> tuple[int, ...]:
    """KV cache and recurrent state of each layer in bytes.

    The cache is zeroed when it is made, so all of it is resident from the start. Sliding layers keep
    ``window x n_seq_max + n_ubatch`` cells (``swa_full`` off, unified), padded to 256. The trailing
    ``shared_kv_layers`` keep none.
    """
    cells = padded(settings.n_ctx)
    sliding = min(cells, padded(shape.sliding_window * settings.n_seq_max + settings.n_ubatch))
    recurrent = _recurrent_layers(shape)
    state = shape.recurrent_bytes // max(1, sum(recurrent)) * settings.n_seq_max * (1 + settings.n_rollback)
    return tuple(
        row * (sliding if slides else cells) + (state if has_state else 0)
        for (row, slides), has_state in zip(_kv_rows(shape, settings.kv_type), recurrent, strict=True)
    )


@lru_cache(maxsize=256)  # a plan tries many settings for one model
def _kv_rows(shape: ModelShape, kv_type: str) -> tuple[tuple[int, bool], ...]:
    """For each layer: bytes of one cell, and whether it keeps only the sliding window."""
    keeps, stored = shape.n_layer - shape.shared_kv_layers, KV_TYPES[kv_type]
    result = []
    for layer, heads in enumerate(shape.n_head_kv):
        slides = bool(shape.sliding_layers) and shape.sliding_layers[layer]
        key = (slides and shape.key_length_swa) or shape.key_length
        value = (slides and shape.value_length_swa) or shape.value_length
        own = heads and layer < keeps
        row = stored.row_bytes(heads * key) + stored.row_bytes(heads * value) if own else 0
        result.append((row, slides))
    return tuple(result)


def compute_bytes(shape: ModelShape, settings: LoadSettings) -> int:
    """The compute buffer and the rows of logits, in bytes.

    The buffer contains the attention masks and the largest phase, since ggml reuses memory between phases: the
    feed-forward product (gate, up and their product beside four rows of activations), attention, linear attention, or
    the output rows. Rows of logits exist twice: in the graph and in the buffer that is read. That buffer starts with a
    row for each sequence; the first step with more rows replaces it, and the allocator keeps the freed memory (2 to 5
    MB for eight rows, seen in VmHWM of three models when 9 rows followed 8).
    """
    tokens = min(settings.n_ubatch, settings.n_ctx)
    rows = max(settings.n_outputs_max, settings.n_seq_max)
    cells = padded(settings.n_ctx)
    windowed = min(cells, padded(shape.sliding_window * settings.n_seq_max + settings.n_ubatch))
    masked = cells + (windowed if shape.sliding_window else 0)
    mask = masked * tokens * (_F16 if settings.flash_attn else _F32)
    experts = max(1, shape.n_expert_used)
    feed_forward = 3 * max(shape.n_ff, default=0) * experts + (5 if shape.n_expert else 4) * shape.n_embd
    heads = max(shape.n_head, default=0)
    attention = 0 if settings.flash_attn else heads * cells + 7 * max(shape.n_embd, heads * shape.key_length)
    state = shape.recurrent_bytes // max(1, sum(_recurrent_layers(shape)))
    # A linear layer's state is 128 x its value width x 4 bytes; the states of all sequences are in memory twice.
    width = round(_DELTA_WIDTH * state / 512) + _DELTA_KEYS if state else 0
    linear = width * tokens * _F32 + (2 + settings.n_rollback) * state * settings.n_seq_max
    phases = (
        max(feed_forward, attention) * tokens * _F32,
        linear,
        rows * ((0 if shape.arch in ENCODERS else shape.n_vocab) + 2 * shape.n_embd) * _F32,
    )
    per_layer = 3 * shape.n_embd_per_layer * shape.n_layer * tokens * _F32 // 2
    replaced = settings.n_seq_max if rows > settings.n_seq_max else 0
    output = (rows + replaced) * shape.n_vocab * _F32
    return mask + max(phases) + per_layer + _rotation(shape, settings) + output


def _rotation(shape: ModelShape, settings: LoadSettings) -> int:
    """Bytes of the f32 Hadamard matrices that rotate keys and values of a quantized cache, one pair for each cache."""
    if settings.kv_type == DEFAULT_KV_TYPE or shape.key_length % 64:
        return 0
    sides = [shape.key_length] + ([shape.key_length_swa or shape.key_length] if shape.sliding_window else [])
    return sum(2 * side * side * _F32 for side in sides)


def _work_bytes(shape: ModelShape, settings: LoadSettings) -> int:
    widest = max(max(shape.n_ff, default=0) * max(1, shape.n_expert_used), shape.n_embd)
    return round(min(settings.n_ubatch, settings.n_ctx) * widest * _WORK_BYTES)


def _vocabulary(shape: ModelShape, weights: WeightBytes) -> int:
    header = max(0, weights.file - tensor_total(shape, weights) - weights.unused)
    return round(_VOCAB_PER_TOKEN * shape.n_vocab + _VOCAB_PER_HEADER_BYTE * header)


def _load_peak(weights: WeightBytes, settings: LoadSettings) -> int:
    """The buffer that a repacked tensor is first read into when the file is not mapped."""
    if settings.load_mode == "mmap" or not settings.repack:
        return 0
    return max(weights.repackable_output, max(weights.per_layer, default=0) // 2)


def _device_weights(weights: WeightBytes, first: int) -> int:
    # A tied output matrix is copied to the device; the embedding always stays in RAM.
    return sum(weights.per_layer[first:]) + weights.output


def _host_weights(weights: WeightBytes, first: int) -> int:
    return weights.embedding + weights.other + sum(weights.per_layer[:first])


def _recurrent_layers(shape: ModelShape) -> tuple[bool, ...]:
    """The layers with a recurrent state: those without KV heads, or every layer where all have both (Falcon-H1)."""
    if not shape.recurrent_bytes:
        return (False,) * shape.n_layer
    without = tuple(heads == 0 for heads in shape.n_head_kv)
    return without if any(without) else (True,) * shape.n_layer
