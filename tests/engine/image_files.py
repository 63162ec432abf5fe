"""Small image files, made from nothing but their formats' definitions."""

from __future__ import annotations

import struct
import zlib


def png(
    width: int, height: int, colour: tuple[int, int, int] = (200, 30, 30), claimed: tuple[int, int] | None = None
) -> bytes:
    """A PNG of one colour that fades from row to row; ``claimed`` lies about its size."""
    rows = b"".join(
        b"\0" + bytes(part * (y + 1) // height for _x in range(width) for part in colour) for y in range(height)
    )
    head = struct.pack(">IIBBBBB", *(claimed or (width, height)), 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def jpeg_header(width: int, height: int) -> bytes:
    """The front of a JPEG file: start of image, and a frame header of one component."""
    return b"\xff\xd8" + b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
