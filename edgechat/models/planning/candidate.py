"""Candidates: the model files that a plan may choose among.

Makes candidates from catalog entries and from the headers of installed files. Reads no board and decides nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgechat.models.gguf.header_shape import reads_in_pieces, shape_of, weight_bytes, writes_text
from edgechat.models.gguf.quantized_size import QUANTS, quantized_sizes
from edgechat.models.gguf.repack import is_repacked
from edgechat.models.gguf.shape import MatrixElements, ModelShape, WeightBytes
from edgechat.models.planning.calibration import Measurement, file_key

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from edgechat.models.catalog.entry import CatalogEntry
    from edgechat.models.gguf.header import GgufHeader
    from edgechat.models.store.installed import InstalledModel

_HEADER_PER_TOKEN = 40
"""Bytes of header for each vocabulary entry in published files: 36 (SmolLM2) to 61 (Llama 3)."""
_MOST_HEADER = 10
"""A header is at most one part in this many of the file."""
_EXPERT_SHARE, _MOST_EXPERTS = 0.94, 0.98
"""Share of a mixture's layers that is experts, where it cannot be computed: gpt-oss-20b 0.96, Qwen3.6-35B-A3B 0.94,
LFM2.5-8B-A1B 0.92; and the most that is believed of a computed one, which does not know of dense layers."""
_REPACKED_SHARE = 0.75
"""Share of a mixed K-quantization's layers in its base type; nearly all in Q4_0."""
_WIDE_SHARE = 0.15
"""Share of a mixed K-quantization's elements in Q6_K: ``ffn_down`` and values of half of the layers."""
# Base type of each quantization and its bytes per element; embedding and output use Q6_K or Q8_0.
_Q6_K, _Q8_0 = 210 / 256, 34 / 32
_BASE = {
    "Q3_K_S": ("Q3_K", 110 / 256),
    "Q3_K_M": ("Q3_K", 110 / 256),
    "Q4_K_M": ("Q4_K", 144 / 256),
    "Q4_0": ("Q4_0", 18 / 32),
    "Q4_1": ("Q4_1", 20 / 32),
    "Q8_0": ("Q8_0", _Q8_0),
    "MXFP4": ("MXFP4", 17 / 32),
}


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
    """A text may be read in several batches; otherwise a whole text is one ubatch."""
    licence: str = ""
    is_free: bool = True
    """The licence needs no acceptance, or has been accepted."""
    is_installed: bool = False
    always_thinks: bool = False
    """It reasons before every answer, and this cannot be switched off."""
    n_ctx_max: int | None = None
    """The context length the model was trained for, where the file advertises more."""
    is_quantization_aware: bool = False
    """Its 4 bits come from quantization-aware training, so it answers as well as a larger file."""
    superseded_by: str = ""
    """A newer model that does all this one does, in no more memory: recommended instead of it."""
    unknown_bytes: int = 0
    """By how much the file may be larger than ``weights`` says: a listing rounded its size."""
    measured: tuple[Measurement, ...] = ()
    """The results of ``edgechat bench`` for this file on the board."""

    @property
    def label(self) -> str:
        """``NAME:QUANT``, as commands take it."""
        return f"{self.name}:{self.quant.lower()}"

    @property
    def n_ctx_limit(self) -> int:
        """The context length the model was trained for."""
        trained = self.shape.n_ctx_train
        return min(trained, self.n_ctx_max) if self.n_ctx_max else trained


def from_entry(
    entry: CatalogEntry, quant: str, features: Collection[str], *, accepted: Collection[str] = ()
) -> Candidate:
    """The candidate for a file that could be fetched. Weights are computed for llama.cpp's own layouts, else estimated.

    Args:
        entry: the model.
        quant: one of ``entry.files``.
        features: SIMD features of the board's processor.
        accepted: the accepted licences.
    """
    shape, file = entry.shape(), entry.file(quant)
    rules = entry.rules(quant) if quant in QUANTS else None
    if rules is None:
        weights = estimated_weights(shape, quant, file.bytes, features, entry.params)
    else:
        bare = quantized_sizes(
            shape, quant, features=tuple(features), metadata_bytes=0, imatrix=rules.imatrix, old_rules=rules.old_rules
        )
        weights = replace(bare, file=max(bare.file, file.bytes))  # the header is what the published file has beside
    return Candidate(
        name=entry.name,
        quant=quant,
        shape=shape,
        weights=weights,
        quality=entry.quality,
        purpose=entry.purpose,
        licence=entry.licence,
        is_free=entry.free or entry.licence in accepted,
        always_thinks=entry.chat.thinking == "always",
        n_ctx_max=entry.n_ctx_max,
        is_quantization_aware=file.quantization_aware,
        superseded_by=entry.superseded_by or "",
        unknown_bytes=file.uncertainty if rules is None else 0,
    )


def from_installed(
    model: InstalledModel,
    header: GgufHeader,
    features: Collection[str],
    entry: CatalogEntry | None = None,
    measured: Mapping[str, tuple[Measurement, ...]] | None = None,
) -> Candidate:
    """The candidate for an installed file.

    Args:
        model: the file.
        header: its header, which gives the shape and the weights.
        features: SIMD features of the board's processor.
        entry: its catalog entry, which gives quality and purpose.
        measured: the calibration of this board, by ``file_key``.
    """
    return Candidate(
        name=model.name,
        quant=model.quant,
        shape=shape_of(header),
        weights=weight_bytes(header, features),
        quality=entry.quality if entry else _unrated(model.file_bytes),
        purpose=(entry.purpose if entry else "chat") if writes_text(header) else "embedding",
        in_pieces=reads_in_pieces(header),
        licence=model.licence or (entry.licence if entry else ""),
        is_installed=True,
        always_thinks=entry.chat.thinking == "always" if entry else False,
        n_ctx_max=model.n_ctx_max or (entry.n_ctx_max if entry else None),
        superseded_by=(entry.superseded_by or "") if entry else "",
        measured=(measured or {}).get(file_key(model.name, model.quant, model.file_bytes), ()),
    )


def _unrated(file_bytes: int) -> int:
    """The quality of a file without a catalog entry: the average of catalog entries of its size."""
    return max(1, min(60, round(34 + 12 * math.log2(file_bytes / 1e9)))) if file_bytes > 0 else 1


def estimated_weights(
    shape: ModelShape, quant: str, file_bytes: int, features: Collection[str], params: int | None = None
) -> WeightBytes:
    """Estimate how the bytes of a publisher's own mixture are divided; the sum is the published size.

    Args:
        shape: the model.
        quant: its quantization.
        file_bytes: the published size.
        features: SIMD features of the processor.
        params: its parameters, where they are known: what is left of them beside embeddings is in the blocks.
    """
    kind, base = _BASE.get(quant, _BASE["Q4_K_M"])
    header = min(_HEADER_PER_TOKEN * shape.n_vocab, file_bytes // _MOST_HEADER)
    matrix = shape.n_vocab * shape.n_embd
    wide = _Q8_0 if shape.n_embd % 256 or kind in ("Q8_0", "MXFP4") else _Q6_K
    output = round(matrix * wide)
    embedding = output if shape.tied_embeddings else round(matrix * (wide if kind == "MXFP4" else base))
    tables = shape.n_embd_per_layer * shape.n_layer * shape.n_vocab
    inside_blocks = params - matrix * (1 if shape.tied_embeddings else 2) - tables if params else 0
    lookup = round(tables * base)
    if tables and inside_blocks > 0:
        # Publishers store the tables at widths of their own; the blocks are as the quantization says.
        beside = file_bytes - header - embedding - (0 if shape.tied_embeddings else output)
        lookup = max(0, beside - round(inside_blocks * _mixed(kind, base)))
    single = embedding + lookup + (0 if shape.tied_embeddings else output)
    layers = max(0, file_bytes - header - single)
    each = layers // max(1, shape.n_layer)
    per_layer = (each,) * (shape.n_layer - 1) + (layers - each * (shape.n_layer - 1),)
    experts = round(layers * _expert_share(shape, inside_blocks)) if shape.n_expert else 0
    # Any dimensions do: 256 rows suit every kernel.
    inside = is_repacked("blk.0.ffn_up.weight", (shape.n_embd, 256), kind, features)
    output_kind = "Q6_K" if wide == _Q6_K else "Q8_0"
    outside = is_repacked("output.weight", (shape.n_embd, 256), output_kind, features)
    share = 1.0 if kind in ("Q4_0", "Q8_0", "MXFP4") else _REPACKED_SHARE
    return WeightBytes(
        file=file_bytes,
        embedding=embedding,
        output=output,
        per_layer=per_layer,
        repackable=(round(layers * share) if inside else 0) + (output if outside else 0),
        other=file_bytes - header - embedding - (0 if shape.tied_embeddings else output) - sum(per_layer),
        repackable_output=output if outside else 0,
        experts=experts,
        per_layer_embedding=lookup,
        matrices=_matrices(kind, base, layers, experts, inside_blocks),
    )


def _expert_share(shape: ModelShape, inside_blocks: int) -> float:
    """The share of a mixture's blocks in expert matrices: gate, up and down of ``n_ff`` for each expert and layer."""
    experts = 3 * shape.n_expert * shape.n_embd * sum(shape.n_ff)
    share = experts / inside_blocks if inside_blocks > 0 else 1.0
    return share if share <= _MOST_EXPERTS else _EXPERT_SHARE


def _mixed(kind: str, base: float) -> float:
    """Bytes of an average element of the blocks."""
    return base if kind in ("Q4_0", "Q8_0", "MXFP4") else base * (1 - _WIDE_SHARE) + _Q6_K * _WIDE_SHARE


def _matrices(kind: str, base: float, layers: int, experts: int, params: int) -> tuple[MatrixElements, ...]:
    """The elements of blocks of ``layers`` bytes, ``experts`` of them in experts; ``params`` in all, 0 if not known."""
    total = params if params > 0 else layers / _mixed(kind, base)
    share = experts / layers if layers else 0.0
    wide = 0.0 if _mixed(kind, base) == base else _WIDE_SHARE
    parts = ((kind, 1 - wide), ("Q6_K", wide))
    return tuple(
        MatrixElements(each, round(total * (1 - share) * part), round(total * share * part))
        for each, part in parts
        if part
    )
