"""Shapes whose layers differ: recurrent ones beside attention (Qwen3.5, LFM2), sliding windows (Gemma 4).

The tensors follow llama.cpp's ``src/models/{qwen35,lfm2,gemma4}.cpp``; dimensions are those of the published models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.workshop.shape import BLOCK_GAIN, FOCUS, LOGIT_SPREAD, Shape, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    import gguf


@dataclass(frozen=True, slots=True)
class MixedShape(Shape):
    """A model whose layers are not all alike."""

    head_length: int = 0
    """Elements of one head of full attention."""
    interval: int = 0
    """Every so many layers one has full attention; the others are recurrent, or see a window."""
    attention: tuple[int, ...] = ()
    """The layers with attention, where no interval says which."""
    linear_heads: int = 0
    """Value heads of linear attention, as many as key heads; each has ``state`` elements."""
    state: int = 0
    kernel: int = 0
    """Tokens under the convolution over time."""
    window: int = 0
    window_head_length: int = 0
    """Elements of one head of a layer with a window."""
    shared_kv: int = 0
    """Trailing layers that use the keys and values of earlier ones."""
    n_ff_shared: int = 0
    """Feed-forward width of these."""
    per_layer: int = 0
    """Width of the per-layer embeddings."""

    def has_full_attention(self, layer: int) -> bool:
        """Whether a layer attends to all tokens before it."""
        return (layer + 1) % self.interval == 0 if self.interval else layer in self.attention

    def width(self, layer: int) -> int:
        """Feed-forward width of a layer."""
        return self.n_ff_shared if self.n_ff_shared and layer >= self.n_layer - self.shared_kv else self.n_ff


QWEN35_08B = MixedShape(
    "qwen3.5-0.8b", arch="qwen35", n_layer=24, n_embd=1024, n_ff=3584, n_head=8, n_head_kv=2, n_vocab=248320,
    n_ctx_train=262144, rope_base=1e7, rms_eps=1e-6, vocab="qwen35", template="Qwen3.5-4B.jinja",
    end_of_turn="<|im_end|>", head_length=256, interval=4, linear_heads=16, state=128, kernel=4,
)  # fmt: skip
LFM2_12B = MixedShape(
    "lfm2-1.2b", arch="lfm2", n_layer=16, n_embd=2048, n_ff=8192, n_head=32, n_head_kv=8, n_vocab=65536,
    n_ctx_train=128000, rope_base=1e6, rms_eps=1e-5, vocab="llama-bpe", template="LFM2.5-Instruct.jinja",
    end_of_turn="<|im_end|>", head_length=64, attention=(2, 5, 8, 10, 12, 14), kernel=3,
)  # fmt: skip
GEMMA4_E2B = MixedShape(
    "gemma-4-e2b", arch="gemma4", n_layer=35, n_embd=1536, n_ff=6144, n_head=8, n_head_kv=1, n_vocab=262144,
    n_ctx_train=131072, rope_base=1e6, rms_eps=1e-6, vocab="gemma-4", template="google-gemma-4-31B-it.jinja",
    end_of_turn="<turn|>", head_length=512, interval=5, window=512, window_head_length=256, shared_kv=20,
    n_ff_shared=12288, per_layer=256,
)  # fmt: skip


def tensors(shape: MixedShape) -> Iterator[Tensor]:
    """Every tensor in file order."""
    embd, into = shape.n_embd, 1 / math.sqrt(shape.n_embd)
    # Gemma scales embeddings up by sqrt(n_embd) as they come in.
    yield Tensor("token_embd.weight", (shape.n_vocab, embd), LOGIT_SPREAD * into)
    # The name that LFM2's files have it under.
    yield Tensor("token_embd_norm.weight" if shape.arch == "lfm2" else "output_norm.weight", (embd,))
    if shape.per_layer:
        rows = shape.per_layer * shape.n_layer
        yield Tensor("per_layer_token_embd.weight", (shape.n_vocab, rows), 1 / math.sqrt(shape.per_layer))
        yield Tensor("per_layer_model_proj.weight", (rows, embd), into)
        yield Tensor("per_layer_proj_norm.weight", (shape.per_layer,))
        yield Tensor("rope_freqs.weight", (shape.head_length // 2,))
    block = {"qwen35": _qwen35, "lfm2": _lfm2, "gemma4": _gemma4}[shape.arch]
    for layer in range(shape.n_layer):
        yield from block(shape, layer)
        n_ff = shape.width(layer)
        yield Tensor(f"blk.{layer}.ffn_gate.weight", (n_ff, embd), into)
        yield Tensor(f"blk.{layer}.ffn_up.weight", (n_ff, embd), into)
        yield Tensor(f"blk.{layer}.ffn_down.weight", (embd, n_ff), BLOCK_GAIN / math.sqrt(n_ff))


def _attention(shape: MixedShape, block: str, length: int, *, gated: bool = False) -> list[Tensor]:
    """The tensors of attention with heads of ``length``; ``gated`` queries carry a gate of their own size."""
    embd, into, rows = shape.n_embd, 1 / math.sqrt(shape.n_embd), shape.n_head * length
    return [
        Tensor(block + "attn_q.weight", (2 * rows if gated else rows, embd), FOCUS * into),
        Tensor(block + "attn_k.weight", (shape.n_head_kv * length, embd), FOCUS * into),
        Tensor(block + "attn_v.weight", (shape.n_head_kv * length, embd), into),
        Tensor(block + "attn_k_norm.weight", (length,)),
        Tensor(block + "attn_q_norm.weight", (length,)),
        Tensor(block + "attn_output.weight", (embd, rows), BLOCK_GAIN / math.sqrt(rows)),
    ]


def _qwen35(shape: MixedShape, layer: int) -> Iterator[Tensor]:
    block, embd, into = f"blk.{layer}.", shape.n_embd, 1 / math.sqrt(shape.n_embd)
    yield Tensor(block + "attn_norm.weight", (embd,))
    yield Tensor(block + "post_attention_norm.weight", (embd,))
    if shape.has_full_attention(layer):
        yield from _attention(shape, block, shape.head_length, gated=True)
        return
    values = shape.linear_heads * shape.state
    yield Tensor(block + "attn_qkv.weight", (3 * values, embd), into)
    yield Tensor(block + "attn_gate.weight", (values, embd), into)
    yield Tensor(block + "ssm_conv1d.weight", (3 * values, shape.kernel), 1 / math.sqrt(shape.kernel), is_kernel=True)
    yield Tensor(block + "ssm_dt.bias", (shape.linear_heads,), 0.1, bias=True)
    # The state forgets slowly: half of it within some ten tokens.
    yield Tensor(block + "ssm_a", (shape.linear_heads,), fill=-0.1)
    yield Tensor(block + "ssm_beta.weight", (shape.linear_heads, embd), into)
    yield Tensor(block + "ssm_alpha.weight", (shape.linear_heads, embd), into)
    yield Tensor(block + "ssm_norm.weight", (shape.state,))
    yield Tensor(block + "ssm_out.weight", (embd, values), BLOCK_GAIN / math.sqrt(values))


def _lfm2(shape: MixedShape, layer: int) -> Iterator[Tensor]:
    block, embd, into = f"blk.{layer}.", shape.n_embd, 1 / math.sqrt(shape.n_embd)
    yield Tensor(block + "ffn_norm.weight", (embd,))
    yield Tensor(block + "attn_norm.weight", (embd,))
    if shape.has_full_attention(layer):
        yield from _attention(shape, block, shape.head_length)
        return
    kernel = 1 / math.sqrt(shape.kernel)
    yield Tensor(block + "shortconv.conv.weight", (embd, shape.kernel), kernel, is_kernel=True)
    yield Tensor(block + "shortconv.in_proj.weight", (3 * embd, embd), into)
    yield Tensor(block + "shortconv.out_proj.weight", (embd, embd), BLOCK_GAIN * into)


def _gemma4(shape: MixedShape, layer: int) -> Iterator[Tensor]:
    block, embd = f"blk.{layer}.", shape.n_embd
    length = shape.head_length if shape.has_full_attention(layer) else shape.window_head_length
    for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
        yield Tensor(f"{block}{name}.weight", (embd,))
    # Layers that share another one's keys and values carry their own in the published file all the same.
    yield from _attention(shape, block, length)
    yield Tensor(block + "layer_output_scale.weight", (1,))
    if shape.per_layer:
        yield Tensor(block + "inp_gate.weight", (shape.per_layer, embd), 1 / math.sqrt(embd))
        yield Tensor(block + "proj.weight", (embd, shape.per_layer), 1 / math.sqrt(shape.per_layer))
        yield Tensor(block + "post_norm.weight", (embd,))


def add_metadata(writer: gguf.GGUFWriter, shape: MixedShape) -> None:
    """The hyperparameters that a plain transformer does not have."""
    arch = shape.arch
    writer.add_key_length(shape.head_length)
    writer.add_value_length(shape.head_length)
    if arch == "qwen35":
        values = shape.linear_heads * shape.state
        writer.add_head_count_kv(shape.n_head_kv)
        writer.add_rope_dimension_count(shape.head_length // 4)
        quarter = shape.head_length // 8
        third = (quarter + 2) // 3
        writer.add_rope_dimension_sections([third, third, quarter - 2 * third, 0])
        writer.add_ssm_conv_kernel(shape.kernel)
        writer.add_ssm_inner_size(values)
        writer.add_ssm_state_size(shape.state)
        writer.add_ssm_time_step_rank(shape.linear_heads)
        writer.add_ssm_group_count(shape.linear_heads)
        writer.add_uint32(f"{arch}.full_attention_interval", shape.interval)
    elif arch == "lfm2":
        full = [shape.n_head_kv if shape.has_full_attention(layer) else 0 for layer in range(shape.n_layer)]
        writer.add_head_count_kv(full)
        writer.add_vocab_size(shape.n_vocab)
        writer.add_shortconv_l_cache(shape.kernel)
    else:
        writer.add_head_count_kv(shape.n_head_kv)
        writer.add_rope_dimension_count(shape.head_length)
        writer.add_uint32(f"{arch}.rope.dimension_count_swa", shape.window_head_length)
        writer.add_float32(f"{arch}.rope.freq_base_swa", 1e4)
        writer.add_uint32(f"{arch}.attention.key_length_swa", shape.window_head_length)
        writer.add_uint32(f"{arch}.attention.value_length_swa", shape.window_head_length)
        writer.add_sliding_window(shape.window)
        sliding = [not shape.has_full_attention(layer) for layer in range(shape.n_layer)]
        writer.add_array(f"{arch}.attention.sliding_window_pattern", sliding)
        writer.add_uint32(f"{arch}.attention.shared_kv_layers", shape.shared_kv)
        writer.add_uint32(f"{arch}.embedding_length_per_layer_input", shape.per_layer)
        writer.add_float32(f"{arch}.final_logit_softcapping", 30.0)


def feed_forward(shape: MixedShape) -> int | list[int]:
    """Feed-forward width: one number, or one for each layer."""
    return [shape.width(layer) for layer in range(shape.n_layer)] if shape.n_ff_shared else shape.n_ff
