"""A llama.cpp context that makes vectors of texts instead of continuing them.

Encoders (bert) and decoders (qwen3) both: ``llama_decode`` encodes where the model has no memory. Knows no requests.
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
    """Vectors of texts, pooled as the model's file says. Not thread-safe.

    Raises:
        EngineError: the context could not be created.
    """

    def __init__(self, model: Model, settings: LoadSettings) -> None:
        self._context = Context(model, settings, embeds=True)
        # A bert has no position beyond those it was trained with; llama.cpp pads the context, and aborts on the others.
        self.longest = min(self._context.n_ctx, model.n_ctx_train)
        """Tokens in one text, at most."""
        self._n_values: int = llama.llama_model_n_embd_out(model.handle)

    def close(self) -> None:
        """Free the context."""
        self._context.close()

    def set_threads(self, n_threads: int, n_threads_batch: int) -> None:
        """Change the thread counts; takes effect with the next text."""
        self._context.set_threads(n_threads, n_threads_batch)

    def vector(self, tokens: list[int]) -> list[float]:
        """The vector of one text of 1 to :attr:`longest` tokens.

        One at a time, because kernels for attention differ in rounding by how many tokens they see: a text would get
        another vector (cosine 0.9996 with a 135M llama) by what stands beside it. Eight short ones together would be
        1.4 times as fast.

        Raises:
            EngineError: llama.cpp failed.
        """
        context = self._context
        # In pieces only where the text is longer than a batch; the plan sees to it that its model can do so.
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
