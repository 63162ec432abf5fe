"""Gettext PO: fills each empty ``msgstr``; translated and obsolete entries and the header stay unchanged.

A plural form is made from the singular only where the rule in the header uses it for the number 1 alone, or where the
singular has the conversions of the plural: "One file" must not be shown for 0 or 21 files.

Format: the GNU gettext manual, "The Format of PO Files".
"""

from __future__ import annotations

import gettext
import re
from functools import partial
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError
from edgechat.tasks.batch.document import Piece, TextUnit
from edgechat.tasks.translate.formats.shield import PRINTF

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_QUOTED = r'"(?:[^"\\\r\n]|\\.)*"'
# A keyword and its strings, which may span lines.
_FIELD = re.compile(
    rf"^(?P<head>[ \t]*(?P<word>msgctxt|msgid_plural|msgid|msgstr(?:\[(?P<form>\d+)\])?)[ \t]*)"
    rf"(?P<body>{_QUOTED}(?:[ \t]*\r?\n[ \t]*{_QUOTED})*)",
    re.MULTILINE,
)
_STRING = re.compile(_QUOTED)
_RULE = re.compile(r"^Plural-Forms:.*?plural\s*=\s*(?P<rule>[^;\n]+)", re.MULTILINE | re.IGNORECASE)
_NUMBERS = 1000
"""The numbers 0 to 999 show which form a plural rule uses for which numbers."""
_SHOWN = 40
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
    fields = list(_FIELD.finditer(text))
    singular_forms = _singular_forms(fields)
    for number, field in enumerate(fields):
        word, body = field["word"], field["body"]
        if word == "msgctxt":
            continue
        if word == "msgid":
            msgid, plural = _value(body), ""
        elif word == "msgid_plural":
            plural = _value(body)
        elif msgid and not _value(body):
            source = msgid
            if plural:
                form = int(field["form"] or 0)
                following = fields[number + 1]["word"] if number + 1 < len(fields) else ""
                is_only = form == 0 and not following.startswith("msgstr[")
                has_number = _conversions(msgid) == _conversions(plural)
                use = singular_forms.get(form, "plural") if not is_only else "plural"
                is_singular = use == "one" or (use == "also" and has_number)
                source = msgid if is_singular else plural
            yield text[at : field.start("body")]
            yield TextUnit(source, body, partial(_spelled, end=end), _place(msgid))
            at = field.end("body")
    yield text[at:]


def structure(text: str) -> object:
    """The entries with all their fields; of a translation only its line ends at both sides, which gettext compares.

    Raises:
        InvalidInputError: the text has no ``msgid``.
    """
    at, found, msgid = 0, [], ""
    for field in _FIELD.finditer(text):
        value = _value(field["body"])
        found.append(text[at : field.start("body")])
        at = field.end("body")
        if field["word"] == "msgid":
            msgid = value
        if field["word"].startswith("msgstr") and msgid:
            is_even = not value or (value[:1] == "\n", value[-1:] == "\n") == (msgid[:1] == "\n", msgid[-1:] == "\n")
            found.append("" if is_even else "uneven line ends")
        else:
            found.append(value)
    return [*found, text[at:]]


def _singular_forms(fields: Sequence[re.Match[str]]) -> dict[int, str]:
    """The forms that the header uses for the number 1: ``one`` for it alone, ``also`` for other numbers too."""
    header = next((_value(fields[at + 1]["body"]) for at, field in enumerate(fields[:-1]) if _is_header(field)), "")
    rule = _RULE.search(header)
    if rule is None:
        return {0: "one"}
    try:
        form_of = gettext.c2py(rule["rule"])
        forms = [form_of(number) for number in range(_NUMBERS)]
    except (ValueError, ArithmeticError):
        return {0: "one"}
    return {forms[1]: "one" if forms.count(forms[1]) == 1 else "also"}


def _is_header(field: re.Match[str]) -> bool:
    return field["word"] == "msgid" and not _value(field["body"])


def _conversions(text: str) -> list[str]:
    return sorted(re.findall(PRINTF + r"|\{[^{}]*\}|%\([^)]*\)[a-z]", text))


def _place(msgid: str) -> str:
    first = msgid.strip().split("\n")[0]
    return f"msgid {first[:_SHOWN]}{'…' if len(first) > _SHOWN else ''}"


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
