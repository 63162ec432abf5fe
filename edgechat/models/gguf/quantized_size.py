"""The sizes of quantized files, computed from a model's shape: the type and bytes that llama.cpp gives each tensor.

Follows ``llama_tensor_get_type`` in ``src/llama-quant.cpp`` of llama-cpp-python 0.3.36 for Q3_K_M, Q4_K_M, Q4_0 and
Q8_0, and the tensor lists in ``src/models/``. Dense language models only: publishers quantize experts and linear
attention by their own rules. Reads no file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from edgechat.errors import InvalidInputError
from edgechat.models.gguf.repack import is_repacked
from edgechat.models.gguf.shape import MatrixElements, WeightBytes
from edgechat.models.gguf.tensor_types import BY_NAME, tensor_bytes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from edgechat.models.gguf.shape import ModelShape

QUANTS = {"Q3_K_M": "Q3_K", "Q4_K_M": "Q4_K", "Q4_0": "Q4_0", "Q8_0": "Q8_0"}
"""The quantizations that can be computed, with the type that most tensors get."""

DENSE = frozenset({
    "llama", "qwen2", "qwen2vl", "qwen3", "qwen3vl", "gemma2", "gemma3", "gemma4", "phi3", "lfm2", "granite", "smollm3",
    "mistral3", "hunyuan-dense",
})  # fmt: skip
"""Architectures whose list of tensors follows from the shape."""

METADATA_BYTES_PER_TOKEN = (22, 66)
"""Least and most bytes of metadata (token list, merges, scores, chat template) for each vocabulary entry, over 17
published tokenizers: 0.72 MB for 32,064 tokens of Phi-3.5, 8.2 MB for LFM2.5-2.6B's 128,000."""

_ALIGNMENT = 32
_FALLBACK = {"Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
_QK_NORM = frozenset({"qwen3", "qwen3vl", "gemma3", "gemma4", "lfm2", "hunyuan-dense"})
_QKV_BIAS = frozenset({"qwen2", "qwen2vl"})
_POST_NORMS = frozenset({"gemma2", "gemma3", "gemma4"})


class PlannedTensor(NamedTuple):
    """One tensor of a computed file: dims in elements, fastest first."""

    name: str
    dims: tuple[int, ...]
    kind: str
    """ggml type."""

    @property
    def nbytes(self) -> int:
        """Bytes in the file, with the padding to the next tensor."""
        return -(-tensor_bytes(BY_NAME[self.kind], self.dims) // _ALIGNMENT) * _ALIGNMENT


@lru_cache(maxsize=1024)  # a plan asks for every file of the catalog: 0.3 s on a desktop core
def quantized_sizes(
    shape: ModelShape,
    quant: str,
    *,
    features: Collection[str] = (),
    metadata_bytes: int | None = None,
    imatrix: bool = False,
    old_rules: bool = False,
) -> WeightBytes:
    """The bytes of a file of this shape and quantization.

    Tensor bytes are exact except for rope factors, which are not in a shape (under 4 KiB).

    Args:
        shape: a dense model; see ``DENSE``.
        quant: one of ``QUANTS``, in any case.
        features: SIMD features, for ``repackable``; a tuple, since results are kept.
        metadata_bytes: the header's size, a constant for each tokenizer. None takes the largest size seen for a
            vocabulary of this size (``METADATA_BYTES_PER_TOKEN``): at most 44 bytes a token too much.
        imatrix: the publisher used an importance matrix, which gives the first ``ffn_down`` of Q4_0 files Q4_1.
        old_rules: the file was made before 2025's change to fused ``attn_qkv`` tensors (Phi-3, Phi-4-mini).

    Raises:
        InvalidInputError: the quantization or the architecture's layout is not known.
    """
    tensors = list(quantized_tensors(shape, quant, imatrix=imatrix, old_rules=old_rules))
    per_layer = [0] * shape.n_layer
    elements: dict[str, int] = {}
    single: dict[str, PlannedTensor] = {}
    for tensor in tensors:
        if tensor.name.startswith("blk."):
            per_layer[int(tensor.name.split(".", 2)[1])] += tensor.nbytes
            if len(tensor.dims) > 1:
                elements[tensor.kind] = elements.get(tensor.kind, 0) + math.prod(tensor.dims)
        else:
            single[tensor.name] = tensor
    embedding = single["token_embd.weight"]
    output = single.get("output.weight", embedding)
    total = sum(tensor.nbytes for tensor in tensors)
    other = sum(tensor.nbytes for tensor in single.values()) - embedding.nbytes
    output_repacked = is_repacked("output.weight", output.dims, output.kind, features)
    lookup = single.get("per_layer_token_embd.weight")
    return WeightBytes(
        file=total + (METADATA_BYTES_PER_TOKEN[1] * shape.n_vocab if metadata_bytes is None else metadata_bytes),
        embedding=embedding.nbytes,
        output=output.nbytes,
        per_layer=tuple(per_layer),
        repackable=(output.nbytes if output_repacked else 0)
        + sum(t.nbytes for t in tensors if t is not output and is_repacked(t.name, t.dims, t.kind, features)),
        other=other - (0 if output is embedding else output.nbytes),
        repackable_output=output.nbytes if output_repacked else 0,
        per_layer_embedding=lookup.nbytes if lookup else 0,
        matrices=tuple(MatrixElements(kind, count) for kind, count in sorted(elements.items())),
    )


def quantized_tensors(
    shape: ModelShape, quant: str, *, imatrix: bool = False, old_rules: bool = False
) -> Iterator[PlannedTensor]:
    """Every tensor with the type that the quantizer gives it. Arguments and errors as ``quantized_sizes``."""
    quant = quant.upper()
    if quant not in QUANTS:
        raise InvalidInputError(f"Sizes of {quant} are not computed.", hint=f"Choose one of {', '.join(QUANTS)}.")
    if shape.arch not in DENSE or shape.n_expert:
        raise InvalidInputError(
            f"The tensors of a {shape.arch} model do not follow from its shape.", hint="Give its published sizes."
        )
    layout = list(_layout(shape))
    n_values = sum(_is_value(name) for name, _ in layout)
    rules = _Rules(quant, shape.n_layer, n_values, shape.tied_embeddings, imatrix, old_rules)
    values = downs = 0
    for name, dims in layout:
        yield PlannedTensor(name, dims, rules.kind(name, dims, values, downs))
        values += _is_value(name)
        downs += ".ffn_down." in name


def _layout(shape: ModelShape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and dimensions in the order in which the quantizer meets them, layer by layer."""
    embd, vocab, per_layer = shape.n_embd, shape.n_vocab, shape.n_embd_per_layer
    yield "token_embd.weight", (embd, vocab)
    yield "output_norm.weight", (embd,)
    if not shape.tied_embeddings:
        yield "output.weight", (embd, vocab)
    if shape.arch == "phi3":
        yield "rope_factors_long.weight", (shape.key_length // 2,)
        yield "rope_factors_short.weight", (shape.key_length // 2,)
    if per_layer:
        yield "per_layer_token_embd.weight", (per_layer * shape.n_layer, vocab)
        yield "per_layer_model_proj.weight", (embd, per_layer * shape.n_layer)
        yield "per_layer_proj_norm.weight", (per_layer,)
        yield "rope_freqs.weight", (shape.key_length // 2,)
    for layer in range(shape.n_layer):
        for name, dims in _block(shape, layer):
            yield f"blk.{layer}.{name}", dims


def _block(shape: ModelShape, layer: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    embd, ff = shape.n_embd, shape.n_ff[layer]
    yield "attn_norm.weight", (embd,)
    yield "ffn_norm.weight", (embd,)
    if shape.arch in _POST_NORMS:
        yield "post_attention_norm.weight", (embd,)
        yield "post_ffw_norm.weight", (embd,)
    if shape.n_head_kv[layer]:
        yield from _attention(shape, layer)
    elif shape.arch == "lfm2":
        convolutions = sum(kv == 0 for kv in shape.n_head_kv)
        yield "shortconv.conv.weight", (shape.recurrent_bytes // (convolutions * embd * 4) + 1, embd)
        yield "shortconv.in_proj.weight", (embd, 3 * embd)
        yield "shortconv.out_proj.weight", (embd, embd)
    if shape.arch != "phi3":
        yield "ffn_gate.weight", (embd, ff)
    yield "ffn_down.weight", (ff, embd)
    yield "ffn_up.weight", (embd, 2 * ff if shape.arch == "phi3" else ff)
    if shape.n_embd_per_layer:
        yield "inp_gate.weight", (embd, shape.n_embd_per_layer)
        yield "proj.weight", (shape.n_embd_per_layer, embd)
        yield "post_norm.weight", (embd,)
    if shape.arch == "gemma4":
        yield "layer_output_scale.weight", (1,)


def _attention(shape: ModelShape, layer: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    embd, heads, heads_kv = shape.n_embd, shape.n_head[layer], shape.n_head_kv[layer]
    slides = bool(shape.sliding_layers) and shape.sliding_layers[layer]
    key = (slides and shape.key_length_swa) or shape.key_length
    value = (slides and shape.value_length_swa) or shape.value_length
    if shape.arch == "phi3":
        yield "attn_qkv.weight", (embd, key * heads + (key + value) * heads_kv)
    else:
        yield "attn_q.weight", (embd, key * heads)
        yield "attn_k.weight", (embd, key * heads_kv)
        yield "attn_v.weight", (embd, value * heads_kv)
    yield "attn_output.weight", (value * heads, embd)
    if shape.arch in _QKV_BIAS:
        yield "attn_q.bias", (key * heads,)
        yield "attn_k.bias", (key * heads_kv,)
        yield "attn_v.bias", (value * heads_kv,)
    if shape.arch in _QK_NORM:
        yield "attn_q_norm.weight", (key,)
        yield "attn_k_norm.weight", (key,)


def _is_value(name: str) -> bool:
    """Fused query-key-value tensors count as values (``category_is_attn_v``)."""
    return ".attn_v.weight" in name or ".attn_qkv.weight" in name


def _more_bits(index: int, count: int) -> bool:
    """``use_more_bits``: the first and last eighth, and every third in between."""
    return index < count // 8 or index >= 7 * count // 8 or (index - count // 8) % 3 == 2


@dataclass(frozen=True, slots=True)
class _Rules:
    """What decides a tensor's type beside its name and dimensions."""

    quant: str
    n_layer: int
    n_values: int
    tied: bool
    imatrix: bool
    old: bool

    def kind(self, name: str, dims: tuple[int, ...], values: int, downs: int) -> str:
        """The type of one tensor, after so many value tensors and ``ffn_down`` tensors."""
        if len(dims) < 2 or "norm.weight" in name or "shortconv.conv" in name:
            return "F32"
        if "per_layer_model_proj" in name:
            return "BF16"  # left as published
        kind = QUANTS[self.quant]
        if name == "output.weight" or (self.tied and "token_embd" in name):
            kind = "Q8_0" if kind == "Q8_0" or dims[0] % BY_NAME[kind].block else "Q6_K"
        elif _is_value(name):
            kind = self._value(name, values)
        elif ".ffn_down." in name:
            kind = self._down(downs)
        elif ".attn_output." in name and self.quant == "Q3_K_M":
            kind = "Q4_K"
        if dims[0] % BY_NAME[kind].block:
            kind = _FALLBACK.get(kind, "F16")
        return kind if dims[0] % BY_NAME[kind].block == 0 else "F16"

    def _value(self, name: str, index: int) -> str:
        if self.old and "attn_qkv" in name:
            return {"Q3_K_M": "Q4_K", "Q4_K_M": "Q5_K"}.get(self.quant, QUANTS[self.quant])
        if self.quant == "Q3_K_M":
            return "Q5_K" if index < 2 else "Q4_K"
        return "Q6_K" if self.quant == "Q4_K_M" and _more_bits(index, self.n_values) else QUANTS[self.quant]

    def _down(self, index: int) -> str:
        if self.quant == "Q3_K_M":
            return "Q5_K" if index < self.n_layer // 16 else "Q4_K"
        if self.quant == "Q4_K_M" and _more_bits(index, self.n_layer):
            return "Q6_K"
        return "Q4_1" if self.quant == "Q4_0" and self.imatrix and index < self.n_layer // 8 else QUANTS[self.quant]
