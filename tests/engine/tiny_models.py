"""Small models with random weights whose memory cannot be cut at any token, with the starter's vocabulary."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf

from scripts.workshop import shape_models
from scripts.workshop.mixed_layers import GEMMA4_E2B, LFM2_12B, QWEN35_08B, MixedShape

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n\n</think>\n\n{% endif %}"
)
"""Opens an answer with an empty thought and leaves it out of the history, as Qwen3.5's does."""

_SMALL: dict[str, Any] = {"n_vocab": 49152, "n_embd": 64, "n_ff": 128, "end_of_turn": "<|im_end|>"}
KINDS: dict[str, MixedShape] = {
    "hybrid": replace(
        QWEN35_08B, n_layer=4, n_head=2, n_head_kv=1, head_length=64, linear_heads=2, state=32, **_SMALL
    ),
    "convolution": replace(LFM2_12B, n_layer=4, n_head=2, n_head_kv=1, head_length=32, attention=(1, 3), **_SMALL),
    "window": replace(
        GEMMA4_E2B, n_layer=10, n_head=2, n_head_kv=1, head_length=64, window=64, window_head_length=32, shared_kv=5,
        n_ff_shared=256, per_layer=16, **_SMALL,
    ),
}  # fmt: skip


def write(kind: str, path: Path) -> Path:
    """Write the model of one of :data:`KINDS`."""
    fields = gguf.GGUFReader(shape_models.starter_model()).fields
    vocabulary = {name: field.contents() for name, field in fields.items() if name.startswith("tokenizer.ggml.")}
    return shape_models.write_f16(KINDS[kind], path.parent, path, vocab=vocabulary, chat=TEMPLATE)


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))
