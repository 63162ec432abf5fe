"""Checks an answer against the sections that it cites: numbers, codes and units that they do not hold are flagged."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from edgechat.tasks.grounding import GroundingTexts
from edgechat.tasks.manual.record import AnswerFlag

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
_NUMBER = r"([0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?)"
_UNITS: dict[str, tuple[str, ...]] = {
    "ms": ("ms", "millisecond", "milliseconds", "ミリ秒", "毫秒"),
    "s": ("s", "sec", "second", "seconds", "秒"),
    "min": ("min", "minute", "minutes", "分", "分間", "分钟"),
    "h": ("h", "hr", "hour", "hours", "時間", "小时"),
    "d": ("day", "days", "日", "日間", "天"),
    "mm": ("mm",), "cm": ("cm",), "m": ("m", "metre", "metres", "meter", "meters"), "km": ("km",), "µm": ("µm", "um"),
    "in": ("in", "inch", "inches"),
    "g": ("g",), "kg": ("kg",), "N": ("N",), "Nm": ("Nm", "N·m", "N⋅m"), "kN": ("kN",),
    "Pa": ("Pa",), "kPa": ("kPa",), "MPa": ("MPa",), "bar": ("bar",), "psi": ("psi",),
    "V": ("V", "volt", "volts"), "mV": ("mV",), "kV": ("kV",), "A": ("A",), "mA": ("mA",), "W": ("W",), "kW": ("kW",),
    "Hz": ("Hz",), "kHz": ("kHz",), "MHz": ("MHz",), "GHz": ("GHz",), "rpm": ("rpm", "r/min"),
    "C": ("°C", "℃", "C", "度"), "F": ("°F", "℉", "F"), "K": ("K",), "%": ("%", "percent", "パーセント"),
    "l": ("l", "L", "litre", "litres", "liter", "liters", "リットル"), "ml": ("ml", "mL"), "l/min": ("l/min", "L/min"),
    "byte": ("byte", "bytes", "B", "バイト"), "KB": ("KB", "kB"), "MB": ("MB",), "GB": ("GB",), "TB": ("TB",),
    "KiB": ("KiB",), "MiB": ("MiB",), "GiB": ("GiB",),
}  # fmt: skip
"""A unit and the ways in which it is written."""
_UNIT_OF = {unicodedata.normalize("NFKC", name): unit for unit, names in _UNITS.items() for name in names}
_QUANTITY = re.compile(
    _NUMBER + r"[ \u00a0-]?(" + "|".join(map(re.escape, sorted(_UNIT_OF, key=len, reverse=True))) + r")(?![A-Za-z0-9/])"
)


def flags_of(answer: str, sections: Sequence[str], question: str = "") -> list[AnswerFlag]:
    """The numbers, codes and units of an answer that no cited section holds.

    Args:
        answer: of the model.
        sections: the texts of the cited sections, with their headings.
        question: what it asks about may be repeated.
    """
    ground = GroundingTexts((*sections, question))
    quantities = {each for text in (*sections, question) for each in _quantities(text)}
    values = {value for value, _ in quantities}
    found: list[AnswerFlag] = []
    for sentence in _SENTENCE.split(answer):
        found += [AnswerFlag(kind=each.kind, token=each.token, sentence=sentence) for each in ground.missing(sentence)]
        found += [
            AnswerFlag(kind="unit", token=f"{value} {unit}", sentence=sentence)
            for value, unit in dict.fromkeys(_quantities(sentence))
            if value in values and (value, unit) not in quantities
        ]
    return found


def _quantities(text: str) -> Iterable[tuple[str, str]]:
    """Numbers with their units, each in one spelling."""
    for match in _QUANTITY.finditer(unicodedata.normalize("NFKC", text)):
        number = match[1].replace(",", "")
        yield number.rstrip("0").rstrip(".") if "." in number else number, _UNIT_OF[match[2]]
