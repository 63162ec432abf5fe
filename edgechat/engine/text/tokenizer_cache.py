"""llguidance's tokenizer of a model, made from the bytes of every token, which are kept on disk.

Asking llama.cpp for 150,000 pieces one by one takes a second; reading them from a file takes milliseconds. With that
file the tokenizer is made while the model is being loaded, by a core that is idle then: the answers of llama.cpp that
llguidance needs meanwhile are kept beside the pieces. Holds nothing secret.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgechat.engine.child.background import BackgroundCall
from edgechat.engine.native.lib import llama
from edgechat.errors import StateError
from edgechat.files import write_atomically
from edgechat.paths import private_directory

if TYPE_CHECKING:
    from pathlib import Path

    import llguidance

    from edgechat.engine.native.model import Model

_FORMAT = 2
_KEPT = 8
"""Files: about a megabyte each, one for every model that has answered under a schema."""
_SPECIAL = b"\xff"
"""Prefix by which llguidance knows a token that text can never spell."""
_SLICE = r'[^"\\\x00-\x1F\x7F]{1,30}'
"""llguidance's slice for bounded JSON strings, on which a model spends its time. With it alone a mask takes as long as
with all four of its slices for JSON, and the tokenizer half as long to make."""

_Arguments = tuple[bytes, bool, bool]
"""A text, ``add_special`` and ``parse_special``."""


@dataclass(frozen=True, slots=True)
class _Entries:
    """The content of a file."""

    identity: str
    end_tokens: list[int]
    known: dict[_Arguments, list[int]]
    """What llguidance tokenized while its tokenizer was made, and the result."""
    pieces: list[bytes]


class TokenizerCache:
    """The tokenizer of one model.

    Args:
        file: of the model's entries; it need not exist.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._callback: _TokenizeCallback | None = None
        self._made: llguidance.LLTokenizer | None = None
        self._identity = ""
        self._making: BackgroundCall | None = None

    def begin(self) -> None:
        """Make the tokenizer in a thread from now on, if the entries are on disk; the model is not needed yet."""
        if self._file.exists():
            self._making = BackgroundCall(self._make_ahead)

    def tokenizer(self, model: Model) -> llguidance.LLTokenizer:
        """The tokenizer; waits for the thread, or makes it now."""
        if self._making is not None:
            self._making.join()
            self._making = None
        identity = _identity(model)
        if self._made is None or self._identity != identity:
            self._make(model, identity)
        assert self._callback is not None and self._made is not None  # noqa: S101, PT018 - both were made just now
        self._callback.vocab = model.vocab
        return self._made

    def free(self) -> None:
        """Free its memory; the next answer under a schema makes it again.

        Must not be called during an answer under a schema: llguidance calls back into it.
        """
        if self._making is None:
            self._callback = self._made = None

    def _make_ahead(self) -> None:
        import numpy as np  # noqa: F401, PLC0415 - needed next, and slow to import

        import edgechat.engine.text.constraint  # noqa: F401, PLC0415

        with contextlib.suppress(OSError, ValueError, KeyError, struct.error):  # then it is made from the model itself
            entries = _unpack(self._file.read_bytes())
            callback = _TokenizeCallback(entries.known)
            made = _tokenizer(entries.pieces, entries.end_tokens, callback)
            if not callback.has_failed:
                self._callback, self._made, self._identity = callback, made, entries.identity

    def _make(self, model: Model, identity: str) -> None:
        pieces = [_piece(model, token) for token in range(model.n_vocab)]
        # All that end a turn: the vocabulary's EOS need not be among them.
        end_tokens = [token for token in range(model.n_vocab) if model.is_eog(token)] or [model.n_vocab - 1]
        callback = _TokenizeCallback({})
        callback.vocab = model.vocab
        self._callback, self._made, self._identity = callback, _tokenizer(pieces, end_tokens, callback), identity
        callback.stop_recording()
        with contextlib.suppress(OSError, StateError):  # without the file it only takes the time again
            _write(self._file, _pack(_Entries(identity, end_tokens, callback.known, pieces)))


class _TokenizeCallback:
    """``llama_tokenize`` as llguidance calls it, also while no vocabulary is loaded.

    It must live as long as any tokenizer that was made with it.
    """

    _type = ctypes.CFUNCTYPE(
        ctypes.c_int32,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int32,
        ctypes.c_void_p,
        ctypes.c_int32,
        ctypes.c_bool,
        ctypes.c_bool,
    )

    def __init__(self, known: dict[_Arguments, list[int]]) -> None:
        self.vocab: Any = None
        self.known = known
        """Results: without a vocabulary those to return, with one those that were returned."""
        self.has_failed = False
        """True once a text was not among the known ones: the tokenizer made with it is of no use."""
        self._llama_tokenize = self._type(ctypes.cast(llama._lib.llama_tokenize, ctypes.c_void_p).value or 0)
        self._is_recording = not known
        self._callback = self._type(self._answer)
        self.pointer = ctypes.cast(self._callback, ctypes.c_void_p).value
        _callbacks.append(self)

    def _answer(  # noqa: PLR0917 - C's arguments
        self, _: int, text: int, length: int, out: int, room: int, add_special: bool, parse_special: bool
    ) -> int:
        if self.vocab is not None:
            count: int = self._llama_tokenize(self.vocab, text, length, out, room, add_special, parse_special)
            if self._is_recording and 0 < count <= room:
                arguments = (ctypes.string_at(text, length), add_special, parse_special)
                self.known[arguments] = list((ctypes.c_int32 * count).from_address(out))
            return count
        tokens = self.known.get((ctypes.string_at(text, length), add_special, parse_special))
        if tokens is None:
            self.has_failed = True
            return 0
        if len(tokens) > room:
            return -len(tokens)
        ctypes.memmove(out, (ctypes.c_int32 * len(tokens))(*tokens), 4 * len(tokens))
        return len(tokens)

    def stop_recording(self) -> None:
        """Record no further results."""
        self._is_recording = False


_callbacks: list[_TokenizeCallback] = []
"""All of them: llguidance holds a bare pointer, and an engine has one model."""


def _tokenizer(pieces: list[bytes], end_tokens: list[int], callback: _TokenizeCallback) -> llguidance.LLTokenizer:
    import llguidance  # noqa: PLC0415 - 20 ms that plain answers need not pay

    made: llguidance.LLTokenizer = llguidance.LLTokenizer.from_llamacpp(  # type: ignore[attr-defined]
        tokens=pieces,
        vocab_ptr=1,  # only passed on; the callback has the real one
        tokenize_fptr=callback.pointer,
        eos_token=end_tokens,
        slices=[_SLICE],
    )
    return made


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


def _write(file: Path, data: bytes) -> None:
    private_directory(file.parent)
    write_atomically(file, data, sync=False)
    newest_first = sorted(file.parent.glob("*.pieces"), key=lambda each: each.stat().st_mtime, reverse=True)
    for old in newest_first[_KEPT:]:
        old.unlink(missing_ok=True)


def _pack(entries: _Entries) -> bytes:
    known = [[text.hex(), add, parse, tokens] for (text, add, parse), tokens in entries.known.items()]
    head = {"format": _FORMAT, "identity": entries.identity, "end_tokens": entries.end_tokens, "known": known}
    pieces = entries.pieces
    lengths = struct.pack(f"<I{len(pieces)}H", len(pieces), *map(len, pieces))
    body = json.dumps(head).encode() + b"\n" + lengths + b"".join(pieces)
    return hashlib.sha256(body).digest() + body


def _unpack(data: bytes) -> _Entries:
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        raise ValueError("damaged")
    at = data.index(b"\n", 32) + 1
    head = json.loads(data[32:at])
    if head["format"] != _FORMAT:
        raise ValueError("of another format")
    (count,) = struct.unpack_from("<I", data, at)
    lengths = struct.unpack_from(f"<{count}H", data, at + 4)
    pieces, at = [], at + 4 + 2 * count
    for length in lengths:
        pieces.append(data[at : at + length])
        at += length
    known = {(bytes.fromhex(text), add, parse): tokens for text, add, parse, tokens in head["known"]}
    return _Entries(head["identity"], head["end_tokens"], known, pieces)
