"""JSON files of texts under keys, also nested ones and ARB files: the strings are units, all else stays.

Keys that begin with ``@`` hold descriptions for translators (ARB); their values stay.
"""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError
from edgechat.tasks.batch.document import Piece, TextUnit
from edgechat.tasks.json_input import parse_json
from edgechat.tasks.translate.formats.icu import message_pieces
from edgechat.tasks.translate.formats.shield import Shield

if TYPE_CHECKING:
    from collections.abc import Iterator

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_TOKEN = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|.", re.DOTALL)
_NESTED = Shield(r"\$t\([^(){}\n]*\)")
"""A reference to another text, as i18next writes it."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def pieces(text: str) -> Iterator[Piece]:
    """The pieces of a JSON file of texts.

    Raises:
        InvalidInputError: the text is not JSON, or one object has a key twice.
    """
    try:
        parse_json(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"This JSON file of texts cannot be used: {error}.") from error
    is_ascii = text.isascii() and "\\u" in text
    at = 0
    path: list[str | int] = []
    # For each open bracket: whether it is an object, and the depth of ``path`` outside it.
    opened: list[bool] = []
    is_key = False
    for match in re.finditer(rf"{_STRING.pattern}|[{{}}\[\],:]", text, re.DOTALL):
        sign = match[0]
        if sign in "{[":
            opened.append(sign == "{")
            path.append("" if sign == "{" else 0)
            is_key = sign == "{"
        elif sign in "}]":
            opened.pop()
            path.pop()
        elif sign == ",":
            is_key = opened[-1]
            last = path[-1]
            if isinstance(last, int):
                path[-1] = last + 1
        elif sign == ":":
            is_key = False
        elif is_key:
            path[-1] = json.loads(sign)
        elif not any(isinstance(step, str) and step.startswith("@") for step in path):
            yield text[at : match.start()]
            yield from _string(sign, ".".join(map(str, path)), is_ascii=is_ascii)
            at = match.end()
    yield text[at:]


def _string(raw: str, place: str, *, is_ascii: bool) -> Iterator[Piece]:
    spell = partial(_inside, is_ascii=is_ascii)
    message = message_pieces(string_tokens(raw[1:-1]), spell, place)
    if message is not None:
        yield from ('"', *message, '"')
        return
    value = json.loads(raw)
    if not any(sign.isalpha() for sign in value):
        yield raw
        return
    yield TextUnit(_NESTED.hide(value), raw, lambda text: f'"{spell(_NESTED.show(text))}"', place)


def string_tokens(inside: str) -> list[tuple[str, str]]:
    """The inside of a JSON string in parts, each as it stands there and as it is read."""
    return [(token, json.loads(f'"{token}"', strict=False)) for token in _TOKEN.findall(inside)]


def _inside(text: str, *, is_ascii: bool) -> str:
    return spelled_string(text, is_ascii=is_ascii)[1:-1]


def spelled_string(text: str, *, is_ascii: bool) -> str:
    """``text`` as a JSON string; a lone surrogate, which no encoding can write, stays an escape."""
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=is_ascii))
