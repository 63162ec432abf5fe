"""Log probabilities of an answer's tokens: of the model's own distribution, before constraint, penalties and sampling.

A token that a constraint forces is the only one possible, and no logits are computed for it: its probability is 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

LEAST = -9999.0
"""In place of minus infinity, which JSON does not have; OpenAI's API documents the same value."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """What is kept of one row of logits: constraints overwrite the row in place."""

    logits: NDArray[np.float32]
    log_total: float
    """Logarithm of the sum of the exponentials of all logits."""
    likeliest: tuple[int, ...]

    @classmethod
    def of(cls, row: NDArray[np.float32], n_top: int) -> Distribution:
        """Measure a row of logits, shape (n_vocab,)."""
        import numpy as np  # noqa: PLC0415 - only for answers that ask for it

        logits = row.copy()
        peak = float(logits.max())
        log_total = peak + float(np.log(np.exp(logits - peak, dtype=np.float64).sum()))
        top = np.argpartition(logits, -n_top)[-n_top:] if n_top else np.empty(0, dtype=np.int64)
        ordered = top[np.argsort(-logits[top], kind="stable")]
        return cls(logits, log_total, tuple(map(int, ordered)))

    def entry(self, token: int, piece: Callable[[int], bytes]) -> dict[str, Any]:
        """The entry of the token that was chosen, in OpenAI's form."""
        likeliest = [_entry(piece(each), self._logprob(each)) for each in self.likeliest]
        return {**_entry(piece(token), self._logprob(token)), "top_logprobs": likeliest}

    def _logprob(self, token: int) -> float:
        return max(float(self.logits[token]) - self.log_total, LEAST)


def forced_entry(piece: bytes) -> dict[str, Any]:
    """The entry of a token that was the only one possible."""
    return {**_entry(piece, 0.0), "top_logprobs": []}


def _entry(piece: bytes, logprob: float) -> dict[str, Any]:
    return {"token": piece.decode("utf-8", "replace"), "logprob": round(logprob, 6), "bytes": list(piece)}
