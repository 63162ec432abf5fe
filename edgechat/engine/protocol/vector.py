"""Vectors of texts as numbers and in frames: 32-bit floats, little-endian, in base64. No numpy.

OpenAI's API returns vectors in the same form when ``encoding_format`` is ``base64``.
"""

from __future__ import annotations

import base64
import math
import sys
from array import array
from typing import TYPE_CHECKING

from edgechat.errors import AnswerError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence


def unit(values: Sequence[float]) -> array[float]:
    """The vector of length 1 in the same direction; a vector of zeros is returned unchanged.

    Raises:
        AnswerError: a value is not a number.
    """
    length = math.sqrt(math.fsum(value * value for value in values))
    if not math.isfinite(length):
        raise AnswerError("The model's vector holds values that are no numbers.", hint="Check the model file.")
    return array("f", [value / length for value in values] if length else values)


def pack(vector: array[float]) -> str:
    """A vector in base64."""
    if sys.byteorder == "big":
        vector = array("f", vector)
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode("ascii")


def unpack(packed: str) -> array[float]:
    """Inverse of :func:`pack`."""
    vector = array("f", base64.b64decode(packed))
    if sys.byteorder == "big":
        vector.byteswap()
    return vector


def shortened(packed: str, dimensions: int | None) -> str:
    """The first ``dimensions`` values, scaled to length 1. Only for models that were trained for it (Matryoshka).

    Raises:
        InvalidInputError: the vector has fewer.
    """
    if dimensions is None:
        return packed
    vector = unpack(packed)
    if dimensions > len(vector):
        raise InvalidInputError(f"dimensions is {dimensions}; this model's vectors have {len(vector)}.")
    return packed if dimensions == len(vector) else pack(unit(vector[:dimensions]))
