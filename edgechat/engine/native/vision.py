"""Image input: llama.cpp's image encoder (mtmd), which turns a picture into cells of the KV cache.

A picture becomes text tokens around one or more views. A view fills ``n_cells`` cells and advances the position by
``n_positions`` (the two differ where image rows and columns have positions of their own, M-RoPE). In a prompt a view is
represented by ``n_positions`` negative ids, a hash of the picture's bytes, so that the same picture is the same prefix.
Encoding cannot be interrupted.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgechat.engine.native.context import CacheFullError
from edgechat.engine.native.lib import PACKAGE, llama
from edgechat.errors import EngineError, InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.engine.native.context import Context
    from edgechat.engine.native.model import Model

_TEXT_CHUNK = 0  # enum mtmd_input_chunk_type


@dataclass(frozen=True, slots=True)
class View:
    """One piece of a picture, encoded and decoded as a whole."""

    chunk: Any
    n_cells: int
    n_positions: int
    owner: object = field(repr=False)
    """Keeps the chunk's memory alive."""

    @property
    def beyond(self) -> int:
        """Cells beyond its number of positions."""
        return self.n_cells - self.n_positions


@dataclass(frozen=True, slots=True)
class Picture:
    """An image in a prompt: token ids (negative for views), and each view by its first id."""

    tokens: tuple[int, ...]
    views: dict[int, View]


class _Chunks:
    """llama.cpp's list of chunks, freed with its last view."""

    def __init__(self, mtmd: Any) -> None:
        self.handle = mtmd.mtmd_input_chunks_init()
        weakref.finalize(self, mtmd.mtmd_input_chunks_free, self.handle)


class Vision:
    """A model's image encoder, loaded from its projector file. Not thread-safe.

    Raises:
        EngineError: llama.cpp is built without image input, or cannot load the projector.
        InvalidInputError: the projector does not belong to the model, or is for sound.
    """

    def __init__(self, projector: Path, model: Model, *, n_threads: int, use_gpu: bool) -> None:
        self._mtmd = mtmd = _library()
        self._model = model
        params = mtmd.mtmd_context_params_default()
        params.use_gpu = use_gpu
        params.print_timings = False
        params.n_threads = n_threads
        params.warmup = False  # would encode a whole image
        self.handle = mtmd.mtmd_init_from_file(str(projector).encode(), model.handle, params)
        if not self.handle:
            # mtmd writes the reason to the log only; the usual one is a projector of another model.
            raise InvalidInputError(
                f"{projector.name} cannot be used with this model.",
                hint="Add the projector (mmproj) that was published with it; `edgechat logs` says what is wrong.",
            )
        if not mtmd.mtmd_support_vision(self.handle):
            self.close()
            raise InvalidInputError(f"{projector.name} is for sound, not for images.")
        self._marker: bytes = mtmd.mtmd_default_marker()

    def close(self) -> None:
        """Free the encoder."""
        if self.handle:
            self._mtmd.mtmd_free(self.handle)
            self.handle = None

    def prepare(self, data: bytes) -> Picture:
        """Decode an image and split it into views; nothing is encoded yet.

        Raises:
            InvalidInputError: it cannot be decoded.
        """
        mtmd = self._mtmd
        buffer = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
        bitmap = mtmd.mtmd_helper_bitmap_init_from_buf(self.handle, buffer, len(data), False)
        if not bitmap:
            raise InvalidInputError("The image is damaged: it cannot be decoded.")
        try:
            chunks = _Chunks(mtmd)
            text = mtmd.mtmd_input_text(self._marker, len(self._marker), False, True)
            bitmaps = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap)
            code = mtmd.mtmd_tokenize(self.handle, chunks.handle, ctypes.byref(text), bitmaps, 1)
        finally:
            mtmd.mtmd_bitmap_free(bitmap)
        if code:
            raise InvalidInputError(f"The image cannot be prepared for this model (code {code}).")
        return self._picture(chunks, hashlib.sha256(data).digest())

    def _picture(self, chunks: _Chunks, digest: bytes) -> Picture:
        mtmd = self._mtmd
        tokens: list[int] = []
        views: dict[int, View] = {}
        for i in range(mtmd.mtmd_input_chunks_size(chunks.handle)):
            chunk = mtmd.mtmd_input_chunks_get(chunks.handle, i)
            if mtmd.mtmd_input_chunk_get_type(chunk) == _TEXT_CHUNK:
                count = ctypes.c_size_t()
                ids = mtmd.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
                tokens += ids[: count.value]
                continue
            n_positions = int(mtmd.mtmd_input_chunk_get_n_pos(chunk))
            ids = _ids(digest, i, n_positions)
            views[ids[0]] = View(chunk, int(mtmd.mtmd_input_chunk_get_n_tokens(chunk)), n_positions, chunks)
            tokens += ids
        if not views:
            raise InvalidInputError("The model's projector finds nothing to encode in this image.")
        return Picture(tuple(tokens), views)

    def check(self, view: View, context: Context) -> None:
        """Refuse a view that llama.cpp would abort on.

        Raises:
            InvalidInputError: the model needs the whole view in one ubatch, and the context's is smaller.
        """
        n_ubatch = llama.llama_n_ubatch(context.handle)
        if self._mtmd.mtmd_decode_use_non_causal(self.handle, view.chunk) and view.n_cells > n_ubatch:
            raise InvalidInputError(
                f"The model takes an image in one piece of {view.n_cells} tokens; its context takes {n_ubatch}.",
                hint="Free memory, so that the plan has room for a larger ubatch.",
            )

    def decode(self, view: View, context: Context, position: int, sequence: int) -> None:
        """Encode a view and store it in the cache at ``position``; the batch's logits are lost.

        Raises:
            CacheFullError: no KV cells were free, or the encoder failed (llama.cpp returns the same code for both).
                Some of the view's cells may be filled.
            EngineError: the model could not read it.
        """
        end = llama.llama_pos()
        code = self._mtmd.mtmd_helper_eval_chunk_single(
            self.handle,
            context.handle,
            view.chunk,
            position,
            sequence,
            context.n_batch,
            False,
            ctypes.byref(end),
        )
        if code == 1:
            raise CacheFullError
        if code:
            raise EngineError(f"llama.cpp could not read the image (code {code}).", cause="exit")


def _ids(digest: bytes, index: int, count: int) -> list[int]:
    """Negative ids that identify a picture's view: 31 bits of a hash each."""
    stream = hashlib.shake_256(digest + index.to_bytes(4, "big")).digest(4 * count)
    return [-1 - (int.from_bytes(stream[i : i + 4], "big") >> 1) for i in range(0, len(stream), 4)]


def _library() -> Any:
    try:
        return importlib.import_module(f"{PACKAGE}.mtmd_cpp")
    except (OSError, RuntimeError) as error:  # raised by llama-cpp-python's loader
        raise EngineError(
            "llama.cpp is built here without image input.",
            cause="load",
            hint="Build it in with `EDGECHAT_VISION=1 scripts/setup` (about 2 minutes on two cores).",
        ) from error
