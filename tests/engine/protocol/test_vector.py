"""Vectors as numbers and as they travel."""

from __future__ import annotations

import base64
import struct

import pytest

from edgechat.engine.protocol.vector import pack, shortened, unit, unpack
from edgechat.errors import AnswerError, InvalidInputError


def test_a_vector_travels_as_little_endian_floats() -> None:
    assert base64.b64decode(pack(unit([3.0, 4.0]))) == struct.pack("<2f", 0.6, 0.8)
    assert list(unpack(pack(unit([0.0, -2.0])))) == [0.0, -1.0]


def test_a_vector_of_zeros_stays_so() -> None:
    assert list(unit([0.0, 0.0])) == [0.0, 0.0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_never_handed_out(value: float) -> None:
    with pytest.raises(AnswerError):
        unit([1.0, value])


def test_a_shortened_vector_has_length_one() -> None:
    packed = pack(unit([3.0, 4.0, 12.0]))
    assert list(unpack(shortened(packed, 2))) == pytest.approx([0.6, 0.8])
    assert shortened(packed, 3) == shortened(packed, None) == packed
    with pytest.raises(InvalidInputError, match="have 3"):
        shortened(packed, 4)
