"""Finds numbers and identifiers in a model's text that do not occur in its input.

Small models invent plausible figures. This check is exact for tokens; it does not check meaning.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Kind = Literal["number", "identifier"]

# Only ASCII letters, so that 温度180度 contains the number 180 and not an identifier.
_WORD = re.compile(r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[A-Za-z0-9])[A-Za-z0-9._:/#-]*")
_NUMBER = re.compile(r"(?<![0-9.])[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?")
_QUANTITY = re.compile(r"([0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?)(?:[A-Za-zµμ°%]+(?:/[A-Za-z]+[0-9]?)?)")
_DIGIT, _LETTER = re.compile("[0-9]"), re.compile("[A-Za-z]")
_PUNCTUATION = "._:/#-"
_COARSE, _FINE = re.compile("[:/#]"), re.compile("[._:/#-]")
_KANJI_DIGITS = str.maketrans("〇一二三四五六七八九", "0123456789")
_KANJI_RUN = re.compile(r"[〇一二三四五六七八九]{2,}")


@dataclass(frozen=True, slots=True)
class Ungrounded:
    """A token that does not occur in the input."""

    kind: Kind
    token: str


class GroundingTexts:
    """The numbers and identifiers of the input texts; a statement may cite only these."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._numbers: set[Decimal] = set()
        self._identifiers: set[str] = set()
        for text in texts:
            identifiers, numbers = _tokens(text)
            self._numbers.update(numbers.values())
            for identifier in identifiers:
                # A part between separators may be cited alone (S3 of S3/line-2, 401 of E-401); a piece of a word not.
                parts = (*_COARSE.split(identifier), *_FINE.split(identifier))
                self._identifiers.update(part.casefold() for part in (identifier, *parts))
                self._numbers.update(_value(part) for part in _NUMBER.findall(identifier))
        # 0.91 in the input may be cited as 91 %.
        self._numbers |= {number * 100 for number in self._numbers if 0 < number < 1}

    def missing(self, statement: str) -> list[Ungrounded]:
        """The tokens of ``statement`` that the texts do not contain: identifiers, then numbers, each once."""
        identifiers, numbers = _tokens(statement)
        unknown = dict.fromkeys(name for name in identifiers if name.casefold() not in self._identifiers)
        return [
            *(Ungrounded("identifier", name) for name in unknown),
            *(Ungrounded("number", token) for token, value in numbers.items() if value not in self._numbers),
        ]


def _tokens(text: str) -> tuple[list[str], dict[str, Decimal]]:
    """Identifiers, and numbers by their spelling, both after NFKC (which also makes full-width digits ASCII)."""
    plain = unicodedata.normalize("NFKC", text)
    plain = _KANJI_RUN.sub(lambda run: run[0].translate(_KANJI_DIGITS), plain)
    identifiers: list[str] = []
    numbers: dict[str, Decimal] = {}

    def take(match: re.Match[str]) -> str:
        token = match[0].strip(_PUNCTUATION)
        if not (_DIGIT.search(token) and _LETTER.search(token)):
            return match[0]
        if quantity := _QUANTITY.fullmatch(token):  # 180C, 12mm, 40m/s: a number with its unit
            numbers[quantity[1]] = _value(quantity[1])
        else:
            identifiers.append(token)
        return " "

    rest = _WORD.sub(take, plain)
    for match in _NUMBER.finditer(rest):
        numbers[match[0]] = _value(match[0])
    return identifiers, numbers


def _value(token: str) -> Decimal:
    try:
        return Decimal(token.replace(",", ""))
    except InvalidOperation:  # pragma: no cover - the patterns admit only what Decimal reads
        return Decimal(0)
