"""llama.cpp's sampler chain for one request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.engine.native import logits
from edgechat.engine.native.lib import llama

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.engine.native.context import Context
    from edgechat.engine.native.model import Model
    from edgechat.sampling import Sampling

PENALTY_LAST_N = 64
"""Tokens that the repetition penalty considers; llama.cpp's default."""


class Sampler:
    """Penalties, top-k, top-p, min-p, temperature, seed, in the order of llama.cpp's tools; temperature 0 is greedy.

    Must be closed, since Python does not free the chain.
    """

    def __init__(self, model: Model, sampling: Sampling, seed: int) -> None:
        params = llama.llama_sampler_chain_default_params()
        params.no_perf = True
        self._chain = llama.llama_sampler_chain_init(params)
        self._n_vocab = model.n_vocab
        self._repeats = sampling.repeat_penalty != 1.0
        self._penalizes = self._repeats or sampling.presence_penalty != 0.0
        self.is_argmax = sampling.temperature <= 0 and not self._penalizes
        """True when :meth:`sample` returns the token with the largest logit, whatever came before."""

        def add(part: object) -> None:
            llama.llama_sampler_chain_add(self._chain, part)

        if self._penalizes:
            repeat, presence = sampling.repeat_penalty, sampling.presence_penalty
            add(llama.llama_sampler_init_penalties(model.n_vocab, PENALTY_LAST_N, repeat, 0.0, presence))
        if sampling.temperature <= 0:
            add(llama.llama_sampler_init_greedy())
            return
        if sampling.top_k > 0:
            add(llama.llama_sampler_init_top_k(sampling.top_k))
        if sampling.top_p < 1:
            add(llama.llama_sampler_init_top_p(sampling.top_p, 1))
        if sampling.min_p > 0:
            add(llama.llama_sampler_init_min_p(sampling.min_p, 1))
        add(llama.llama_sampler_init_temp(sampling.temperature))
        add(llama.llama_sampler_init_dist(seed & 0xFFFFFFFF))

    def accept(self, prompt: Sequence[int], resumed: Sequence[int] = ()) -> None:
        """Give the penalties the tokens before the answer, and those of a resumed answer.

        The presence penalty alone does not see the prompt: a text that is to be quoted or summed up would be avoided.
        """
        if self._penalizes:
            for token in [*(prompt if self._repeats else ()), *resumed][-PENALTY_LAST_N:]:
                llama.llama_sampler_accept(self._chain, token)

    def sample(self, context: Context, index: int) -> int:
        """Choose the token after batch position ``index``; the penalty counts it from then on."""
        if self.is_argmax and logits.is_imported():
            # Faster than llama.cpp, which first writes 12 bytes for each token of the vocabulary.
            return int(logits.row(context, index, self._n_vocab).argmax())
        token: int = llama.llama_sampler_sample(self._chain, context.handle, index)
        return token

    def close(self) -> None:
        """Free the chain."""
        if self._chain:
            llama.llama_sampler_free(self._chain)
            self._chain = None
