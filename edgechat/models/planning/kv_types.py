"""Element types of the KV cache, for keys and values alike: sizes, ggml's numbers, order of preference. Pure."""

from __future__ import annotations

from typing import NamedTuple


class KvType(NamedTuple):
    """How one type is stored: ``block`` elements in ``block_bytes`` bytes."""

    block: int
    block_bytes: int
    ggml_type: int
    """Its number in ``enum ggml_type``."""

    def row_bytes(self, elements: int) -> int:
        """Bytes of a row, in whole blocks."""
        return -(-elements // self.block) * self.block_bytes


DEFAULT_KV_TYPE = "f16"
KV_TYPES = {
    DEFAULT_KV_TYPE: KvType(1, 2, 1),
    # llama.cpp needs flash attention for a quantized V, and has it on every backend here.
    "q8_0": KvType(32, 34, 8),
}
"""By name, largest first: a plan takes the first that fits."""
SMALLER_KV_TYPES = tuple(name for name in KV_TYPES if name != DEFAULT_KV_TYPE)
