"""Apple .strings files: keys and comments stay, the values are units."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError
from edgechat.tasks.batch.document import Piece, TextUnit
from edgechat.tasks.translate.formats.icu import message_pieces
from edgechat.tasks.translate.formats.shield import PRINTF, Shield

if TYPE_CHECKING:
    from collections.abc import Iterator

# A comment ends at its first end mark, also where the whole would match only with a later one.
_COMMENT = r"/\*(?:(?!\*/).)*\*/|//[^\r\n]*(?=[\r\n]|\Z)"
_SPACE = rf"(?:\s|{_COMMENT})*"
_TEXT = r'"(?:[^"\\]|\\.)*"'
_ENTRY = re.compile(
    rf"{_SPACE}(?P<key>{_TEXT}|[\w.$/:-]+){_SPACE}={_SPACE}(?P<value>{_TEXT}|[\w.$/:-]+){_SPACE};", re.DOTALL
)
_END = re.compile(rf"{_SPACE}\Z", re.DOTALL)
_TOKEN = re.compile(r"\\U[0-9a-fA-F]{4}|\\[0-7]{1,3}|\\.|.", re.DOTALL)
_READ = {"n": "\n", "t": "\t", "r": "\r"}
_SPELLED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_FORMATS = Shield(PRINTF)


def pieces(text: str) -> Iterator[Piece]:
    """The pieces of a .strings file.

    Raises:
        InvalidInputError: the text does not have that form, as a property list in XML or binary.
    """
    at = 1 if text.startswith("\ufeff") else 0
    yield text[:at]
    while _END.match(text, at) is None:
        entry = _ENTRY.match(text, at)
        if entry is None:
            line = text.count("\n", 0, at + len(text[at:]) - len(text[at:].lstrip())) + 1
            raise InvalidInputError(
                f'This is not an Apple .strings file: line {line} is not "key" = "value";',
                hint="A property list in XML or in binary is not read: plutil -convert",
            )
        yield text[at : entry.start("value")]
        raw = entry["value"]
        if raw.startswith('"'):
            yield from _value(raw, _read(entry["key"].strip('"')))
        else:
            yield raw
        yield text[entry.end("value") : entry.end()]
        at = entry.end()
    yield text[at:]


def _value(raw: str, place: str) -> Iterator[Piece]:
    tokens = [(token, _meant(token)) for token in _TOKEN.findall(raw[1:-1])]
    message = message_pieces(tokens, _spelled, place)
    if message is not None:
        yield from ('"', *message, '"')
        return
    value = "".join(read for _, read in tokens)
    if not any(sign.isalpha() for sign in _FORMATS.show(re.sub(PRINTF, "", value))):
        yield raw
        return
    yield TextUnit(_FORMATS.hide(value), raw, partial(_quoted), place)


def _quoted(text: str) -> str:
    return f'"{_spelled(_FORMATS.show(text))}"'


def _spelled(text: str) -> str:
    return "".join(_SPELLED.get(sign, sign) for sign in text)


def _read(raw: str) -> str:
    return "".join(_meant(token) for token in _TOKEN.findall(raw))


def _meant(token: str) -> str:
    if token[0] != "\\" or len(token) == 1:
        return token
    if token[1] == "U" and len(token) == 6:
        return chr(int(token.removeprefix("\\U"), 16))
    if token[1].isdigit():
        return bytes([int(token[1:], 8) & 0xFF]).decode("mac_roman")
    return _READ.get(token[1], token[1])
