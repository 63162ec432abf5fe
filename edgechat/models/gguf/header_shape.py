"""From a GGUF header to the shape that planning works with: layers, heads, windows, recurrent state, weights, pooling.

Follows llama.cpp of llama-cpp-python 0.3.36 (``load_hparams`` in ``llama-model.cpp``, and ``src/models/``), not the
model cards. An unknown architecture is read as a plain transformer, with a note in the shape.

A file that makes embeddings says how the vectors of a text's tokens become one (``<arch>.pooling_type``, the numbers of
``enum llama_pooling_type`` in ``llama.h``). Vectors pooled from a chat model would find the wrong texts.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from edgechat.models.gguf.byte_cursor import invalid, quoted
from edgechat.models.gguf.repack import is_repacked
from edgechat.models.gguf.shape import MatrixElements, ModelShape, WeightBytes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import NoReturn

    from edgechat.models.gguf.header import GgufHeader

MAX_LAYERS = 512
"""``LLAMA_MAX_LAYERS``; one more aborts the process."""
_MAX_DIMENSION = (1 << 31) - 1
_WRONG_FILE = "Use another file of this model, or report it to its publisher."

# Sliding windows: default period of the pattern (every n-th layer is dense) and default window (0: the file must say).
_SLIDING = {
    "gemma2": (2, 4096),
    "gemma3": (6, 0),
    "gemma3n": (5, 0),
    "gemma4": (0, 0),
    "gpt-oss": (2, 0),
    "cohere2": (4, 0),
}
_PATTERN_REQUIRED = "gemma4"
_GEMMA_3N_KV_LAYERS = 20  # a constant in gemma3n.cpp, whatever the file says

# Hybrids: how llama.cpp tells their recurrent layers.
_NO_HEADS = frozenset({"lfm2", "lfm2moe", "granitehybrid", "jamba", "plamo2"})
_NO_HEADS_NO_FF = frozenset({"nemotron_h", "nemotron_h_moe"})
_INTERVAL = frozenset({"qwen35", "qwen35moe", "qwen3next"})
_EVERY_LAYER = frozenset({"mamba", "mamba2"})
_BOTH = frozenset({"falcon-h1"})
_SHORTCONV = frozenset({"lfm2", "lfm2moe"})
_LOOPED = frozenset({"nanbeige"})
"""Each block runs ``num_loops`` times for a token, with a KV cache for each pass."""
RECURRENT = _NO_HEADS | _NO_HEADS_NO_FF | _INTERVAL | _EVERY_LAYER | _BOTH

_PLAIN = frozenset({
    "llama", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe", "phi2", "phi3", "gemma",
    "granite", "granitemoe", "smollm3", "mistral3", "hunyuan-dense", "hunyuan-moe", "starcoder2", "olmo", "olmoe",
    "stablelm", "internlm2", "minicpm", "ernie4_5", "ernie4_5-moe", "nemotron", "falcon", "arcee",
})  # fmt: skip
"""Every layer keeps KV for the whole context. Phi-3's window is switched off in this llama.cpp ("Phi SWA is currently
disabled"), so a file that names one is planned without."""

ENCODERS = frozenset({
    "bert", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "modern-bert", "neo-bert", "nomic-bert",
    "nomic-bert-moe",
})  # fmt: skip
"""They read a text in one pass: no KV cache, and no rows of logits (``create_memory``)."""

Pooling = Literal["mean", "cls", "last"]
"""The mean of all tokens' vectors, the first token's, or the last one's."""
_POOLING: dict[int, Pooling] = {1: "mean", 2: "cls", 3: "last"}
_NO_POOLING, _RERANKING = 0, 4

KNOWN = _PLAIN | _LOOPED | frozenset(_SLIDING) | RECURRENT | ENCODERS
NOT_LANGUAGE_MODELS = {"clip": "a vision or audio projector (mmproj)", "wavtokenizer-dec": "an audio decoder"}


class Hyperparameters:
    """Typed access to ``<arch>.*``; a value that is missing, of a wrong type or out of range is an error."""

    def __init__(self, header: GgufHeader) -> None:
        self.header = header
        self.arch = header.arch
        if not self.arch:
            self.fail("it does not name its architecture (general.architecture)")
        kind = NOT_LANGUAGE_MODELS.get(self.arch) or header.string("general.type")
        if kind not in ("", "model"):
            self.fail(f"it is {kind}, not a language model", "Give the file of the language model itself.")
        self.blocks = self.whole("block_count", low=1, high=MAX_LAYERS)
        self.drafts = self.whole("nextn_predict_layers", 0, high=self.blocks)
        """Trailing layers for multi-token prediction; llama.cpp skips them unless asked."""
        self.loops = self.whole("num_loops", 1, low=1, high=MAX_LAYERS // self.blocks) if self.arch in _LOOPED else 1
        """How often each block runs for one token."""

    def fail(self, fault: str, hint: str = _WRONG_FILE) -> NoReturn:
        """Raise for this file."""
        raise invalid(self.header.path, fault, hint)

    def has(self, name: str) -> bool:
        """Whether the file holds ``<arch>.name``."""
        return f"{self.arch}.{name}" in self.header.metadata

    def whole(self, name: str, default: int | None = None, *, low: int = 0, high: int = _MAX_DIMENSION) -> int:
        """The integer ``<arch>.name``; required when there is no default."""
        key = f"{self.arch}.{name}"
        return self._checked(key, self.header.metadata.get(key, default), low, high)

    def layers(self, name: str, default: int | tuple[int, ...] | None = None) -> tuple[int, ...]:
        """``<arch>.name`` for every block: an array of exactly that length, or one number for all."""
        key = f"{self.arch}.{name}"
        value = self.header.metadata.get(key, default)
        if not isinstance(value, tuple):
            return (self._checked(key, value, 0, _MAX_DIMENSION),) * self.blocks
        if len(value) != self.blocks:
            self.fail(f"{quoted(key)} has {len(value)} entries for {self.blocks} layers")
        return tuple(self._checked(key, int(item) if type(item) is bool else item, 0, _MAX_DIMENSION) for item in value)

    def _checked(self, key: str, value: object, low: int, high: int) -> int:
        if value is None:
            self.fail(f"{quoted(key)} is missing")
        if type(value) is not int:
            self.fail(f"{quoted(key)} is not a whole number")
        if not low <= value <= high:
            self.fail(f"{quoted(key)} is {value}; {low} to {high} is possible")
        return value


def shape_of(header: GgufHeader) -> ModelShape:
    """The shape of a model file.

    Layers for multi-token prediction are left out, as llama.cpp does when it answers.

    Raises:
        InvalidModelFileError: a hyperparameter is missing, of the wrong type or impossible; or it is no language model.
    """
    keys = Hyperparameters(header)
    arch, n_layer = keys.arch, keys.blocks - keys.drafts
    if not header.tensors:
        keys.fail("it holds a vocabulary but no weights")
    n_vocab = header.vocab_size
    if n_vocab <= 0:
        keys.fail("it has no vocabulary")
    n_embd = keys.whole("embedding_length", low=1)
    heads = keys.layers("attention.head_count", 0)
    heads_kv = keys.layers("attention.head_count_kv", heads)
    n_ff = keys.layers("feed_forward_length", 0)
    head = n_embd // heads[0] if heads[0] else 0
    key_length = keys.whole("attention.key_length", head) if heads[0] else 0
    value_length = keys.whole("attention.value_length", head) if heads[0] else 0
    recurrent = _recurrent_layers(keys, heads_kv, n_ff)[:n_layer]
    if arch in ENCODERS:
        heads_kv = (0,) * keys.blocks
    if arch not in _BOTH:
        heads_kv = tuple(0 if is_recurrent else kv for is_recurrent, kv in zip(recurrent, heads_kv, strict=False))
    window, sliding = _sliding_layers(keys, n_layer, recurrent)
    key_swa = keys.whole("attention.key_length_swa", key_length)
    value_swa = keys.whole("attention.value_length_swa", value_length)
    return ModelShape(
        arch=arch,
        n_layer=n_layer * keys.loops,
        n_embd=n_embd,
        n_ff=_feed_forward(keys, n_ff)[:n_layer] * keys.loops,
        n_head=heads[:n_layer] * keys.loops,
        n_head_kv=heads_kv[:n_layer] * keys.loops,
        key_length=key_length,
        value_length=value_length,
        n_vocab=n_vocab,
        n_ctx_train=keys.whole("context_length", low=1),
        tied_embeddings=all(tensor.name != "output.weight" for tensor in header.tensors),
        sliding_window=window,
        sliding_layers=sliding,
        key_length_swa=key_swa if window and key_swa != key_length else 0,
        value_length_swa=value_swa if window and value_swa != value_length else 0,
        n_expert=keys.whole("expert_count", 0),
        n_expert_used=max(keys.layers("expert_used_count", 0)),
        recurrent_bytes=sum(recurrent) * _state_bytes(keys, n_embd) if any(recurrent) else 0,
        shared_kv_layers=_shared_kv_layers(keys, n_layer),
        n_embd_per_layer=keys.whole("embedding_length_per_layer_input", 0),
        n_loop=keys.loops,
        notes=_notes(keys),
    )


def weight_bytes(header: GgufHeader, features: Collection[str] = ()) -> WeightBytes:
    """How the bytes of a model file divide, on a processor with ``features`` (``Board.cpu.features``).

    Raises:
        InvalidModelFileError: as ``shape_of``, or there is no token embedding.
    """
    keys = Hyperparameters(header)
    n_layer, loops = keys.blocks - keys.drafts, keys.loops
    tensors = {tensor.name: tensor for tensor in header.tensors}
    embedding = tensors.get("token_embd.weight")
    if embedding is None:
        keys.fail("it has no token embedding (token_embd.weight)")
    output = tensors.get("output.weight", embedding)
    tied = output is embedding
    per_layer = [0] * n_layer
    elements: dict[str, list[int]] = {}
    total = repackable = experts = unused = 0
    for name, tensor in tensors.items():
        total += tensor.nbytes
        layer = _layer(name)
        if layer >= n_layer:
            unused += tensor.nbytes
            continue
        if layer >= 0:
            per_layer[layer] += tensor.nbytes
            experts += tensor.nbytes if "_exps." in name else 0
            if len(tensor.dims) > 1:
                elements.setdefault(tensor.kind.name, [0, 0])["_exps." in name] += math.prod(tensor.dims)
        if tensor is not output and is_repacked(name, tensor.dims, tensor.kind.name, features):
            repackable += tensor.nbytes
    output_repacked = is_repacked("output.weight", output.dims, output.kind.name, features)
    lookup = tensors.get("per_layer_token_embd.weight")
    return WeightBytes(
        file=header.file_size,
        embedding=embedding.nbytes,
        output=output.nbytes,
        # Each pass of a looped transformer counts as a layer; the bytes of a block are shared among its passes.
        per_layer=tuple(each // loops for each in per_layer) * (loops - 1)
        + tuple(each - each // loops * (loops - 1) for each in per_layer),
        repackable=repackable + (output.nbytes if output_repacked else 0),
        other=total - sum(per_layer) - unused - embedding.nbytes - (0 if tied else output.nbytes),
        repackable_output=output.nbytes if output_repacked else 0,
        experts=experts,
        per_layer_embedding=lookup.nbytes if lookup else 0,
        matrices=tuple(MatrixElements(kind, *counts) for kind, counts in sorted(elements.items())),
        unused=unused,
    )


def _layer(name: str) -> int:
    """The block a tensor belongs to, or -1."""
    prefix, _, rest = name.partition(".")
    number = rest.partition(".")[0]
    return int(number) if prefix == "blk" and number.isascii() and number.isdigit() else -1


def _recurrent_layers(keys: Hyperparameters, heads_kv: tuple[int, ...], n_ff: tuple[int, ...]) -> tuple[bool, ...]:
    arch = keys.arch
    if arch in _NO_HEADS:
        return tuple(kv == 0 for kv in heads_kv)
    if arch in _NO_HEADS_NO_FF:
        return tuple(kv == 0 and ff == 0 for kv, ff in zip(heads_kv, n_ff, strict=True))
    if arch in _INTERVAL:
        if keys.has("attention.recurrent_layers"):
            return tuple(flag != 0 for flag in keys.layers("attention.recurrent_layers"))
        # llama.cpp divides by it unchecked.
        interval = keys.whole("full_attention_interval", 4, low=1)
        return tuple((layer + 1) % interval != 0 for layer in range(keys.blocks))
    return (arch in _EVERY_LAYER | _BOTH,) * keys.blocks


def _feed_forward(keys: Hyperparameters, dense: tuple[int, ...]) -> tuple[int, ...]:
    """The feed-forward width of each layer; in a mixture one expert's (the key has its dense layers')."""
    if not keys.whole("expert_count", 0) or not keys.has("expert_feed_forward_length"):
        return dense
    experts = keys.layers("expert_feed_forward_length")
    used, leading = max(1, *keys.layers("expert_used_count", 1)), keys.whole("leading_dense_block_count", 0)
    return tuple(
        max(each, -(-width // used)) if layer < leading else each
        for layer, (width, each) in enumerate(zip(dense, experts, strict=True))
    )


def _state_bytes(keys: Hyperparameters, n_embd: int) -> int:
    """Bytes of one recurrent layer's state for one sequence, f32 (``n_embd_r`` + ``n_embd_s`` in llama-hparams.cpp)."""
    if keys.arch in _SHORTCONV:
        return n_embd * (keys.whole("shortconv.l_cache", low=2) - 1) * 4
    state, inner = keys.whole("ssm.state_size"), keys.whole("ssm.inner_size")
    groups = keys.whole("ssm.group_count", 0)
    convolution = max(0, keys.whole("ssm.conv_kernel") - 1) * (inner + 2 * groups * state)
    return (convolution + state * inner) * 4


def _sliding_layers(keys: Hyperparameters, n_layer: int, recurrent: tuple[bool, ...]) -> tuple[int, tuple[bool, ...]]:
    """The window in tokens and which layers slide; ``(0, ())`` when none does."""
    pattern = "attention.sliding_window_pattern"
    if keys.arch == "lfm2":
        # Every attention layer slides as soon as a window is named.
        window = keys.whole("attention.sliding_window", 0)
        return (window, tuple(not flag for flag in recurrent)) if window else (0, ())
    if keys.arch not in _SLIDING:
        return 0, ()
    period, window = _SLIDING[keys.arch]
    optional = keys.arch in ("gemma2", "gemma3")
    window = keys.whole("attention.sliding_window", window if optional else None)
    if not window:
        return 0, ()
    value = keys.header.metadata.get(f"{keys.arch}.{pattern}")
    if isinstance(value, tuple) or keys.arch == _PATTERN_REQUIRED:
        return window, tuple(flag != 0 for flag in keys.layers(pattern))[:n_layer]
    period = keys.whole(pattern, period)
    return window, tuple(period == 0 or layer % period < period - 1 for layer in range(n_layer))


def _shared_kv_layers(keys: Hyperparameters, n_layer: int) -> int:
    if keys.arch == "gemma3n":
        return max(0, n_layer - _GEMMA_3N_KV_LAYERS)
    if keys.arch == "gemma4":
        return keys.whole("attention.shared_kv_layers", 0, high=keys.blocks)
    return 0


def _notes(keys: Hyperparameters) -> tuple[str, ...]:
    if keys.arch in KNOWN:
        return ()
    notes = [f"The architecture {quoted(keys.arch)} is planned as a plain transformer."]
    if keys.has("attention.sliding_window"):
        notes.append("Its sliding window is not counted on: every layer is planned at full length.")
    if any(keys.has(name) for name in ("ssm.state_size", "wkv.head_size", "attention.indexer.key_length")):
        notes.append("The state it keeps beside the KV cache is not counted.")
    return tuple(notes)


def pooling_of(header: GgufHeader) -> Pooling | None:
    """How this file makes the vector of a text; None for a file that makes none."""
    return _POOLING.get(_pooling_type(header))


def writes_text(header: GgufHeader) -> bool:
    """Whether this file is a model that generates text."""
    return _pooling_type(header) == _NO_POOLING and header.arch not in ENCODERS


def pooling_faults(header: GgufHeader) -> Iterator[str]:
    """Why a file that generates no text cannot make vectors either."""
    number = _pooling_type(header)
    if number == _RERANKING:
        yield "it is a reranker; only models that chat or make embeddings are supported"
    elif number != _NO_POOLING and number not in _POOLING:
        yield f"its pooling type is {number}, which llama.cpp does not know"
    elif number == _NO_POOLING and header.arch in ENCODERS:
        yield "it is an encoder and does not say how a text's vectors become one (pooling_type)"


def reads_in_pieces(header: GgufHeader) -> bool:
    """Whether a long text may be read in several batches, which takes less memory.

    Of embedding models only those with causal attention whose last vector is the text's.
    """
    if writes_text(header):
        return True
    is_causal = header.arch not in ENCODERS and header.metadata.get(f"{header.arch}.attention.causal") is not False
    return is_causal and pooling_of(header) == "last"


def _pooling_type(header: GgufHeader) -> int:
    return header.integer(f"{header.arch}.pooling_type", _NO_POOLING)
