"""Checks of a header for faults that make llama.cpp abort, crash or answer wrongly with a file that it can read.

Each rule names the assertion in llama-cpp-python 0.3.36's llama.cpp that it anticipates. ``header.py`` finds damaged
files, ``header_shape.py`` missing and impossible hyperparameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.models.gguf.byte_cursor import Cursor, invalid, opened, quoted
from edgechat.models.gguf.header import GgufArray
from edgechat.models.gguf.header_shape import RECURRENT, Hyperparameters, pooling_faults, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.models.gguf.header import GgufHeader
    from edgechat.models.gguf.shape import ModelShape

MAX_EXPERTS = 1024  # LLAMA_MAX_EXPERTS
MAX_VOCAB = 1 << 19  # (Gemma 3, the largest seen: 262,208)
# Architectures whose graphs assert n_embd_head == n_rot, and those that assert keys as long as values.
_ROTATE_WHOLE_HEADS = frozenset({
    "llama", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe", "granite", "granitemoe",
    "smollm3", "mistral3", "hunyuan-dense", "hunyuan-moe", "arcee", "ernie4_5", "ernie4_5-moe", "falcon", "internlm2",
    "nemotron", "olmo", "olmoe", "starcoder2",
})  # fmt: skip
_EQUAL_LENGTHS = _ROTATE_WHOLE_HEADS | {
    "cohere2", "gemma4", "granitehybrid", "lfm2", "lfm2moe", "nemotron_h", "nemotron_h_moe", "phi2", "phi3", "qwen35",
    "qwen35moe", "qwen3next", "stablelm",
}  # fmt: skip
_GROUPED_STATE = frozenset({"mamba2", "granitehybrid", "nemotron_h", "nemotron_h_moe", "falcon-h1"})
_DELTA_NET = frozenset({"qwen35", "qwen35moe", "qwen3next"})

_ROPE_SCALING = ("none", "linear", "yarn", "longrope")
_TOKENS = "tokenizer.ggml.tokens"
_TYPES = "tokenizer.ggml.token_type"
_BYTE = 6  # LLAMA_TOKEN_TYPE_BYTE
_TOKENS_PER_PASS = 1 << 17
_LONG_TOKEN = 64


def require_loadable(header: GgufHeader, *, tokens: bool = False) -> None:
    """Refuse a file that llama.cpp would crash on or answer wrongly with.

    Args:
        header: the file's header.
        tokens: also look for a token that the vocabulary lists twice. Reads the whole token list, some 50 ms for
            150,000 tokens on a desktop core: meant for adding and verifying a file, not for every start.

    Raises:
        InvalidModelFileError: with the first fault found.
    """
    for fault in loading_faults(header, tokens=tokens):
        raise invalid(header.path, fault, "Use another file of this model, or report it to its publisher.")


def loading_faults(header: GgufHeader, *, tokens: bool = False) -> Iterator[str]:
    """Every fault that ``require_loadable`` refuses, as a clause.

    Raises:
        InvalidModelFileError: the shape cannot be read at all.
    """
    keys = Hyperparameters(header)
    shape = shape_of(header)
    yield from _vocabulary_faults(header)
    yield from _byte_token_faults(header)
    yield from _epsilon_faults(keys)
    yield from pooling_faults(header)
    yield from _expert_faults(keys)
    yield from _attention_faults(keys, shape)
    yield from _window_faults(shape)
    yield from _recurrent_faults(keys, shape)
    if tokens and (token := repeated_token(header)) is not None:
        yield f"its vocabulary lists the token {quoted(token)} twice"


def repeated_token(header: GgufHeader) -> str | None:
    """A token that the vocabulary lists twice, which aborts llama.cpp (``id_to_token.size() == token_to_id.size()``).

    Empty entries do not count: llama.cpp renames them. Large vocabularies are read in several passes, so that at most
    some 25 MB are held at once.
    """
    tokens = header.metadata.get(_TOKENS)
    if not isinstance(tokens, GgufArray) or tokens.count > MAX_VOCAB:
        return None
    passes = -(-tokens.count // _TOKENS_PER_PASS)
    for number in range(passes):
        seen: set[bytes | int] = set()
        with opened(header.path) as (fd, size):
            for token in Cursor(header.path, fd, size, tokens.offset).strings(tokens.count, "the token list"):
                hashed = hash(token)
                if hashed % passes != number:
                    continue
                kept = token if len(token) <= _LONG_TOKEN else hashed
                if kept in seen and token:
                    return token.decode("utf-8", "replace")
                seen.add(kept)
    return None


def _vocabulary_faults(header: GgufHeader) -> Iterator[str]:
    model = header.string("tokenizer.ggml.model")
    if model in ("no_vocab", "none"):
        # llama_vocab asserts on the first text it is given; vocab_size is allocated before anything else is looked at.
        yield "it carries no vocabulary (tokenizer.ggml.model is no_vocab), so it cannot read text"
        return
    n_vocab = header.vocab_size
    if n_vocab > MAX_VOCAB:
        yield f"its vocabulary has {n_vocab} tokens; at most {MAX_VOCAB} are accepted"
        return
    named = header.special_tokens
    for kind in ("bos", "eos", "eot"):
        if named.get(kind, 0) not in range(n_vocab):
            # llama.cpp only warns, and goes on with a default that means something else.
            yield f"its {kind} token is {named[kind]}, outside a vocabulary of {n_vocab}"
            return
    # Tokenizers that have an id of their own where the file names none; the others assert.
    default = {"bos": ("llama", "gpt2", "bert", "plamo2"), "eos": ("llama", "gpt2", "t5", "plamo2")}
    for kind, models in default.items():
        if (
            header.metadata.get(f"tokenizer.ggml.add_{kind}_token") is True
            and kind not in named
            and model not in models
        ):
            yield f"it asks for a {kind} token around every text but names none"
    tokens = header.metadata.get(_TOKENS)
    if (
        isinstance(tokens, GgufArray)
        and "eos" in named
        and header.array(_TOKENS, named["eos"], named["eos"] + 1) == ("",)
    ):
        yield "its end-of-text token is empty, which makes every answer empty"


def _byte_token_faults(header: GgufHeader) -> Iterator[str]:
    """``llama_vocab::byte_to_token`` looks up ``<0x0A>`` with ``at()``, so a newline or a rare sign ends llama.cpp.

    A ``llama`` tokenizer (SentencePiece) needs such tokens; a BPE vocabulary has none.
    """
    tokens, types = header.metadata.get(_TOKENS), header.metadata.get(_TYPES)
    if header.string("tokenizer.ggml.model") != "llama" or not isinstance(tokens, GgufArray):
        return
    if isinstance(types, GgufArray) and types.count == tokens.count:
        has_bytes = _BYTE in header.array(_TYPES, 0, types.count)
    else:
        with opened(header.path) as (fd, size):
            listed = Cursor(header.path, fd, size, tokens.offset).strings(tokens.count, "the token list")
            has_bytes = b"<0x0A>" in listed
    if not has_bytes:
        yield "its tokenizer is of the kind `llama`, but its vocabulary has no byte tokens: it belongs to another kind"


def _epsilon_faults(keys: Hyperparameters) -> Iterator[str]:
    """``ggml_compute_forward_rms_norm_f32`` and its kin: GGML_ASSERT(eps >= 0.0f)."""
    for name in ("layer_norm_rms_epsilon", "layer_norm_epsilon", "group_norm_epsilon"):
        value = keys.header.metadata.get(f"{keys.arch}.attention.{name}", 0.0)
        if not isinstance(value, (int, float)) or not 0 <= value < 1:
            yield f"its {name} is {quoted(str(value))}, not a small number above 0"


def _expert_faults(keys: Hyperparameters) -> Iterator[str]:
    """The assertions on experts in ``llama_model_base::load_hparams``."""
    count = keys.whole("expert_count", 0)
    used = max(keys.layers("expert_used_count", 0))
    groups = keys.whole("expert_group_count", 0)
    groups_used = keys.whole("expert_group_used_count", 0)
    if keys.arch in ("hunyuan-dense", "hunyuan_vl") and count <= 1:
        count = used = 0
    if count > MAX_EXPERTS:
        yield f"it has {count} experts; at most {MAX_EXPERTS} are possible"
    if used > count:
        yield f"it uses {used} experts of {count}"
    if count and not used:
        yield f"it has {count} experts and uses none"
    if groups and groups >= count:
        yield f"it has {groups} groups for {count} experts"
    elif groups > 1 and (count % groups or not 0 < groups_used < groups):
        yield f"its {count} experts do not divide into {groups} groups of which {groups_used} are used"
    if keys.arch == "lfm2moe" and not count and keys.whole("leading_dense_block_count", 0) < keys.blocks:
        yield "it has expert layers and no experts"


def _attention_faults(keys: Hyperparameters, shape: ModelShape) -> Iterator[str]:
    scaling = keys.header.metadata.get(f"{keys.arch}.rope.scaling.type", "linear")
    if scaling not in _ROPE_SCALING:
        # GGML_ASSERT(rope_scaling_type_train != UNSPECIFIED)
        yield f"its rope scaling {quoted(str(scaling))} is none of {', '.join(_ROPE_SCALING)}"
    for layer, (heads, heads_kv) in enumerate(zip(shape.n_head, shape.n_head_kv, strict=True)):
        if heads_kv and heads % heads_kv:
            # ggml_mul_mat asserts that query heads are a multiple of key heads.
            yield f"layer {layer} has {heads} query heads for {heads_kv} key heads"
            break
    if not any(shape.n_head) and keys.arch not in RECURRENT and not shape.notes:
        yield "it has no attention heads"
    if not any(shape.n_head_kv) or shape.notes:
        return
    rope = keys.whole("rope.dimension_count", shape.key_length)
    if rope > shape.key_length or rope % 2 or (keys.arch in _ROTATE_WHOLE_HEADS and rope != shape.key_length):
        yield f"it rotates {rope} dimensions of heads that have {shape.key_length}"
    if keys.arch in _EQUAL_LENGTHS and shape.key_length != shape.value_length:
        yield f"its keys have {shape.key_length} dimensions and its values {shape.value_length}; they must be equal"


def _window_faults(shape: ModelShape) -> Iterator[str]:
    """The assertions on sliding windows and shared KV in ``llama_model::create_memory`` and ``llama_kv_cache``."""
    if shape.sliding_window and not any(shape.sliding_layers):
        yield "it names a sliding window and no layer that slides"
    if not shape.shared_kv_layers:
        return
    own = shape.n_layer - shape.shared_kv_layers
    if own < 2:
        yield f"only {own} of its {shape.n_layer} layers keep keys and values; the others need two to share"
        return
    shared = shape.sliding_layers[own:]
    if (any(shared) and not shape.sliding_layers[own - 2]) or (not all(shared) and shape.sliding_layers[own - 1]):
        yield "the layers that share keys and values have none of their own kind to share with"


def _recurrent_faults(keys: Hyperparameters, shape: ModelShape) -> Iterator[str]:
    """Divisions that llama.cpp makes unchecked (SIGFPE) and assertions on what they leave over."""
    if keys.arch not in _GROUPED_STATE | _DELTA_NET or not shape.recurrent_bytes:
        return
    inner, groups, heads = (keys.whole(f"ssm.{name}", 0) for name in ("inner_size", "group_count", "time_step_rank"))
    if not groups or not heads or inner % heads or (heads if keys.arch in _DELTA_NET else inner) % groups:
        yield f"its recurrent state of {inner} does not divide into {heads} heads and {groups} groups"
    elif keys.arch == "granitehybrid" and inner != 2 * shape.n_embd:
        yield "the inner size of its state-space layers is not twice its embedding length"
