"""Whether a model file makes embeddings, and how: read from its header, before llama.cpp sees the file.

A file is made for embedding when it says how the vectors of a text's tokens become one (``<arch>.pooling_type``, the
numbers of ``enum llama_pooling_type`` in ``llama.h``). Vectors pooled from a chat model would find the wrong texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgechat.models.gguf.header_shape import ENCODERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.models.gguf.header import GgufHeader

Pooling = Literal["mean", "cls", "last"]
"""The mean of all tokens' vectors, the first token's, or the last one's."""

_BY_NUMBER: dict[int, Pooling] = {1: "mean", 2: "cls", 3: "last"}
_NONE, _RANK = 0, 4


def pooling_of(header: GgufHeader) -> Pooling | None:
    """How this file makes a text's vector; None for one that makes none."""
    return _BY_NUMBER.get(_number(header))


def writes_text(header: GgufHeader) -> bool:
    """Whether a conversation can be held with this file."""
    return _number(header) == _NONE and header.arch not in ENCODERS


def pooling_faults(header: GgufHeader) -> Iterator[str]:
    """Why a file that writes no text cannot make vectors either."""
    number = _number(header)
    if number == _RANK:
        yield "it is a reranker; only models that chat or make embeddings are supported"
    elif number != _NONE and number not in _BY_NUMBER:
        yield f"its pooling type is {number}, which llama.cpp does not know"
    elif number == _NONE and header.arch in ENCODERS:
        yield "it is an encoder and does not say how a text's vectors become one (pooling_type)"


def reads_in_pieces(header: GgufHeader) -> bool:
    """Whether a long text may go through the model in pieces, which takes less memory.

    Of models that make vectors, only where each token looks back alone and the last one's vector is the text's.
    """
    if writes_text(header):
        return True
    looks_back = header.arch not in ENCODERS and header.metadata.get(f"{header.arch}.attention.causal") is not False
    return looks_back and pooling_of(header) == "last"


def _number(header: GgufHeader) -> int:
    return header.integer(f"{header.arch}.pooling_type", _NONE)
