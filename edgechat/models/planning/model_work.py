"""What a model asks for one token, for the speed model: bytes read, matrix products, attention. Pure.

Bytes count only where a token reads them: not an untied input embedding, not idle experts, not the per-layer tables of
Gemma 3n and 4, of which it reads one row; the blocks of a looped transformer once for each pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.models.planning.kv_types import KV_TYPES
from edgechat.models.planning.speed_model import Work

if TYPE_CHECKING:
    from edgechat.models.gguf.shape import ModelShape, WeightBytes
    from edgechat.models.planning.plan import LoadSettings

_LINEAR_ATTENTION = frozenset({"qwen35", "qwen3next"})
_SAME_SPEED = {"Q2_K": "q3_k", "BF16": "f16"}
"""Types that published rows do not have, with one that costs about as much."""
_BITS_PER_ELEMENT = 4.8
"""Where nobody counted the matrices' elements: Q4_K_M."""


def model_work(shape: ModelShape, weights: WeightBytes, settings: LoadSettings) -> Work:
    """The work of one token with these settings."""
    used = shape.n_expert_used / shape.n_expert if shape.n_expert else 1.0
    layers = (sum(weights.per_layer) - weights.experts * (1 - used)) * shape.n_loop
    elements = {item.kind: (item.always + item.experts * used) * shape.n_loop for item in weights.matrices}
    params = sum(elements.values()) or layers * 8 / _BITS_PER_ELEMENT
    width, stored = _key_width(shape), KV_TYPES[settings.kv_type]
    return Work(
        # One sequence's recurrent state is read and written.
        read_bytes=layers + weights.output + weights.other - weights.per_layer_embedding + 2 * shape.recurrent_bytes,
        params=round(params),
        kv_bytes=round(sum(kv * both for kv, both in zip(shape.n_head_kv, width, strict=True))
                       * stored.block_bytes / stored.block),
        attention=sum(
            2 * heads * both for heads, kv, both in zip(shape.n_head, shape.n_head_kv, width, strict=True) if kv
        ),
        window=shape.sliding_window,
        activations=sum(shape.n_embd + n_ff * (shape.n_expert_used or 1) for n_ff in shape.n_ff),
        types=tuple((_type(kind), count / params) for kind, count in elements.items()) or (("q4_k", 1.0),),
        kind=_kind(shape),
        repacked=settings.repack,
    )  # fmt: skip


def _key_width(shape: ModelShape) -> list[int]:
    """Elements of a key head and a value head together, by layer."""
    full = shape.key_length + shape.value_length
    sliding = (shape.key_length_swa or shape.key_length) + (shape.value_length_swa or shape.value_length)
    slides = shape.sliding_layers or (False,) * shape.n_layer
    return [sliding if each else full for each in slides]


def _kind(shape: ModelShape) -> str:
    if shape.n_expert:
        return "moe"
    if shape.arch in _LINEAR_ATTENTION:
        return "deltanet"
    if shape.arch in {"gemma2", "gemma3n"}:
        return shape.arch
    return "ple" if shape.n_embd_per_layer else "dense"


def _type(kind: str) -> str:
    if kind in _SAME_SPEED:
        return _SAME_SPEED[kind]
    return "iq3" if kind.startswith(("IQ1", "IQ2", "IQ3")) else kind.lower()
