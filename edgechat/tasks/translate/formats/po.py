"""Gettext PO: fills each empty ``msgstr``; translated and obsolete entries and the header stay unchanged.

Format: the GNU gettext manual, "The Format of PO Files".
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError
from edgechat.tasks.batch.document import Piece, TextUnit

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUOTED = r'"(?:[^"\\\r\n]|\\.)*"'
# A keyword and its strings, which may span lines.
_FIELD = re.compile(
    rf"^(?P<head>[ \t]*(?P<word>msgctxt|msgid_plural|msgid|msgstr(?:\[(?P<form>\d+)\])?)[ \t]*)"
    rf"(?P<body>{_QUOTED}(?:[ \t]*\r?\n[ \t]*{_QUOTED})*)",
    re.MULTILINE,
)
_STRING = re.compile(_QUOTED)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.)")
_SPELLED = {sign: f"\\{letter}" for letter, sign in _ESCAPES.items()}


def pieces(text: str) -> Iterator[Piece]:
    """The pieces of a PO file; its units are the empty translations.

    Raises:
        InvalidInputError: the text has no ``msgid``.
    """
    if text.strip("\ufeff \t\r\n") and not _FIELD.search(text):
        raise InvalidInputError("This is not a PO file: it has no msgid.")
    at = 0
    msgid = plural = ""
    end = "\r\n" if "\r\n" in text else "\n"
    for field in _FIELD.finditer(text):
        word, body = field["word"], field["body"]
        if word == "msgctxt":
            continue
        if word == "msgid":
            msgid, plural = _value(body), ""
        elif word == "msgid_plural":
            plural = _value(body)
        elif msgid and not _value(body):
            source = plural if plural and (field["form"] or "0") != "0" else msgid
            yield text[at : field.start("body")]
            yield TextUnit(source, body, partial(_spelled, end=end))
            at = field.end("body")
    yield text[at:]


def _value(body: str) -> str:
    whole = "".join(string[1:-1] for string in _STRING.findall(body))
    return _ESCAPE.sub(_meant, whole)


def _meant(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] == "x" and len(code) > 1:
        return chr(int(code[1:], 16))
    return chr(int(code, 8)) if code[0].isdigit() and code[0] < "8" else _ESCAPES.get(code, code)


def _spelled(text: str, *, end: str) -> str:
    lines = [f'"{"".join(_SPELLED.get(sign, sign) for sign in line)}"' for line in re.split(r"(?<=\n)", text) if line]
    # Like gettext: a text of several lines begins with an empty string.
    return lines[0] if len(lines) == 1 else end.join(['""', *lines])
