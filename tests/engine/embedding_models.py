"""Small embedding models with random weights, an encoder and a decoder; their forward pass in numpy is the oracle."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gguf
import numpy as np
from gguf.scripts.gguf_new_metadata import MetadataDetails, copy_with_new_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping
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
_N_VOCAB, _N_EMBD, _N_FF, _N_HEAD, _EPSILON = len(_SPECIAL) + len(WORDS), 32, 64, 4, 1e-6
_BLOCKS = ("blk.0.", "blk.1.")
_ATTENTION = {f"attn_{name}": (_N_EMBD, _N_EMBD) for name in ("q", "k", "v", "output")}
N_POSITIONS = 40
"""Tokens in one text of the encoder, at most: fewer than the 256 to which llama.cpp pads a context."""


@dataclass(frozen=True)
class Oracle:
    """A model's weights by their names in the file, and what it must make of texts of :data:`WORDS`."""

    weights: dict[str, Floats]
    pooling: str

    def vector(self, text: str) -> Floats:
        """The vector of a text, of length 1."""
        ids = [_CLS, *(len(_SPECIAL) + WORDS.index(word) for word in text.split()), _SEP]
        states = self._states(ids)
        pooled = {"mean": states.mean(axis=0), "cls": states[0], "last": states[-1]}[self.pooling]
        return np.asarray(pooled / np.linalg.norm(pooled), dtype=np.float32)

    def _states(self, ids: list[int]) -> Floats:
        raise NotImplementedError

    def _linear(self, x: Floats, name: str) -> Floats:
        return np.asarray(x @ self.weights[name + ".weight"].T + self.weights.get(name + ".bias", np.float32(0)))

    def _attended(self, x: Floats, block: str, *, is_causal: bool) -> Floats:
        q, k, v = (
            self._linear(x, f"{block}attn_{name}").reshape(len(x), _N_HEAD, -1).transpose(1, 0, 2) for name in "qkv"
        )
        if is_causal:
            q, k = _rotated(q), _rotated(k)
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        if is_causal:
            scores = np.where(np.tri(len(x), dtype=bool), scores, -np.inf)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        seen = (shares / shares.sum(axis=-1, keepdims=True)) @ v
        return self._linear(seen.transpose(1, 0, 2).reshape(len(x), -1), block + "attn_output")


class TinyBert(Oracle):
    """An encoder, by the formulas of the BERT paper."""

    def _states(self, ids: list[int]) -> Floats:
        w = self.weights
        x = w["token_embd.weight"][ids] + w["token_types.weight"][0] + w["position_embd.weight"][: len(ids)]
        x = self._norm(x, "token_embd_norm")
        for block in _BLOCKS:
            x = self._norm(x + self._attended(x, block, is_causal=False), block + "attn_output_norm")
            inner = self._linear(x, block + "ffn_up")
            inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
            x = self._norm(x + self._linear(inner, block + "ffn_down"), block + "layer_output_norm")
        return x

    def _norm(self, x: Floats, name: str) -> Floats:
        even = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + _EPSILON)
        return np.asarray(even * self.weights[name + ".weight"] + self.weights[name + ".bias"])


class TinyLlama(Oracle):
    """A decoder, by the formulas of the Llama paper."""

    def _states(self, ids: list[int]) -> Floats:
        x = self.weights["token_embd.weight"][ids]
        for block in _BLOCKS:
            x = x + self._attended(self._norm(x, block + "attn_norm"), block, is_causal=True)
            y = self._norm(x, block + "ffn_norm")
            gate = self._linear(y, block + "ffn_gate")
            x = x + self._linear(gate / (1 + np.exp(-gate)) * self._linear(y, block + "ffn_up"), block + "ffn_down")
        return self._norm(x, "output_norm")

    def _norm(self, x: Floats, name: str) -> Floats:
        return np.asarray(x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + _EPSILON) * self.weights[name + ".weight"])


def _rotated(x: Floats) -> Floats:
    """Rotary positions, on pairs of neighbours."""
    _, length, width = x.shape
    angle = np.arange(length)[:, None] * 10000.0 ** (-np.arange(0, width, 2) / width)
    turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angle)
    return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape).astype(np.float32)


def tiny_bert(path: Path, pooling: str = "cls") -> TinyBert:
    """Write an encoder."""
    norms = ["attn_output_norm", "layer_output_norm"]
    shapes = {
        "token_embd.weight": (_N_VOCAB, _N_EMBD),
        "token_types.weight": (2, _N_EMBD),
        "position_embd.weight": (N_POSITIONS, _N_EMBD),
        "token_embd_norm.weight": (_N_EMBD,),
        "token_embd_norm.bias": (_N_EMBD,),
    }
    for block in _BLOCKS:
        for name, (out, into) in {**_ATTENTION, "ffn_up": (_N_FF, _N_EMBD), "ffn_down": (_N_EMBD, _N_FF)}.items():
            shapes |= {f"{block}{name}.weight": (out, into), f"{block}{name}.bias": (out,)}
        shapes |= {f"{block}{name}.{part}": (_N_EMBD,) for name in norms for part in ("weight", "bias")}
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_context_length(N_POSITIONS)
    writer.add_layer_norm_eps(_EPSILON)
    writer.add_causal_attention(False)
    writer.add_token_type_count(2)
    return TinyBert(_written(writer, shapes, pooling), pooling)


def tiny_llama(path: Path, pooling: str = "last") -> TinyLlama:
    """Write a decoder."""
    shapes = {"token_embd.weight": (_N_VOCAB, _N_EMBD), "output_norm.weight": (_N_EMBD,)}
    feed = {"ffn_gate": (_N_FF, _N_EMBD), "ffn_up": (_N_FF, _N_EMBD), "ffn_down": (_N_EMBD, _N_FF)}
    for block in _BLOCKS:
        shapes |= {f"{block}{name}.weight": shape for name, shape in {**_ATTENTION, **feed}.items()}
        shapes |= {f"{block}{name}.weight": (_N_EMBD,) for name in ("attn_norm", "ffn_norm")}
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(2048)
    writer.add_layer_norm_rms_eps(_EPSILON)
    writer.add_rope_dimension_count(_N_EMBD // _N_HEAD)
    return TinyLlama(_written(writer, shapes, pooling), pooling)


def _written(writer: gguf.GGUFWriter, shapes: Mapping[str, tuple[int, ...]], pooling: str) -> dict[str, Floats]:
    draw = np.random.default_rng(7)
    weights = {name: draw.normal(scale=0.3, size=shape).astype(np.float32) for name, shape in shapes.items()}
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_embedding_length(_N_EMBD)
    writer.add_block_count(len(_BLOCKS))
    writer.add_feed_forward_length(_N_FF)
    writer.add_head_count(_N_HEAD)
    if pooling != "none":
        writer.add_uint32(f"{writer.arch}.pooling_type", POOLING[pooling])
    _add_vocabulary(writer)
    for name, values in weights.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    writer.add_tokenizer_model("bert")
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
    writer = gguf.GGUFWriter(path, "llama")
    detail = MetadataDetails(gguf.GGUFValueType.UINT32, POOLING[pooling])
    copy_with_new_metadata(gguf.GGUFReader(source), writer, {"llama.pooling_type": detail}, [])
    return path
