"""Reads numbers with units from a line of text, and converts between plain units.

Understands decimal comma and point, digit groups, exponents, ``½``, full-width forms, and units glued to the number.
Times of day, dates and identifiers (``SP-0932``, ``X4.3``, ``HEAD3``) are no quantities.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

# NFKC would turn 5½ into 51 and a slash and 2, so fractions are replaced first.
_FRACTIONS = {"½": ".5", "¼": ".25", "¾": ".75", "⅓": ".3333", "⅔": ".6667", "⅛": ".125"}
_FRACTION = re.compile(f"([0-9\uff10-\uff19]?)([{''.join(_FRACTIONS)}])")
# One spelling for each: minus and dashes, tildes, the fraction slash, middle dots, comparison signs, the degree sign.
_SAME = {
    **dict.fromkeys((0x2212, 0x2010, 0x2011, 0x2013, 0x2014), "-"),
    **dict.fromkeys((0x301C, 0x223C), "~"),
    0x2044: "/",
    **dict.fromkeys((0x2022, 0x22C5), "·"),
    0x2266: "≤",
    0x2267: "≥",
    0x00BA: "°",
}
_CLOCK = re.compile(
    r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\w*\.? +[0-9]{1,2}(?![0-9.,])|"
    r"(?<![0-9])[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}(?:[T ](?=[0-9]))?"
    r"|[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?Z?"
)

_SCALES: dict[str, tuple[str, float]] = {}
"""Unit (as spelled, or its lower case) → base unit and factor."""


def _define(base: str, **factors: float) -> None:
    for unit, factor in factors.items():
        _SCALES[unit] = (base, factor)


_define("m", m=1.0, cm=1e-2, mm=1e-3, µm=1e-6, um=1e-6, nm=1e-9, micron=1e-6, microns=1e-6, km=1e3)
_define("Pa", Pa=1.0, hPa=1e2, kPa=1e3, MPa=1e6, bar=1e5, mbar=1e2, psi=6894.757, Torr=133.322)
_define("Pa", 帕=1.0, 千帕=1e3, 兆帕=1e6)
_define("s", s=1.0, sec=1.0, secs=1.0, seconds=1.0, ms=1e-3, min=60.0, mins=60.0, minutes=60.0, h=3600.0, hr=3600.0,
        hrs=3600.0, hours=3600.0, days=86400.0)  # fmt: skip
_define("s", 秒=1.0, 分=60.0, 分钟=60.0, 分間=60.0, 時間=3600.0, 小时=3600.0, 日=86400.0, 天=86400.0)
_define("g", g=1.0, kg=1e3, mg=1e-3, t=1e6, 克=1.0, 千克=1e3)
_define("N", N=1.0, kN=1e3, MN=1e6)
_define("Nm", Nm=1.0, kNm=1e3, Ncm=1e-2, cNm=1e-2)
_define("V", V=1.0, mV=1e-3, kV=1e3)
_define("A", A=1.0, mA=1e-3, kA=1e3, µA=1e-6, uA=1e-6)
_define("W", W=1.0, mW=1e-3, kW=1e3)
_define("Hz", Hz=1.0, kHz=1e3, MHz=1e6, GHz=1e9)
_define("Ohm", Ohm=1.0, kOhm=1e3, MOhm=1e6, mOhm=1e-3, ohm=1.0)
_define("l", l=1.0, L=1.0, ml=1e-3, mL=1e-3, cc=1e-3)
_define("%", ppm=1e-4)
_define("1/min", rpm=1.0)
_SCALES |= {"%": ("%", 1.0), "1/min": ("1/min", 1.0), "min-1": ("1/min", 1.0), "%RH": ("%", 1.0), "%rh": ("%", 1.0),
            "cps": ("mPa·s", 1.0), "cP": ("mPa·s", 1.0), "mPa·s": ("mPa·s", 1.0), "Pa·s": ("mPa·s", 1e3)}  # fmt: skip
for _rate, _per in (("min", 60.0), ("h", 3600.0), ("s", 1.0)):
    _SCALES |= {f"{unit}/{_rate}": ("l/s", factor / _per) for unit, factor in (("l", 1.0), ("L", 1.0), ("ml", 1e-3),
                                                                               ("mL", 1e-3), ("cc", 1e-3))}  # fmt: skip
    _SCALES |= {f"{unit}/{_rate}": ("m/s", factor / _per) for unit, factor in (("m", 1.0), ("mm", 1e-3))}
_TEMPERATURES = {"°C": (1.0, 0.0), "C": (1.0, 0.0), "°F": (5 / 9, -160 / 9), "F": (5 / 9, -160 / 9),
                 "K": (1.0, -273.15),
                 "度": (1.0, 0.0)}  # fmt: skip

# Longest first. Compound units are a chain of letters with / and ·; a Latin unit ends where no letter follows.
_WORD_UNITS = ("microns", "micron", "minutes", "seconds", "hours", "hrs", "secs", "mins", "days", "percent", "degrees",
               "deg", "turns", "pcs", "counts")  # fmt: skip
_CJK_UNITS = ("分間", "分钟", "時間", "小时", "個/m3", "个/m3", "千帕", "兆帕", "千克", "秒", "克", "帕")
_UNIT = (
    rf"(?:°[CF]?|%\s?RH|%|(?:{'|'.join(_WORD_UNITS)})(?![A-Za-z])|{'|'.join(_CJK_UNITS)}|1/min(?![A-Za-z])"
    r"|/(?:m3|m2|cm2|cm3|h|min|s|l|ml|ft3)(?![A-Za-z0-9])"
    r"|(?:min|ms|sec|hr|rpm|ppm|ppb|psi|bar|mbar|Torr|cps|cP|HRC|HRB|HV|HB|dB|dBA|lx|NTU|pH|kOhm|MOhm|mOhm"
    r"|Ohm|[kMmGµμuncd]?Ω"
    r"|[kMGmµμunhcd]?(?:Pa|Nm|N|m|g|l|L|s|V|A|W|Hz|J|C|F|S|T)|K|F|h|t|kVA|cc|um)"
    r"(?:[·.*/](?:10)?(?:[kmMµμcd]?(?:m|s|g|l|L|N|J|K|W|V|A|h|min|mm|cm|µm|d"
    r"|\(m2·d\)))[23]?)*(?:[23](?![0-9]))?(?:-1)?(?![A-Za-z]))"
)
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_,#])(?<![^.][.])(?<![A-Za-z]-)(?<![A-Za-z]\[)(?P<number>[-+]?(?:[0-9]+(?:[.,][0-9]+)*|[.][0-9]+)(?:[eE][-+]?[0-9]+)?)"
    rf"(?!-?[A-Za-z0-9]*[A-Za-z]+[0-9][A-Za-z0-9-]*(?<![23]))(?:\s?(?P<unit>{_UNIT}))?(?![A-Za-z0-9_]*[A-Za-z]{{4,}}=)"
)
_DECIMAL_COMMA = re.compile(
    r"(?<![0-9.,])(?:0,[0-9]+|[0-9]+,(?:[0-9]{1,2}|[0-9]{4,})|[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+)(?![0-9,])"
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit, and its place in the plain text."""

    value: float
    unit: str
    """As spelled; empty when there is none."""
    start: int
    end: int
    text: str
    """Number and unit as spelled."""


def plain(text: str) -> str:
    """``text`` in NFKC with one spelling of dashes, tildes and fractions."""
    text = _FRACTION.sub(lambda found: f"{found[1] or '0'}{_FRACTIONS[found[2]]}", text)
    return unicodedata.normalize("NFKC", text.translate(_SAME)).translate(_SAME)


def without_times(text: str) -> str:
    """``text`` with times and dates replaced by spaces of the same length."""
    return _CLOCK.sub(lambda found: " " * len(found[0]), text)


def uses_decimal_comma(text: str) -> bool:
    """True when a number in ``text`` can only be read with a decimal comma."""
    return bool(_DECIMAL_COMMA.search(text))


def quantities(text: str, *, decimal_comma: bool = False) -> list[Quantity]:
    """The quantities of plain text (see :func:`plain`), from left to right."""
    found = []
    for match in _NUMBER.finditer(text):
        value = number(match["number"], decimal_comma=decimal_comma)
        if value is not None:
            unit = (match["unit"] or "").replace(" ", "").replace("μ", "µ")
            found.append(Quantity(value, unit, match.start(), match.end(), match[0]))
    return found


def number(token: str, *, decimal_comma: bool = False) -> float | None:
    """The value of a spelled number; None when the separators make no sense."""
    comma, point = token.rfind(","), token.rfind(".")
    if comma >= 0 and point >= 0:
        token = token.replace(".", "").replace(",", ".") if comma > point else token.replace(",", "")
    elif comma >= 0:
        is_group = re.fullmatch(r"[-+]?[1-9][0-9]{0,2}(?:,[0-9]{3})+", token)
        token = token.replace(",", "") if is_group and not decimal_comma else token.replace(",", ".")
    elif decimal_comma and re.fullmatch(r"[-+]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+", token):
        token = token.replace(".", "")
    try:
        return float(token)
    except ValueError:
        return None


def in_unit(value: float, unit: str, wanted: str, *, is_difference: bool = False) -> float | None:
    """``value`` of ``unit`` in the unit ``wanted``; None when they measure different things or are unknown.

    Args:
        value: the number.
        unit: its unit; empty means that it has the wanted one.
        wanted: the unit of the result; empty means any.
        is_difference: for a tolerance, which has no zero point (of °C and °F).
    """
    unit, wanted = _spelled(unit), _spelled(wanted)
    if not unit or not wanted or unit == wanted:
        return value
    if unit in _TEMPERATURES and wanted in _TEMPERATURES:
        (factor, offset), (to_factor, to_offset) = _TEMPERATURES[unit], _TEMPERATURES[wanted]
        if is_difference:
            return value * factor / to_factor
        return round((value * factor + offset - to_offset) / to_factor, 9)
    (base, factor), (to_base, to_factor) = _SCALES.get(unit, (unit, 1.0)), _SCALES.get(wanted, (wanted, 1.0))
    return float(f"{value * factor / to_factor:.12g}") if base == to_base else None


def _spelled(unit: str) -> str:
    unit = unit.replace("µ", "μ").replace("Ω", "Ohm").replace(" ", "").removesuffix("RH") or unit
    if "·" in unit or "." in unit or "*" in unit:
        unit = unit.replace(".", "·").replace("*", "·")
        unit = {"N·m": "Nm", "kN·m": "kNm", "N·cm": "Ncm"}.get(unit, unit)
    return {"percent": "%", "deg": "°", "degrees": "°", "g/10min": "g/10min"}.get(unit, unit)
