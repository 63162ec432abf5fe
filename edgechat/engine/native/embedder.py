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
    from edgechat.models.plan import LoadSettings


class Embedder:
    """Vectors of texts, pooled as the model's file says. Not thread-safe.

    Raises:
        EngineError: the context could not be created.
    """

    def __init__(self, model: Model, settings: LoadSettings) -> None:
        self.context = Context(model, settings, embeds=True)
        # A bert has no position beyond those it was trained with; llama.cpp pads the context, and aborts on the others.
        self.longest = min(self.context.n_ctx, model.n_ctx_train)
        """Tokens in one text, at most."""
        self._n_values: int = llama.llama_model_n_embd_out(model.handle)

    def close(self) -> None:
        """Free the context."""
        self.context.close()

    def fits(self, lengths: list[int]) -> bool:
        """Whether texts of so many tokens can be taken together."""
        return len(lengths) <= self.context.n_seq_max and sum(lengths) <= self.context.n_batch

    def vectors(self, texts: list[list[int]]) -> list[list[float]]:
        """The vectors of texts given as token ids: one of any length, or several for which :meth:`fits` holds.

        Raises:
            EngineError: llama.cpp failed.
        """
        context = self.context
        context.clear()
        if len(texts) == 1:
            self._read(texts[0])
        else:
            for sequence, tokens in enumerate(texts):
                context.add(tokens, 0, sequence, want_logits=True, n_rows=len(tokens))
            context.decode()
        found = [self._vector(sequence) for sequence in range(len(texts))]
        for sequence in range(len(texts)):
            context.drop(sequence)
        return found

    def _read(self, tokens: list[int]) -> None:
        """One text, in pieces of a batch where it is longer: the plan lets only such models have a smaller batch."""
        for start in range(0, len(tokens), self.context.n_batch):
            piece = tokens[start : start + self.context.n_batch]
            self.context.clear()
            self.context.add(piece, start, 0, want_logits=True, n_rows=len(piece))
            self.context.decode()

    def _vector(self, sequence: int) -> list[float]:
        values = llama.llama_get_embeddings_seq(self.context.handle, sequence)
        if not values:
            raise EngineError("llama.cpp gave no vector for a text.", cause="exit")
        return list(values[: self._n_values])
