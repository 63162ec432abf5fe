"""Text from files and standard input, as commands read it: UTF-8, with errors that name the file."""

from __future__ import annotations

import sys
from pathlib import Path

from edgechat.errors import InvalidInputError


def read_text(file: str | Path) -> str:
    """Read a file, or standard input if ``file`` is ``-``.

    Raises:
        InvalidInputError: it cannot be read, or is not UTF-8.
    """
    name = "Standard input" if file == "-" else str(file)
    try:
        return decode(sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes(), name)
    except OSError as error:
        raise InvalidInputError(
            f"Cannot read {name}: {error.strerror}.",
            hint="Name a text file that exists, or pipe the text to standard input.",
        ) from error


def decode(data: bytes, name: str) -> str:
    """Decode UTF-8, with or without a byte order mark.

    Raises:
        InvalidInputError: it is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidInputError(
            f"{name} is not UTF-8 text: byte 0x{data[error.start]:02x} at offset {error.start} (line {line}).",
            hint="Convert it first, for example: iconv -f cp932 -t utf-8 FILE",
        ) from error


def require_utf8(text: str | None, name: str) -> None:
    """Refuse an argument with bytes that are not UTF-8, which Python keeps as lone surrogates.

    Raises:
        InvalidInputError: it has such bytes.
    """
    if text is None:
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"{name} is not UTF-8: byte {ord(text[error.start]) & 0xFF:#04x} after {error.start} characters.",
            hint="Use a UTF-8 terminal, or convert the text: iconv -f latin1 -t utf-8",
        ) from error
