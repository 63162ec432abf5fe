"""Decodes bytes to text chunk by chunk, and reports the exact place of an invalid byte.

The error for an invalid byte gives its offset, its line and an ``--encoding`` to try. Which encoding a file is in says
``encoding_detection.py``; what was recognised there is always told.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from edgechat.encoding_detection import SAMPLE, detect_encoding
from edgechat.errors import InvalidInputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

CHUNK = 1 << 16
MAX_LINE = 16 << 20
"""Maximum characters of one line; a longer one shows that the file does not hold records."""
UTF8 = "utf-8"

# Encodings that are common in Japan and China, ordered so that a wrong suggestion is least likely.
_CANDIDATES = (UTF8, "cp932", "euc_jp", "gb18030", "cp1252")
_NAMES = {UTF8: "utf-8", "euc_jp": "euc-jp"}


def require_encoding(name: str) -> str:
    """Python's canonical name of an encoding.

    Raises:
        UsageError: the name is unknown, or is not a text encoding.
    """
    try:
        found = codecs.lookup(name)
        "a".encode(found.name)  # raises for codecs that are not text encodings, such as hex
    except (LookupError, ValueError, TypeError) as error:
        raise UsageError(
            f"There is no encoding {name!r}.", hint="For example: utf-8, cp932, euc-jp, utf-16, gb18030."
        ) from error
    return found.name


def chunks(stream: BinaryIO) -> Iterator[bytes]:
    """The stream's bytes as they arrive, without waiting for a pipe to fill a buffer."""
    read = getattr(stream, "read1", stream.read)
    while data := read(CHUNK):
        yield data


def find_encoding(stream: BinaryIO) -> str | None:
    """The encoding of a stream, read to the first byte that is not UTF-8; None where its content does not tell."""
    first = stream.read(SAMPLE)
    found = detect_encoding(first, is_whole=len(first) < SAMPLE)
    if found != UTF8:
        return found
    decoder = codecs.getincrementaldecoder(UTF8)()
    before, data = b"", first
    while data:
        following = stream.read(SAMPLE)
        try:
            decoder.decode(data, final=not following)
        except UnicodeDecodeError:
            # Look at whole lines around the byte.
            sample = before[before.rfind(b"\n") + 1 :] + data + following
            found = detect_encoding(sample, is_whole=not following)
            return None if found == UTF8 else found
        before, data = data, following
    return UTF8


def decoded(pieces: Iterable[bytes], encoding: str, name: str) -> Iterator[str]:
    """Decode ``pieces``. A byte-order mark of UTF-8 stays in the text as U+FEFF.

    Raises:
        InvalidInputError: a byte cannot be decoded.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    fed, held, line = 0, 0, 1
    try:
        for piece in pieces:
            # The decoder holds the bytes of a character that began in the previous piece; error offsets include them.
            held = len(decoder.getstate()[0])
            text = decoder.decode(piece)
            fed += len(piece)
            line += text.count("\n")
            if text:
                yield text
        held = len(decoder.getstate()[0])
        if text := decoder.decode(b"", final=True):
            yield text
    except UnicodeDecodeError as error:
        whole = error.object
        at = line + whole[: error.start].decode(encoding, "replace").count("\n")
        raise InvalidInputError(
            f"{name} is not {_NAMES.get(encoding, encoding)} text: byte 0x{whole[error.start]:02x} "
            f"at offset {fed - held + error.start} (line {at}).",
            hint=_advice(encoding, whole[error.start :]),
        ) from error


def lines(texts: Iterable[str], name: str) -> Iterator[str]:
    r"""Lines with their ``\n``. Only ``\n`` ends a line; other Unicode line separators do not.

    Raises:
        InvalidInputError: a line is longer than :data:`MAX_LINE`.
    """
    rest: list[str] = []
    held = 0
    for text in texts:
        parts = text.split("\n")
        if len(parts) == 1:
            rest.append(text)
            held += len(text)
        else:
            rest.append(parts[0])
            yield "".join(rest) + "\n"
            for part in parts[1:-1]:
                yield part + "\n"
            rest, held = [parts[-1]], len(parts[-1])
        if held > MAX_LINE:
            raise InvalidInputError(f"A line of {name} has more than {MAX_LINE} characters.")
    if last := "".join(rest):
        yield last


def _advice(tried: str, sample: bytes) -> str:
    for candidate in _CANDIDATES:
        if candidate == tried:
            continue
        try:
            # The sample may end inside a character.
            codecs.getincrementaldecoder(candidate)().decode(sample)
        except UnicodeDecodeError:
            continue
        return f"Try --encoding {_NAMES.get(candidate, candidate)}."
    return "Name its encoding with --encoding NAME."
