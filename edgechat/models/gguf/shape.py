"""The shape of one model: the facts about a GGUF that decide its memory and speed.

Made from a file's header (``header_shape.py``) or from a catalog entry; read by planning. Per-layer facts are tuples of
length ``n_layer``, because they differ between the layers of hybrids and of some dense models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Dimensions in elements; sizes in bytes."""

    arch: str
    """``general.architecture``: ``llama``, ``qwen2``, ``gemma3``, ``lfm2`` …"""
    n_layer: int
    n_embd: int
    n_ff: tuple[int, ...]
    n_head: tuple[int, ...]
    n_head_kv: tuple[int, ...]
    """0 on layers that keep no KV cells (convolution, linear attention)."""
    key_length: int
    """Elements of one key head; not always ``n_embd / n_head`` (Mistral-Nemo, Gemma)."""
    value_length: int
    n_vocab: int
    n_ctx_train: int
    """The context length that the file advertises: an upper bound, not a recommendation."""
    tied_embeddings: bool
    """True when the output matrix is the embedding matrix, so it is not stored twice."""
    sliding_window: int = 0
    """Tokens that a sliding layer sees; 0 when no layer slides."""
    sliding_layers: tuple[bool, ...] = ()
    """Which layers slide; empty when none does."""
    key_length_swa: int = 0
    """Key head elements on sliding layers where they differ; 0 means the same."""
    value_length_swa: int = 0
    n_expert: int = 0
    n_expert_used: int = 0
    recurrent_bytes: int = 0
    """Fixed state of recurrent or convolution layers for ONE sequence at f32."""
    shared_kv_layers: int = 0
    """Trailing layers that reuse another layer's KV (Gemma 3n/4)."""
    n_embd_per_layer: int = 0
    """Width of the per-layer embeddings of Gemma 3n/4; 0 elsewhere."""
    n_loop: int = 1
    """How often each block runs for one token (looped transformers: Nanbeige). ``n_layer`` counts the passes, each with
    a KV cache of its own; the weights of a block are in the file once."""
    notes: tuple[str, ...] = ()
    """Sentences on what was read approximately; empty for a known architecture."""


class MatrixElements(NamedTuple):
    """The elements of all block matrices of one type: what a prompt is multiplied with."""

    kind: str
    """ggml type, ``Q4_K``."""
    always: int
    """Elements that every token uses."""
    experts: int = 0
    """Elements in expert matrices, of which a token uses ``n_expert_used / n_expert``."""


@dataclass(frozen=True, slots=True)
class WeightBytes:
    """The bytes of a model file, by the parts that memory planning needs."""

    file: int
    """The whole file."""
    embedding: int
    """``token_embd.weight``: only rows of it are read, it is never repacked, and it stays on the CPU."""
    output: int
    """``output.weight`` (equal to the embedding's size when tied: llama.cpp then reads the embedding as output)."""
    per_layer: tuple[int, ...]
    """Bytes of each block's tensors."""
    repackable: int
    """Bytes of tensors in types that the CPU backend can repack (Q4_0, Q4_K, IQ4_NL, … on this CPU)."""
    other: int = 0
    """Everything else: norms outside blocks, rope factors, per-layer embeddings."""
    repackable_output: int = 0
    """The output matrix's part of ``repackable``. With tied embeddings it becomes a copy in every load mode, because
    the embedding itself is never repacked."""
    experts: int = 0
    """The part of ``per_layer`` in expert matrices, of which one token reads ``n_expert_used / n_expert``."""
    per_layer_embedding: int = 0
    """The part of ``other`` in ``per_layer_token_embd.weight`` (Gemma 3n/4), of which a token reads one row. Gemma 4's
    is left on the disk when llama.cpp loads with ``lazy_mode`` ON; AUTO does so only above 4 GiB."""
    matrices: tuple[MatrixElements, ...] = ()
    """The elements of the matrices of all blocks by type; empty where nobody counted them."""
    unused: int = 0
    """Bytes of tensors that llama.cpp skips (draft layers for multi-token prediction): on disk, never in memory."""
