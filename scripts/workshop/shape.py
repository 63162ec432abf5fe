"""The dimensions of a published model, and of one of its tensors: what shape models are written from."""

from __future__ import annotations

from dataclasses import dataclass

LOGIT_SPREAD = 4.0
"""Standard deviation of the logits: about what a trained model has, so samplers meet a believable distribution."""
BLOCK_GAIN = 2.0
"""How much louder a block speaks than its input. Where output and embedding are one matrix, a quiet block lets the
token that went in win again, and the model writes one character for ever: no draft, cache or sampler meets that."""
FOCUS = 2.0
"""Gain of queries and keys: attention that looks at few positions instead of averaging all away."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The dimensions of one published model, in elements, and where its vocabulary and template come from."""

    name: str
    arch: str
    n_layer: int
    n_embd: int
    n_ff: int
    n_head: int
    n_head_kv: int
    n_vocab: int
    n_ctx_train: int
    rope_base: float
    rms_eps: float
    vocab: str
    """``ggml-vocab-NAME.gguf`` in the vendored source, or ``spm``: trained here by sentencepiece."""
    template: str
    """A file in the vendored ``models/templates``, or ``zephyr``."""
    end_of_turn: str
    """Text of the token that ends a turn."""
    qkv_bias: bool = False
    tied: bool = True
    rope_factor: float = 0.0
    """Llama 3's frequency scaling; 0 for none. Stored as the tensor ``rope_freqs.weight``."""

    @property
    def head_dim(self) -> int:
        """Elements of one attention head."""
        return self.n_embd // self.n_head


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor to write. ``spread`` is the standard deviation of its elements; 0 means all ``fill``."""

    name: str
    shape: tuple[int, ...]
    spread: float = 0.0
    bias: bool = False
    fill: float = 1.0
    is_kernel: bool = False
    """Of a convolution over time: llama.cpp computes with it in F32."""

    @property
    def is_matrix(self) -> bool:
        """Matrices are stored as F16 before quantization, vectors as F32, which llama-quantize leaves alone."""
        return len(self.shape) == 2 and not self.is_kernel
