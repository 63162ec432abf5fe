"""The bytes of every token of a vocabulary, kept on disk, and llguidance's tokenizer made from them.

Asking llama.cpp for 150,000 pieces one by one takes a second, most of building the tokenizer; a file of them takes
milliseconds. The file is keyed by what the model file says about its vocabulary, and holds nothing secret.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import struct
from typing import TYPE_CHECKING

from edgechat.engine.native.lib import llama
from edgechat.paths import private_directory

if TYPE_CHECKING:
    from pathlib import Path

    import llguidance

    from edgechat.engine.native.model import Model

_FORMAT = 1
_SPECIAL = b"\xff"
"""Prefix by which llguidance knows a token that text can never spell."""


def tokenizer(model: Model, cache: Path) -> llguidance.LLTokenizer:
    """Llguidance's view of a model's vocabulary."""
    import llguidance  # noqa: PLC0415 - 20 ms that plain answers need not pay

    pieces = _read(model, cache)
    end_tokens = [token for token in range(model.n_vocab) if model.is_eog(token)]
    tokenize = ctypes.cast(llama._lib.llama_tokenize, ctypes.c_void_p).value
    made: llguidance.LLTokenizer = llguidance.LLTokenizer.from_llamacpp(  # type: ignore[attr-defined]
        tokens=pieces,
        vocab_ptr=model.vocab,
        tokenize_fptr=tokenize,
        # All of them: the vocabulary's EOS need not be what ends a turn.
        eos_token=end_tokens or [model.n_vocab - 1],
        slices=llguidance.LLTokenizer.json_slices(),
    )
    return made


def _read(model: Model, cache: Path) -> list[bytes]:
    file = cache / "vocabularies" / f"{_identity(model)}.pieces"
    with contextlib.suppress(OSError, ValueError, struct.error):
        return _unpack(file.read_bytes())
    pieces = [_piece(model, token) for token in range(model.n_vocab)]
    private_directory(file.parent)
    temporary = file.with_suffix(".new")
    temporary.write_bytes(_pack(pieces))
    temporary.replace(file)
    return pieces


def _piece(model: Model, token: int) -> bytes:
    piece = model.piece(token, special=True)
    if model.is_control(token) or (model.is_user_defined(token) and piece.startswith(b"<") and piece.endswith(b">")):
        return _SPECIAL + piece
    return piece


def _identity(model: Model) -> str:
    """A digest that differs between vocabularies: their size, and a sample of their entries spread over the whole."""
    digest = hashlib.sha256(f"{_FORMAT} {model.n_vocab} {model.bos_text} {model.eos_text}".encode())
    for token in range(0, model.n_vocab, max(model.n_vocab // 512, 1)):
        digest.update(model.text_of(token).encode() + b"\0")
    for token in range(max(model.n_vocab - 512, 0), model.n_vocab):  # where fine-tuned models add their own
        digest.update(model.text_of(token).encode() + b"\0")
    return digest.hexdigest()[:32]


def _pack(pieces: list[bytes]) -> bytes:
    body = struct.pack(f"<I{len(pieces)}H", len(pieces), *map(len, pieces)) + b"".join(pieces)
    return hashlib.sha256(body).digest() + body


def _unpack(data: bytes) -> list[bytes]:
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        raise ValueError("damaged")
    (count,) = struct.unpack_from("<I", data, 32)
    lengths = struct.unpack_from(f"<{count}H", data, 36)
    pieces, at = [], 36 + 2 * count
    for length in lengths:
        pieces.append(data[at : at + length])
        at += length
    return pieces
