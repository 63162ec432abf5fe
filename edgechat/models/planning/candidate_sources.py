"""Model files that a plan may choose among: what is installed, and what the catalog could bring.

Turns catalog entries and file headers into :class:`Candidate`; reads no board and decides nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgechat.models.gguf.header_shape import shape_of, weight_bytes
from edgechat.models.gguf.pooling import reads_in_pieces, writes_text
from edgechat.models.gguf.quantized_size import QUANTS, quantized_sizes
from edgechat.models.gguf.repack import is_repacked
from edgechat.models.gguf.shape import WeightBytes
from edgechat.models.planning.candidate import Candidate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from edgechat.models.catalog.entry import CatalogEntry
    from edgechat.models.gguf.header import GgufHeader
    from edgechat.models.gguf.shape import ModelShape
    from edgechat.models.store.installed import InstalledModel

_HEADER_PER_TOKEN = 40
"""Bytes of header a vocabulary entry takes in published files: 36 (SmolLM2) to 61 (Llama 3)."""
_MOST_HEADER = 10
"""A header is at most one part in this many of the file."""
_EXPERT_SHARE = 0.94
"""Of a mixture's layers this much is experts: gpt-oss-20b 0.96, Qwen3.6-35B-A3B 0.94, LFM2.5-8B-A1B 0.92."""
_REPACKED_SHARE = 0.75
"""Of a mixed K-quantization's layers this much is in its base type; Q4_0 is nearly whole."""
# Bits an element of the base type, the embedding and the output take, by quantization.
_Q6_K, _Q8_0 = 210 / 256, 34 / 32
_BASE = {"Q3_K_M": ("Q3_K", 110 / 256), "Q4_K_M": ("Q4_K", 144 / 256), "Q4_0": ("Q4_0", 18 / 32),
         "Q4_1": ("Q4_1", 20 / 32), "Q8_0": ("Q8_0", _Q8_0), "MXFP4": ("MXFP4", 17 / 32)}  # fmt: skip


def from_entry(
    entry: CatalogEntry, quant: str, features: Collection[str], *, accepted: Collection[str] = ()
) -> Candidate:
    """A file that could be fetched. Its weights are computed where the layout is llama.cpp's own, else estimated.

    Args:
        entry: the model.
        quant: one of ``entry.files``.
        features: SIMD features of the board's processor.
        accepted: licences that somebody accepted.
    """
    shape, file = entry.shape(), entry.file(quant)
    rules = entry.rules(quant) if quant in QUANTS else None
    if rules is None:
        weights = estimated_weights(shape, quant, file.bytes, features)
    else:
        imatrix, old_rules = rules.imatrix, rules.old_rules
        bare = quantized_sizes(shape, quant, metadata_bytes=0, imatrix=imatrix, old_rules=old_rules)
        weights = quantized_sizes(
            shape,
            quant,
            features=features,
            metadata_bytes=max(0, file.bytes - bare.file),
            imatrix=imatrix,
            old_rules=old_rules,
        )
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
    )


def from_installed(
    model: InstalledModel, header: GgufHeader, features: Collection[str], entry: CatalogEntry | None = None
) -> Candidate:
    """A file that is here, as its own header tells it; the entry gives what a header does not know."""
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
    )


def _unrated(file_bytes: int) -> int:
    """A rank for a file that no editor has judged: what catalog entries of its size have, on average."""
    return max(1, min(60, round(34 + 12 * math.log2(file_bytes / 1e9)))) if file_bytes > 0 else 1


def from_catalog(
    entries: Iterable[CatalogEntry], features: Collection[str], accepted: Collection[str] = ()
) -> list[Candidate]:
    """Every file of every entry."""
    return [from_entry(entry, quant, features, accepted=accepted) for entry in entries for quant in entry.files]


def estimated_weights(shape: ModelShape, quant: str, file_bytes: int, features: Collection[str]) -> WeightBytes:
    """How the bytes of a publisher's own mixture divide, as far as its shape and size tell.

    The sum is the published size; the shares of embedding, output and layers are estimates.
    """
    kind, base = _BASE.get(quant, _BASE["Q4_K_M"])
    header = min(_HEADER_PER_TOKEN * shape.n_vocab, file_bytes // _MOST_HEADER)
    matrix = shape.n_vocab * shape.n_embd
    wide = _Q8_0 if shape.n_embd % 256 or kind in ("Q8_0", "MXFP4") else _Q6_K
    output = round(matrix * wide)
    embedding = output if shape.tied_embeddings else round(matrix * (wide if kind == "MXFP4" else base))
    lookup = round(shape.n_embd_per_layer * shape.n_layer * shape.n_vocab * base)
    single = embedding + lookup + (0 if shape.tied_embeddings else output)
    layers = max(0, file_bytes - header - single)
    each = layers // max(1, shape.n_layer)
    per_layer = (each,) * (shape.n_layer - 1) + (layers - each * (shape.n_layer - 1),)
    experts = round(layers * _EXPERT_SHARE) if shape.n_expert else 0
    # Dimensions stand in for the model's: 256 rows suit every kernel.
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
    )
