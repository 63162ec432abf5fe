r"""Java properties: keys, comments, spacing and order stay; the values are units.

Format: java.util.Properties. A file in ISO-8859-1, or in ASCII alone, gets ``\uXXXX`` for every other character,
because Java read such files in no other way until version 9.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError
from edgechat.tasks.batch.document import Piece, TextUnit
from edgechat.tasks.translate.formats.icu import message_pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

_END = r"(?:\r\n|\n|\r)"
_COMMENT = re.compile(rf"[ \t\f]*[#!][^\r\n]*(?:{_END}|\Z)")
_BLANK = re.compile(rf"[ \t\f\ufeff]*(?:{_END}|\Z)")
_CONTINUED = rf"\\{_END}[ \t\f]*"
_KEY = re.compile(
    rf"(?P<lead>[ \t\f\ufeff]*)(?P<key>(?:{_CONTINUED}|\\[^\r\n]|[^\\=: \t\f\r\n])*)"
    rf"(?P<sign>(?:{_CONTINUED}|[ \t\f])*(?:[=:](?:{_CONTINUED}|[ \t\f])*)?)"
)
_VALUE = re.compile(rf"(?:{_CONTINUED}|\\[^\r\n]|[^\\\r\n])*\\?")
_TOKEN = re.compile(
    rf"\\u[dD][89abAB][0-9a-fA-F]{{2}}\\u[dD][c-fC-F][0-9a-fA-F]{{2}}|\\u[0-9a-fA-F]{{4}}|{_CONTINUED}|\\.|.", re.DOTALL
)
_READ = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_SPELLED = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\f": "\\f"}
_ARGUMENT = re.compile(r"\{\d+")
"""A MessageFormat argument; in such a value an apostrophe is written twice."""


def pieces(text: str, encoding: str) -> Iterator[Piece]:
    """The pieces of a properties file; ``encoding`` is the encoding it is written in.

    Raises:
        InvalidInputError: the text cannot be a properties file.
    """
    if "\0" in text:
        raise InvalidInputError("This is not a properties file: it has a zero byte.")
    spell = partial(_spelled, limit="\x7f" if text.isascii() else "\xff" if encoding == "iso8859-1" else "\U0010ffff")
    at = 0
    while at < len(text):
        other = _COMMENT.match(text, at) or _BLANK.match(text, at)
        if other is not None:
            yield other[0]
            at = other.end()
            continue
        head = _KEY.match(text, at)
        assert head is not None  # noqa: S101 - every part of it may be empty
        value = _VALUE.match(text, head.end())
        assert value is not None  # noqa: S101 - it may be empty
        line_end = re.compile(_END).match(text, value.end())
        after = line_end.end() if line_end else value.end()
        yield text[at : head.end()]
        yield from _value_pieces(value[0], spell, _read(head["key"]))
        yield text[value.end() : after]
        at = after


def _value_pieces(raw: str, spell: partial[str], place: str) -> Iterator[Piece]:
    tokens = [(token, _read(token)) for token in _TOKEN.findall(raw)]
    message = message_pieces(tokens, partial(spell, is_start=False), place)
    if message is not None:
        yield from message
        return
    value = "".join(read for _, read in tokens)
    if not any(sign.isalpha() for sign in value):
        yield raw
        return
    yield TextUnit(_unquoted(value), raw, partial(_written, spell=spell, is_format=_is_format(value)), place)


def _is_format(value: str) -> bool:
    return _ARGUMENT.search(value) is not None


def _unquoted(value: str) -> str:
    return value.replace("''", "'") if _is_format(value) else value


def _written(text: str, *, spell: partial[str], is_format: bool) -> str:
    return spell(text.replace("'", "''") if is_format else text)


def _read(raw: str) -> str:
    def meant(match: re.Match[str]) -> str:
        token = match[0]
        if token[0] != "\\" or len(token) == 1:
            return token
        if token[1] == "u" and len(token) >= 6:
            units = b"".join(int(code, 16).to_bytes(2, "big") for code in token.split("\\u")[1:])
            return units.decode("utf-16-be", "surrogatepass")
        if token[1] in "\r\n":
            return ""
        return _READ.get(token[1], token[1:])

    return _TOKEN.sub(meant, raw)


def _spelled(text: str, *, limit: str, is_start: bool = True) -> str:
    out = []
    for at, sign in enumerate(text):
        if sign == " " and is_start and not text[:at].strip(" "):
            out.append("\\ ")
        elif sign in _SPELLED:
            out.append(_SPELLED[sign])
        elif sign > limit or sign < " ":
            units = sign.encode("utf-16-be", "surrogatepass")
            out += [f"\\u{units[i]:02X}{units[i + 1]:02X}" for i in range(0, len(units), 2)]
        else:
            out.append(sign)
    return "".join(out)
