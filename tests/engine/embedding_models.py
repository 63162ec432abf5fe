"""Small embedding models made here: a BERT with random weights, and its own forward pass in numpy to hold against."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gguf
import numpy as np
from gguf.scripts.gguf_new_metadata import MetadataDetails, copy_with_new_metadata

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

POOLING = {"none": 0, "mean": 1, "cls": 2, "last": 3, "rank": 4}

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_PAD, _UNK, _CLS, _SEP, _MASK = range(5)
WORDS = (
    "the",
    "river",
    "rises",
    "snow",
    "melts",
    "when",
    "a",
    "cat",
    "sat",
    "on",
    "mat",
    "board",
    "is",
    "warm",
    "cold",
)
_N_EMBD, _N_FF, _N_HEAD, _N_LAYER, _EPSILON = 32, 64, 4, 2, 1e-12
N_POSITIONS = 40
"""Tokens in one text, at most: fewer than the 256 to which llama.cpp pads a context."""


@dataclass(frozen=True)
class TinyBert:
    """The weights by their names in the file, for texts of :data:`WORDS`."""

    weights: dict[str, Floats]
    pooling: str

    def vector(self, text: str) -> Floats:
        """The vector of a text, of length 1, by the formulas of the BERT paper."""
        ids = [_CLS, *(len(_SPECIAL) + WORDS.index(word) for word in text.split()), _SEP]
        w = self.weights
        x = w["token_embd.weight"][ids] + w["token_types.weight"][0] + w["position_embd.weight"][: len(ids)]
        x = self._norm(x, "token_embd_norm")
        for layer in range(_N_LAYER):
            block = f"blk.{layer}."
            x = self._norm(x + self._attention(x, block), block + "attn_output_norm")
            inner = self._linear(x, block + "ffn_up")
            inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
            x = self._norm(x + self._linear(inner, block + "ffn_down"), block + "layer_output_norm")
        pooled = x.mean(axis=0) if self.pooling == "mean" else x[0]
        return np.asarray(pooled / np.linalg.norm(pooled), dtype=np.float32)

    def _attention(self, x: Floats, block: str) -> Floats:
        q, k, v = (
            self._linear(x, f"{block}attn_{name}").reshape(len(x), _N_HEAD, -1).transpose(1, 0, 2) for name in "qkv"
        )
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        seen = (shares / shares.sum(axis=-1, keepdims=True)) @ v
        return self._linear(seen.transpose(1, 0, 2).reshape(len(x), -1), block + "attn_output")

    def _linear(self, x: Floats, name: str) -> Floats:
        return np.asarray(x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"])

    def _norm(self, x: Floats, name: str) -> Floats:
        centred = x - x.mean(axis=-1, keepdims=True)
        even = centred / np.sqrt(x.var(axis=-1, keepdims=True) + _EPSILON)
        return np.asarray(even * self.weights[name + ".weight"] + self.weights[name + ".bias"])


def tiny_bert(path: Path, pooling: str = "cls") -> TinyBert:
    """Write one."""
    draw = np.random.default_rng(7)
    shapes = {
        "token_embd.weight": (len(_SPECIAL) + len(WORDS), _N_EMBD),
        "token_types.weight": (2, _N_EMBD),
        "position_embd.weight": (N_POSITIONS, _N_EMBD),
        "token_embd_norm.weight": (_N_EMBD,),
        "token_embd_norm.bias": (_N_EMBD,),
    }
    for layer in range(_N_LAYER):
        for name, out, into in (
            *((f"attn_{each}", _N_EMBD, _N_EMBD) for each in ("q", "k", "v", "output")),
            ("ffn_up", _N_FF, _N_EMBD),
            ("ffn_down", _N_EMBD, _N_FF),
        ):
            shapes |= {f"blk.{layer}.{name}.weight": (out, into), f"blk.{layer}.{name}.bias": (out,)}
        for name in ("attn_output_norm", "layer_output_norm"):
            shapes |= {f"blk.{layer}.{name}.weight": (_N_EMBD,), f"blk.{layer}.{name}.bias": (_N_EMBD,)}
    weights = {name: draw.normal(scale=0.5, size=shape).astype(np.float32) for name, shape in shapes.items()}
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(N_POSITIONS)
    writer.add_embedding_length(_N_EMBD)
    writer.add_block_count(_N_LAYER)
    writer.add_feed_forward_length(_N_FF)
    writer.add_head_count(_N_HEAD)
    writer.add_layer_norm_eps(_EPSILON)
    writer.add_causal_attention(False)
    if pooling != "none":
        writer.add_uint32("bert.pooling_type", POOLING[pooling])
    _add_vocabulary(writer)
    for name, values in weights.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return TinyBert(weights, pooling)


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    writer.add_tokenizer_model("bert")
    writer.add_token_type_count(2)
    # Words that begin a word carry the mark of the space before them, as the converter writes them.
    writer.add_token_list([*_SPECIAL, *(f"\u2581{word}" for word in WORDS)])
    writer.add_token_types([3] * len(_SPECIAL) + [1] * len(WORDS))
    for add, token in (
        (writer.add_bos_token_id, _CLS),
        (writer.add_eos_token_id, _SEP),
        (writer.add_sep_token_id, _SEP),
        (writer.add_pad_token_id, _PAD),
        (writer.add_unk_token_id, _UNK),
        (writer.add_mask_token_id, _MASK),
    ):
        add(token)


def with_pooling(source: Path, path: Path, pooling: str) -> Path:
    """A copy of a chat model of the llama architecture that says it is made for embedding."""
    reader = gguf.GGUFReader(source)
    detail = MetadataDetails(gguf.GGUFValueType.UINT32, POOLING[pooling])
    copy_with_new_metadata(reader, gguf.GGUFWriter(path, "llama"), {"llama.pooling_type": detail}, [])
    return path
