"""A llama.cpp context that computes embedding vectors.

For encoders (bert) and decoders (qwen3) alike: ``llama_decode`` encodes where the model has no KV cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.engine.native.context import Context
from edgechat.engine.native.lib import llama
from edgechat.errors import EngineError

if TYPE_CHECKING:
    from edgechat.engine.native.model import Model
    from edgechat.models.planning.plan import LoadSettings


class Embedder:
    """Vectors of texts, with the pooling that the model's file names. Not thread-safe.

    Raises:
        EngineError: the context could not be created.
    """

    def __init__(self, model: Model, settings: LoadSettings) -> None:
        self._context = Context(model, settings, embeds=True)
        # A bert has no positions beyond its training context; llama.cpp pads the context, and aborts on such positions.
        self.longest = min(self._context.n_ctx, model.n_ctx_train)
        """Maximum tokens of one text."""
        self._n_values: int = llama.llama_model_n_embd_out(model.handle)

    def close(self) -> None:
        """Free the context."""
        self._context.close()

    def set_threads(self, n_threads: int, n_threads_batch: int) -> None:
        """Change the thread counts; takes effect with the next text."""
        self._context.set_threads(n_threads, n_threads_batch)

    def vector(self, tokens: list[int]) -> list[float]:
        """The vector of one text of 1 to :attr:`longest` tokens.

        One text at a time, because the rounding of attention kernels depends on the number of tokens in a batch: a text
        would get another vector beside other texts (cosine 0.9996 with a 135M llama). Eight short texts in one batch
        would be 1.4 times as fast.

        Raises:
            EngineError: llama.cpp failed.
        """
        context = self._context
        # Several batches only for a text longer than one; plans allow that only for models that can do it.
        for start in range(0, len(tokens), context.n_batch):
            piece = tokens[start : start + context.n_batch]
            context.clear()
            context.add(piece, start, 0, want_logits=True, n_rows=len(piece))
            context.decode()
        values = llama.llama_get_embeddings_seq(context.handle, 0)
        if not values:
            raise EngineError("llama.cpp gave no vector for a text.", cause="exit")
        found = list(values[: self._n_values])
        context.drop(0)
        return found
