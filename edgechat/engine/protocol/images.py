"""Checks images before they reach a model: format and size from the header, with the standard library only.

The engine's image decoder is native code that trusts the sizes in the file, so they are checked here first. Nothing is
decoded here.
"""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 20_000_000
"""Of one file; a camera's largest JPEG is about as large."""
MAX_PIXELS = 16_000_000
"""A decoded pixel takes 3 bytes, but 16 while decoding: the decoder unpacks a 16-bit RGBA PNG to 8 bytes a pixel and
converts it to another 8. That is 256 MB at this limit; a PNG of some kilobytes can claim so many pixels."""

_DATA_URL = "data:image/"
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""JPEG markers SOF0-SOF15, which carry the size; C4, C8 and CC are something else (ITU-T T.81, table B.1)."""


@dataclass(frozen=True, slots=True)
class ImageSize:
    """Width and height in pixels, as the file's header claims."""

    width: int
    height: int


def encode(data: bytes, name: str) -> str:
    """An image file's bytes in base64, as requests contain them.

    Raises:
        InvalidInputError: it is not a PNG or JPEG file, its header is damaged, or it is too large.
    """
    check(data, name)
    return base64.b64encode(data).decode("ascii")


def read(path: Path) -> str:
    """The image in a file, for a request.

    Raises:
        InvalidInputError: it cannot be read or is not accepted.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = error.strerror if isinstance(error, OSError) else error
        raise InvalidInputError(
            f"The image {path} cannot be read: {why}.", hint="Name a PNG or JPEG file that exists."
        ) from error
    return encode(data, str(path))


def from_data_url(url: str) -> str:
    """The image in a ``data:image/…;base64,…`` address, for a request.

    Raises:
        InvalidInputError: it is another kind of address, or the image is not accepted.
    """
    head, comma, body = url.partition(",")
    if not (head.startswith(_DATA_URL) and head.endswith(";base64") and comma):
        raise InvalidInputError(
            "An image must come with the request, as a data:image/…;base64 address: nothing is fetched from elsewhere."
        )
    return encode(decode(body), "the image")


def is_data_url(text: str) -> bool:
    """True for an address that contains the image."""
    return text.startswith(_DATA_URL)


def decode(encoded: str) -> bytes:
    """Inverse of :func:`encode`, without its checks.

    Raises:
        InvalidInputError: it is not base64.
    """
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError(f"The image is not base64: {error}.") from error


def check(data: bytes, name: str) -> ImageSize:
    """Check an image's header and return its size.

    Raises:
        InvalidInputError: it is not PNG or JPEG, has no size, or is too large.
    """
    if len(data) > MAX_BYTES:
        raise InvalidInputError(f"{name} is larger than {MAX_BYTES // 1_000_000} MB.", hint="Make it smaller.")
    if data.startswith(_PNG):
        size = _png_size(data)
    elif data.startswith(_JPEG):
        size = _jpeg_size(data)
    else:
        raise InvalidInputError(f"{name} is neither a PNG nor a JPEG image.", hint="Convert it to one of them.")
    if size is None or size.width < 1 or size.height < 1:
        raise InvalidInputError(f"{name} is damaged: its header does not say how large the image is.")
    if size.width * size.height > MAX_PIXELS:
        raise InvalidInputError(
            f"{name} has {size.width} x {size.height} pixels; {MAX_PIXELS // 1_000_000} million are decoded at most.",
            hint="Make it smaller: models use some hundred pixels a side.",
        )
    return size


def _png_size(data: bytes) -> ImageSize | None:
    """IHDR is the first chunk (PNG specification, third edition, 5.6)."""
    if len(data) < 33 or data[12:16] != b"IHDR":
        return None
    return ImageSize(*struct.unpack(">II", data[16:24]))


def _jpeg_size(data: bytes) -> ImageSize | None:
    """The first frame header (ITU-T T.81, B.2.2): marker, length, precision, lines, samples a line."""
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return ImageSize(width, height)
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
