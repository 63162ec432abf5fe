"""One loaded model file and its vocabulary: text to token ids and back.

Token ids are ints; pieces are bytes, because a token may hold a part of a UTF-8 character.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from edgechat.engine.native.lib import llama
from edgechat.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edgechat.models.planning.plan import LoadSettings

_LOAD_MODES = {"read": 0, "mmap": 1}  # enum llama_load_mode: NONE, MMAP

# Attributes of a vocabulary entry, enum llama_token_attr in llama.h.
_ATTR_UNKNOWN, _ATTR_CONTROL, _ATTR_USER_DEFINED = 1 << 0, 1 << 3, 1 << 4


class Model:
    """A model loaded by llama.cpp. Not thread-safe, except for reading the vocabulary.

    Args:
        path: a GGUF file.
        settings: how to load it.
        on_progress: called with the loaded share, 0 to 1; loading stops when it returns False.

    Raises:
        EngineError: llama.cpp refused the file; the reason is in the engine's log.
    """

    def __init__(
        self, path: Path, settings: LoadSettings, *, on_progress: Callable[[float], bool] | None = None
    ) -> None:
        params = llama.llama_model_default_params()
        params.n_gpu_layers = settings.n_gpu_layers
        params.load_mode = _LOAD_MODES[settings.load_mode]
        params.use_extra_bufts = settings.repack
        if on_progress is not None:

            def report(fraction: float, _data: object) -> bool:
                return on_progress(fraction)

            # Referenced during the call: ctypes frees a callback without references.
            callback = llama.llama_progress_callback(report)
            params.progress_callback = callback
        self.handle = llama.llama_model_load_from_file(str(path).encode(), params)
        if not self.handle:
            raise EngineError(f"llama.cpp could not load {path.name}.", cause="load")
        self.vocab = llama.llama_model_get_vocab(self.handle)
        self.n_vocab: int = llama.llama_vocab_n_tokens(self.vocab)
        self.n_ctx_train: int = llama.llama_model_n_ctx_train(self.handle)
        self.is_recurrent = bool(
            llama.llama_model_is_recurrent(self.handle) or llama.llama_model_is_hybrid(self.handle)
        )
        """Whether some layers keep one state for all tokens instead of a cell for each."""
        self.n_window: int = llama.llama_model_n_swa(self.handle)
        """Tokens that a sliding layer sees; 0 where there is none."""
        self.is_rewindable = not self.is_recurrent and self.n_window <= 0
        """True when the KV cache can drop any tail of a sequence and keep what came before."""
        self.has_encoder: bool = llama.llama_model_has_encoder(self.handle)
        self._pieces: dict[int, bytes] = {}
        self._buffer = ctypes.create_string_buffer(256)
        self._eog: dict[int, bool] = {}

    def close(self) -> None:
        """Free the weights. The model must not be used afterwards."""
        if self.handle:
            llama.llama_model_free(self.handle)
            self.handle = None

    @property
    def chat_template(self) -> str | None:
        """The file's chat template, or None."""
        text = llama.llama_model_chat_template(self.handle, None)
        return text.decode("utf-8", "replace") if text else None

    def header(self, key: str) -> str:
        """A value of the file's header as text; ``""`` where it is missing or longer than 255 bytes."""
        size = len(self._buffer)
        length = llama.llama_model_meta_val_str(self.handle, key.encode(), self._buffer, size)
        return self._buffer.value.decode("utf-8", "replace") if 0 <= length < size else ""

    def has_long_rope(self, n_ctx: int) -> bool:
        """Whether a context is longer than the header's original one, beyond which LongRoPE has other factors.

        False where the header names none.
        """
        original = self.header(f"{self.header('general.architecture')}.rope.scaling.original_context_length")
        return original.isdecimal() and n_ctx > int(original)

    def text_of(self, token: int) -> str:
        """The vocabulary's text of a token; ``""`` for a missing one (-1)."""
        if token < 0:
            return ""
        text = llama.llama_vocab_get_text(self.vocab, token)
        return text.decode("utf-8", "replace") if text else ""

    @property
    def bos_text(self) -> str:
        """The beginning-of-sequence token as templates spell it."""
        return self.text_of(llama.llama_vocab_bos(self.vocab))

    @property
    def eos_text(self) -> str:
        """The end-of-sequence token as templates spell it."""
        return self.text_of(llama.llama_vocab_eos(self.vocab))

    @property
    def adds_bos(self) -> bool:
        """True when a prompt must begin with the BOS token."""
        return bool(llama.llama_vocab_get_add_bos(self.vocab))

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of ``text``.

        Args:
            text: any Unicode text.
            add_special: add BOS (and EOS) as the vocabulary prescribes.
            parse_special: turn strings such as ``<|im_start|>`` into control tokens. Never for users' text.

        Raises:
            EngineError: the text is too long for llama.cpp.
        """
        raw = text.encode("utf-8", "replace")
        size = len(raw) + 8
        tokens = (ctypes.c_int32 * size)()
        count = llama.llama_tokenize(self.vocab, raw, len(raw), tokens, size, add_special, parse_special)
        if count < 0:
            size = -count
            tokens = (ctypes.c_int32 * size)()
            count = llama.llama_tokenize(self.vocab, raw, len(raw), tokens, size, add_special, parse_special)
        if count < 0:
            raise EngineError("The text is too long to tokenize.", cause="exit")
        return tokens[:count]

    def is_control(self, token: int) -> bool:
        """True for control tokens, which do not stand for text."""
        return bool(llama.llama_vocab_get_attr(self.vocab, token) & (_ATTR_CONTROL | _ATTR_UNKNOWN))

    def may_steer(self, token: int) -> bool:
        """True for control and user-defined tokens, which user text must not become, and for ids out of range.

        llama.cpp ends the process on an id outside the vocabulary, which a damaged file may contain.
        """
        return not 0 <= token < self.n_vocab or self.is_control(token) or self.is_user_defined(token)

    def is_user_defined(self, token: int) -> bool:
        """True for tokens that were added to the vocabulary by hand and that text may contain."""
        return bool(llama.llama_vocab_get_attr(self.vocab, token) & _ATTR_USER_DEFINED)

    def is_eog(self, token: int) -> bool:
        """True for every token that ends an answer, not only EOS."""
        known = self._eog.get(token)
        if known is None:
            known = self._eog[token] = bool(llama.llama_vocab_is_eog(self.vocab, token))
        return known

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of a token; empty for control tokens unless ``special``."""
        if special:
            return self._read_piece(token, special=True)
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._read_piece(token, special=False)
        return known

    def _read_piece(self, token: int, *, special: bool) -> bytes:
        length = llama.llama_token_to_piece(self.vocab, token, self._buffer, len(self._buffer), 0, special)
        if length < 0:
            self._buffer = ctypes.create_string_buffer(-length)
            length = llama.llama_token_to_piece(self.vocab, token, self._buffer, len(self._buffer), 0, special)
        return self._buffer.raw[: max(length, 0)]

    def spell_out(self, text: str) -> None:
        """Make :meth:`piece` return the text of a control token from now on, if ``text`` is one."""
        tokens = self.tokenize(text, add_special=False, parse_special=True)
        if len(tokens) == 1 and self.is_control(tokens[0]):
            self._pieces[tokens[0]] = text.encode()

    def pieces(self, tokens: Sequence[int]) -> bytes:
        """The bytes of several tokens, joined."""
        return b"".join(self.piece(token) for token in tokens)
