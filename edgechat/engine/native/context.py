"""One llama.cpp context: the KV cache, and the batch that is decoded into it.

One batch object is reused for every step; its arrays are allocated once, so that a decode step costs Python a few
stores and one foreign call.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from edgechat.engine.native.lib import llama
from edgechat.engine.native.threadpool import ThreadPool
from edgechat.errors import EngineError
from edgechat.models.planning.kv_types import KV_TYPES

if TYPE_CHECKING:
    from edgechat.engine.native.model import Model
    from edgechat.models.planning.plan import LoadSettings

_FLASH_ATTN_AUTO, _FLASH_ATTN_OFF = -1, 0  # enum llama_flash_attn_type


class CacheFullError(Exception):
    """llama.cpp found no free KV cells for the batch."""


class Context:
    """A context with a unified KV cache shared by ``n_seq_max`` sequences. Not thread-safe.

    Raises:
        EngineError: the context could not be created (usually: not enough memory; see the engine's log).
    """

    def __init__(self, model: Model, settings: LoadSettings, *, embeds: bool = False) -> None:
        params = llama.llama_context_default_params()
        params.embeddings = embeds  # with the file's pooling
        params.n_ctx = settings.n_ctx
        params.n_batch = settings.n_batch
        params.n_ubatch = settings.n_ubatch
        params.n_seq_max = settings.n_seq_max
        # 0 would size the output buffer for n_batch rows of the whole vocabulary (297 MB for 512 rows of Qwen2.5).
        params.n_outputs_max = self.n_outputs_max = max(settings.n_outputs_max, settings.n_seq_max)
        params.n_threads = settings.n_threads
        params.n_threads_batch = settings.n_threads_batch
        params.flash_attn_type = _FLASH_ATTN_AUTO if settings.flash_attn else _FLASH_ATTN_OFF
        params.type_k = params.type_v = KV_TYPES[settings.kv_type].ggml_type
        # The default keeps full-length KV for sliding-window layers.
        params.swa_full = False
        # One pool of cells for all sequences: copying a prefix changes metadata only.
        params.kv_unified = True
        # States of the last tokens, to take drafts back; llama.cpp sets 0 where the architecture cannot.
        params.n_rs_seq = settings.n_rollback
        params.no_perf = True
        self.handle = llama.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise EngineError("llama.cpp could not create the context.", cause="load")
        self._memory = llama.llama_get_memory(self.handle)
        self.n_ctx: int = llama.llama_n_ctx(self.handle)
        self.n_batch: int = llama.llama_n_batch(self.handle)
        self.n_seq_max: int = llama.llama_n_seq_max(self.handle)
        self.n_rollback: int = llama.llama_n_rs_seq(self.handle)
        """Last tokens of one decode call that a recurrent state can take back."""
        self.n_ubatch: int = llama.llama_n_ubatch(self.handle)
        self._threads = (settings.n_threads, settings.n_threads_batch)
        self._pool = ThreadPool(self.handle, max(self._threads))
        self._make_batch()

    def close(self) -> None:
        """Free the KV cache and the compute buffers."""
        if self.handle:
            self._pool.close()
            llama.llama_free(self.handle)
            self.handle = None

    def _make_batch(self) -> None:
        size = self.n_batch
        self._tokens: Any = (ctypes.c_int32 * size)()
        self._positions: Any = (ctypes.c_int32 * size)()
        self._counts = (ctypes.c_int32 * size)(*([1] * size))
        self._sequences: Any = (ctypes.c_int32 * size)()
        self._logits: Any = (ctypes.c_int8 * size)()
        step = ctypes.sizeof(ctypes.c_int32)
        base = ctypes.addressof(self._sequences)
        pointer = ctypes.POINTER(ctypes.c_int32)
        self._sequence_pointers = (pointer * size)(
            *(ctypes.cast(ctypes.c_void_p(base + i * step), pointer) for i in range(size))
        )
        self._batch = llama.llama_batch(
            0,
            ctypes.cast(self._tokens, pointer),
            None,
            ctypes.cast(self._positions, pointer),
            ctypes.cast(self._counts, pointer),
            ctypes.cast(self._sequence_pointers, ctypes.POINTER(pointer)),
            ctypes.cast(self._logits, ctypes.POINTER(ctypes.c_int8)),
        )

    # -- the batch ----------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Empty the batch."""
        self._batch.n_tokens = 0

    @property
    def room(self) -> int:
        """How many more tokens fit the batch; llama.cpp aborts the process on more than n_batch."""
        return self.n_batch - int(self._batch.n_tokens)

    def add(self, tokens: list[int], position: int, sequence: int, *, want_logits: bool, n_rows: int = 1) -> int:
        """Append consecutive tokens of one sequence; logits, if wanted, are computed for the last ``n_rows`` of them.

        llama.cpp aborts the process on more than ``n_outputs_max`` rows in one batch.

        Returns:
            The batch index of the first token with logits (samplers take it); of the last token without logits.
        """
        start: int = self._batch.n_tokens
        count = len(tokens)
        if count > self.n_batch - start:
            raise EngineError(f"A batch of {start + count} tokens exceeds n_batch {self.n_batch}.", cause="exit")
        end = start + count
        if count == 1:  # the decode step: no slices
            self._tokens[start] = tokens[0]
            self._positions[start] = position
            self._sequences[start] = sequence
        else:
            self._tokens[start:end] = tokens
            self._positions[start:end] = range(position, position + count)
            self._sequences[start:end] = [sequence] * count
            self._logits[start:end] = [0] * count
        self._batch.n_tokens = end
        if n_rows == 1:
            self._logits[end - 1] = want_logits
        else:
            self._logits[end - n_rows : end] = [want_logits] * n_rows
        return end - n_rows

    def decode(self) -> None:
        """Run the batch through the model.

        Raises:
            CacheFullError: no KV cells were free; the cache is as it was before the call.
            EngineError: llama.cpp failed; the cache is unusable.
        """
        code = llama.llama_decode(self.handle, self._batch)
        if code == 1:
            raise CacheFullError
        if code != 0:
            raise EngineError(f"llama_decode failed with code {code}.", cause="exit")

    # -- the KV cache --------------------------------------------------------------------------------------------

    def drop(self, sequence: int, start: int = 0) -> bool:
        """Remove a sequence's cells from position ``start`` on; False when the model cannot remove a tail."""
        return bool(llama.llama_memory_seq_rm(self._memory, sequence, start, -1))

    def first_position(self, sequence: int) -> int:
        """The first position from which on every layer has all cells of a sequence; -1 where it has none."""
        position: int = llama.llama_memory_seq_pos_min(self._memory, sequence)
        return position

    def share(self, source: int, target: int, end: int) -> None:
        """Share the cells of ``source`` up to position ``end`` with the empty sequence ``target``, without a copy."""
        llama.llama_memory_seq_cp(self._memory, source, target, 0, end)

    def set_threads(self, n_threads: int, n_threads_batch: int) -> None:
        """Change the thread counts for decode and prefill; takes effect at the next step."""
        if (n_threads, n_threads_batch) != self._threads:
            llama.llama_set_n_threads(self.handle, n_threads, n_threads_batch)
            self._threads = (n_threads, n_threads_batch)
