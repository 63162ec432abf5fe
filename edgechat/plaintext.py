"""Text for people: control characters and invisible reordering are removed; sizes are written in MB.

Terminals execute ESC, C1 and OSC sequences, and bidirectional overrides change the order in which text is displayed.
Each character is handled alone, so that a stream can be cleaned piece by piece.
"""

from __future__ import annotations

_KEPT = "\n\t"
_BIDI = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)
_C0_AND_DEL = (*range(0x20), 0x7F)
_C1 = range(0x80, 0xA0)
_TABLE: dict[int, str | None] = {code: None for code in (*_C0_AND_DEL, *_C1, *_BIDI) if chr(code) not in _KEPT}
# Line and paragraph separators become newlines; a lone surrogate cannot be encoded.
_TABLE.update({0x2028: "\n", 0x2029: "\n", **dict.fromkeys(range(0xD800, 0xE000), "\ufffd")})


def clean(text: str) -> str:
    """``text`` without C0 (but newline and tab), DEL, C1, bidirectional controls and lone surrogates."""
    return text.translate(_TABLE)


def clean_line(text: str) -> str:
    """The same on one line, for names and messages: newlines and tabs become spaces."""
    return " ".join(clean(text).split())


def megabytes(size: int) -> str:
    """A number of bytes as ``1,234 MB`` (1 MB is 1,000,000 bytes)."""
    return f"{size / 1e6:,.0f} MB"
