"""What the fit chooses among and what the person wants of it. Data only; ``sources.py`` makes candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.models.planning.plan import LONGEST_DRAFT

if TYPE_CHECKING:
    from edgechat.models.gguf.shape import ModelShape, WeightBytes
    from edgechat.models.planning.calibration import Measurement


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model file that might be loaded."""

    name: str
    quant: str
    shape: ModelShape
    weights: WeightBytes
    quality: int = 0
    """Order of preference, more is better (``CatalogEntry.quality``)."""
    purpose: str = "chat"
    """``chat``, ``translation``, or ``embedding``: a model that makes vectors and no text."""
    in_pieces: bool = True
    """A prompt may be read in pieces; where not, a whole text is one ubatch."""
    licence: str = ""
    is_free: bool = True
    """The licence needs no acceptance, or has been accepted."""
    is_installed: bool = False
    always_thinks: bool = False
    """It reasons before every answer, and cannot be told not to."""
    n_ctx_max: int | None = None
    """A context the model was really trained for, where the file advertises more."""
    measured: tuple[Measurement, ...] = ()
    """What ``edgechat bench`` found for this file on the board that is planned for."""

    @property
    def label(self) -> str:
        """``NAME:QUANT``, as commands take it."""
        return f"{self.name}:{self.quant.lower()}"

    @property
    def n_ctx_limit(self) -> int:
        """The largest context worth asking for."""
        trained = self.shape.n_ctx_train
        return min(trained, self.n_ctx_max) if self.n_ctx_max else trained


@dataclass(frozen=True, slots=True)
class FitWish:
    """What the person asked for; None leaves it to the fit."""

    n_ctx: int | None = None
    threads: int | None = None
    kv_type: str | None = None
    exact: bool = False
    """Only what changes no answer may give way: ubatch, sequences kept warm, load mode, threads. For pinned models."""
    parallel: int = 16
    """Sequences that may live in the context together; a quarter of them where each takes a window or a state of its
    own. A batch costs least for each token from 16 rows on: eight of the 0.5B model cost half as much each as one
    alone, sixteen a third (2 cores, AVX-512)."""
    longest_draft: int = LONGEST_DRAFT
    """Draft tokens checked in one step, at most, over all sequences: each is an output row."""
    offload: bool = True
    """Whether the engine was built to use the board's GPU."""
    purpose: str = "chat"
    any_licence: bool = False
    """Recommend models whose licence nobody here has accepted, too."""
    min_decode_tps: float = 3.0
    """Slower models are passed over while a faster one fits: this is below the pace at which people read. One that
    thinks before every answer must be three times as fast."""

    @property
    def output_rows(self) -> int:
        """Rows of logits that one step may ask for. Where many answer at once, drafts get the rows that are left."""
        return max(self.parallel, 1 + self.longest_draft)
