"""The separator of a CSV file: comma, semicolon (European spreadsheets), tab or bar. Pure functions."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from edgechat.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMA = ","
DELIMITERS = (COMMA, ";", "\t", "|")
NAMES = {COMMA: "commas", ";": "semicolons", "\t": "tabs", "|": "bars (|)"}
_WORDS = {"tab": "\t", "\\t": "\t", "comma": COMMA, "semicolon": ";"}
_DECLARED = re.compile(r'\ufeff?"?sep=(?P<sign>[^\r\n])"?\r?\n?\Z', re.IGNORECASE)
"""The first line by which a spreadsheet names the separator."""


def given_delimiter(value: str) -> str:
    """The separator that ``--delimiter`` names.

    Raises:
        UsageError: it is not one character.
    """
    sign = _WORDS.get(value.lower(), value)
    if len(sign) != 1 or sign in '"\r\n':
        raise UsageError(f"--delimiter {value!r} is not one character.", hint="For example: --delimiter ';' or tab")
    return sign


def declared_delimiter(line: str) -> str | None:
    """The separator in a first line such as ``sep=;``, which is not a row; None for any other line."""
    found = _DECLARED.match(line)
    return found["sign"] if found else None


def possible_delimiters(header: str) -> list[str]:
    """The separators that divide the header into several columns."""
    return [sign for sign in DELIMITERS if _width(header, sign) > 1]


def detect_delimiter(lines: Sequence[str]) -> str:
    """The separator of a table, from its first lines; a comma when it has one column.

    Where several divide the header, the one wins that divides the most rows into as many cells as the header.
    """
    if not lines:
        return COMMA
    if (declared := declared_delimiter(lines[0])) is not None:
        return declared
    possible = possible_delimiters(lines[0])
    if len(possible) < 2:
        return possible[0] if possible else COMMA
    return max(possible, key=lambda sign: (_agreement(lines, sign), _width(lines[0], sign)))


def _width(line: str, sign: str) -> int:
    first = re.split(r"[\r\n]", line.removeprefix("\ufeff"), maxsplit=1)[0]
    return len(next(csv.reader([first], delimiter=sign), ()))


def _agreement(lines: Sequence[str], sign: str) -> float:
    try:
        widths = [len(row) for row in csv.reader(lines, delimiter=sign) if row]
    except csv.Error:
        return 0.0
    return sum(width == widths[0] for width in widths) / len(widths)
