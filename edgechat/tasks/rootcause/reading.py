"""Finds the reading of a log line: its value, its limits, and how far the value lies outside them.

A number belongs to the keyword right before it (``max 10``, ``規格 58~62``) or right after it (``10 Nm max``,
``5以下``).
The value is the number with the unit of the limits. Limits in another unit are converted where that is plain;
otherwise the reading is not comparable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from edgechat.tasks.rootcause.quantity import (
    Quantity,
    in_unit,
    plain,
    quantities,
    uses_decimal_comma,
    without_times,
)

Direction = Literal["above", "below", "within"]
Role = Literal["value", "upper", "lower", "nominal", "tolerance", "band"]

SET_POINT_TOLERANCE = 0.05
"""Share of a set point that counts as met when the line names no tolerance."""
_EPSILON = 1e-9

_KEYWORDS: dict[Role, str] = {
    "value": (
        r"act|actual|val|value|measured|measurement|reading|is|pv|実測値?|測定値|現在値|計測値|实际值?|实测值?"
        r"|测量值|检测值|当前值?"
    ),
    "upper": (
        r"usl|ucl|uhl|upper|hi(?==)|high(?==)|(?:warn(?:ing)?|alarm|trip|alert)[ _](?:at|above|limit|level"
        r"|threshold)|(?:upper|high|hi)[ _]?lim(?:it)?|lim(?:it)?[ _]max|max(?:imum)?(?:[ _](?:limit"
        r"|allowed|permitted|value))?"
        r"|not to exceed|must not exceed|at most|up to|no more than|not more than|must be (?:below|under)"
        r"|上限値?|最大値?|上限值|最大值?"
        r"|不超过|不大于|不得超过|不高于|最高|≤|<=|<"
    ),
    "lower": (
        r"lsl|lcl|lower|lo(?==)|low(?==)|(?:lower|low|lo)[ _]?lim(?:it)?|lim(?:it)?[ _]min"
        r"|min(?:imum)?(?:[ _](?:limit|allowed"
        r"|required|value))?"
        r"|at least|no less than|not less than|must be (?:above|over)|下限値?|最小値?|最低|下限值|最小值?"
        r"|不低于|不小于|不少于|至少|≥|>=|>"
    ),
    "nominal": (
        r"nominal|nom|set|set[ _-]?point|set[ _-]?value|sp|target|expected|required|rated|reference|ref|recipe(?=[_=:])"
        r"|programmed|plan(?=[_=:])"
        r"|data sheet|datasheet|設定値?|設定温度|目標値?|目標|基準値?|規定値?|指示値|公称値?|定格|标称值?"
        r"|设定值?|目标值?|额定值?|要求值?|要求|标准值|公称值?|应为"
    ),
    "tolerance": r"tol|tolerance|dev(?:iation)?[ _]?max|max[ _.]?dev(?:iation)?|公差|許容差|允差|允许偏差|偏差|容差",
    "band": (
        r"limits?|range|spec|specs|specification|spec[ _]limits?|control limits?|allowed|allowable|permitted"
        r"|window|規格値?|規格"
        r"|管理範囲|管理値|管理基準|許容範囲|範囲|許容値?|許容|规格|规格值|规格范围|允许范围|范围|规范|标准"
        r"|控制限|限值|允许"
    ),
}
_BEFORE = re.compile(
    "|".join(
        rf"(?P<{role}>(?:(?<![A-Za-z])(?=[a-z])|(?=[^a-z]))(?:{words})(?:(?<=[^a-z])|(?![A-Za-z])))"
        for role, words in _KEYWORDS.items()
    ),
    re.IGNORECASE,
)
_LINK = re.compile(r"(?:_[A-Za-z%]{1,4}(?==))?\.?\s*(?:is|of|は|为|為)?\s*[:=]?\s*[(\[]?\s*(?:\+\s?/\s?-?|±|\+)?\s*$")
_RANGE = re.compile(r"\s*(?:to|-|~|\.{2,3}|…|bis|and|至|到|から|/|,)\s*$", re.IGNORECASE)
_CLOSE_RANGE = re.compile(r"\s*(?:to|-|~|\.{2,3}|…|bis|至|到|から)?\s*$", re.IGNORECASE)
_PLUS_MINUS = re.compile(r"(?:±|\+\s?/\s?-?)\s*$")
_BESIDE = re.compile(r"\s*[(]?\s*(?:±|\+\s?/\s?-?)\s*$")
_AFTER_UPPER = re.compile(
    r"\s*(?:以下(?![にへ])|以内|未満|未满|まで|or less|or below|(?:max|maximum)\b\.?(?!\s*[:=]?\s*[-+±0-9]))",
    re.IGNORECASE,
)
_AFTER_LOWER = re.compile(
    r"\s*(?:以上(?![にへ])|超(?![過过])|or more|or above|(?:min|minimum)\b\.?(?!\s*[:=]?\s*[-+±0-9]))", re.IGNORECASE
)
_EXCLUSIVE = re.compile(r"\s*(?:未満|未满|超)")
_LOW = re.compile((
        r"\b(?:low|short|below|under|insufficient|too (?:slow|small|little))\b|不足|低い|低下|過小|偏低|过低"
        r"|过小|太低"
),
                  re.IGNORECASE)  # fmt: skip
_SPECIFICATION = re.compile(r"spec|規格|规格|标准|规范|管理値|管理基準", re.IGNORECASE)
_EDGES = " \t,;:=|/[](){}「」、。，；"


@dataclass(frozen=True, slots=True)
class Reading:
    """A value with its limits, from one line."""

    subject: str
    """What was read, in the line's words."""
    value: Quantity
    lower: float | None
    upper: float | None
    """Bounds in the unit of the value; None where there is none."""
    limit_text: str
    """The limits in the line's words."""
    direction: Direction
    distance: float
    """How far outside, as a share of the width of the limits, or of the limit when there is only one; 0 within."""
    is_comparable: bool = True
    """False when the units of value and limits cannot be converted, or the side of a single bound is unclear."""


@dataclass(frozen=True, slots=True)
class _Marked:
    quantity: Quantity
    role: Role | None
    starts_at: int
    """Start of the keyword, or of the number when there is none."""
    is_plus_minus: bool = False
    is_exclusive: bool = False
    is_bracketed: bool = False
    joins: bool = False
    """True when the number continues the one before: the end of a range, or the minus side of a tolerance."""


def read(line: str, *, decimal_comma: bool = False) -> Reading | None:
    """The reading of ``line``; None when it has no value with a limit.

    Args:
        line: the text of a log line.
        decimal_comma: read an ambiguous ``1,250`` as 1.25, because the record's other lines use decimal commas.
    """
    text = without_times(plain(line))
    found = quantities(text, decimal_comma=decimal_comma or uses_decimal_comma(text))
    marked = _marked(text, found)
    limits = [one for one in marked if one.role not in {None, "value"}]
    if not limits:
        return None
    value = _value(marked, limits)
    if value is None and len(limits) > 1 and limits[0].role in {"upper", "lower"} and not limits[0].joins:
        # 最小 55 HRC 規格 58~62: the smallest of the values that were read.
        value, limits = limits[0], limits[1:]
    if value is None:
        return None
    return _compared(text, value, limits)


def _marked(text: str, found: list[Quantity]) -> list[_Marked]:
    marked: list[_Marked] = []
    end = 0
    for one in found:
        gap = text[end : one.start]
        before = marked[-1] if marked else None
        token = one
        plus_minus = bool(_PLUS_MINUS.search(gap))
        if gap.rstrip().endswith("+/") and one.value < 0:
            token, plus_minus = replace(one, value=-one.value), True
        role, start = _role_before(gap, end)
        joins = False
        if role is None and before is not None:
            if _BESIDE.fullmatch(gap):
                marked[-1] = before = replace(before, role="nominal")
                role, joins = "tolerance", True
            elif before.role == "tolerance" and not before.is_plus_minus and gap.strip() in {"/", ","}:
                role, joins = "tolerance", True
            elif before.role in {"band", "nominal", "lower"} and not before.joins and _is_range(gap, before, one):
                token = replace(one, value=abs(one.value)) if not gap.strip() and one.value < 0 else one
                role, joins = "band", True
                marked[-1] = replace(before, role="band")
        elif role in {"band", "nominal"} and plus_minus:
            role = "tolerance"
        after = text[one.end :]
        if role in {None, "band", "nominal"} and not joins:
            if _AFTER_UPPER.match(after):
                role = "upper"
            elif _AFTER_LOWER.match(after):
                role = "lower"
        is_exclusive = bool(_EXCLUSIVE.match(after)) or bool(re.search(r"[<>]\s*$", gap))
        is_bracketed = gap.endswith("(") and after.lstrip().startswith(")")
        marked.append(_Marked(token, role, start, plus_minus, is_exclusive, is_bracketed, joins))
        end = one.end
    return marked


def _is_range(gap: str, before: _Marked, one: Quantity) -> bool:
    if before.role == "nominal" and not re.fullmatch(r"\s*(?:to|~|至|到|から|-)\s*", gap):
        return False
    return bool(_CLOSE_RANGE.fullmatch(gap)) and (bool(gap.strip()) or one.text.startswith("-"))


def _role_before(gap: str, offset: int) -> tuple[Role | None, int]:
    """The role that the keyword at the end of ``gap`` gives to the number behind it, and where the keyword starts."""
    best: tuple[int, Role] | None = None
    for start in range(len(gap)):
        match = _BEFORE.match(gap, start)
        if match and _LINK.match(gap, match.end()) and (best is None or start < best[0]):
            best = (start, match.lastgroup)  # type: ignore[assignment]
            break
    if best is None and _PLUS_MINUS.search(gap) and gap.strip() not in {"±", "+/-", "+/"}:
        return "tolerance", offset + len(gap)
    return (best[1], offset + best[0]) if best else (None, offset + len(gap))


def _value(marked: list[_Marked], limits: list[_Marked]) -> _Marked | None:
    named = [one for one in marked if one.role == "value"]
    units = [
        one.quantity.unit
        for one in limits
        if one.quantity.unit and not (one.role == "tolerance" and one.quantity.unit == "%")
    ]
    first = limits[0].quantity.start
    free = named or [one for one in marked if one.role is None]
    before = [one for one in free if one.quantity.start < first] or free
    # What stands in brackets describes the value: particles (0.5 µm) 41200.
    before = [one for one in before if not one.is_bracketed] or before
    if units:
        fitting = [one for one in before if one.quantity.unit and in_unit(1.0, one.quantity.unit, units[0]) is not None]
        fitting = fitting or [one for one in before if not one.quantity.unit] or before
    else:
        fitting = [one for one in before if one.quantity.unit] or before
    return fitting[-1] if fitting else None


def _compared(text: str, value: _Marked, limits: list[_Marked]) -> Reading | None:
    unit = value.quantity.unit
    sides = _Sides()
    is_comparable = True
    common = next((one.quantity.unit for one in reversed(limits) if one.quantity.unit), "")
    for one in limits:
        is_relative = one.role == "tolerance" and one.quantity.unit == "%" and unit not in {"%", "%RH"}
        if is_relative:
            sides.take(one, one.quantity.value / 100, is_relative=True)
            continue
        bound = in_unit(one.quantity.value, one.quantity.unit or common, unit, is_difference=one.role == "tolerance")
        if bound is None:
            is_comparable = False
        else:
            sides.take(one, bound)
    tail = text[max(one.quantity.end for one in limits) :]
    lower, upper = sides.bounds(is_low=bool(_LOW.search(tail)))
    # "spec 1.0" alone does not say whether more or less is allowed; "limit 1.0" is an upper limit.
    is_clear = len(limits) > 1 or not _SPECIFICATION.search(text[limits[0].starts_at : limits[0].quantity.start])
    limit_text = text[min(one.starts_at for one in limits) : max(one.quantity.end for one in limits)]
    if value.quantity.start > limits[0].quantity.start:
        limit_text = " ".join(text[one.starts_at : one.quantity.end] for one in limits)
    subject = _subject(text, value)
    if lower is None and upper is None and is_comparable:
        return None
    at = value.quantity.value
    direction, distance = _outside(at, lower, upper, sides)
    if not is_clear and direction == "within" and limits[0].role == "band":
        is_comparable = False
    return Reading(
        subject, value.quantity, lower, upper, " ".join(limit_text.strip(_EDGES).split()),
        direction if is_comparable else "within", distance if is_comparable else 0.0, is_comparable,
    )  # fmt: skip


class _Sides:
    """Collects the limits of one line, in the unit of the value."""

    def __init__(self) -> None:
        self.upper: float | None = None
        self.lower: float | None = None
        self.excludes_upper = self.excludes_lower = False
        self._nominal: float | None = None
        self._tolerance: list[tuple[float, bool, bool]] = []
        self._band: list[float] = []

    def take(self, one: _Marked, bound: float, *, is_relative: bool = False) -> None:
        if one.role == "upper":
            self.upper, self.excludes_upper = bound, one.is_exclusive
        elif one.role == "lower":
            self.lower, self.excludes_lower = bound, one.is_exclusive
        elif one.role == "nominal":
            self._nominal = bound
        elif one.role == "tolerance":
            has_sign = one.is_plus_minus is False and (one.joins or one.quantity.text.startswith(("+", "-")))
            self._tolerance.append((bound, has_sign, is_relative))
        else:
            self._band.append(bound)

    def bounds(self, *, is_low: bool) -> tuple[float | None, float | None]:
        """Lower and upper bound; ``is_low`` says that a single limit of unknown side is a lower one."""
        if len(self._band) >= 2:
            self.lower, self.upper = min(self._band[:2]), max(self._band[:2])
        elif len(self._band) == 1 and self._tolerance:
            self._nominal = self._band[0]
        elif len(self._band) == 1 and self.lower is None and self.upper is None:
            if is_low:
                self.lower = self._band[0]
            else:
                self.upper = self._band[0]
        if self._tolerance:
            self._apply_tolerance()
        elif self._nominal is not None and self.lower is None and self.upper is None:
            slack = abs(self._nominal) * SET_POINT_TOLERANCE
            self.lower, self.upper = self._nominal - slack, self._nominal + slack
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            self.lower, self.upper = self.upper, self.lower  # written backwards
        return self.lower, self.upper

    def _apply_tolerance(self) -> None:
        nominal = self._nominal or 0.0
        shares = [
            (bound * abs(nominal) if is_relative else bound, signed) for bound, signed, is_relative in self._tolerance
        ]
        if len(shares) >= 2 and any(signed for _, signed in shares):
            low, high = min(one for one, _ in shares[:2]), max(one for one, _ in shares[:2])
            if low > 0:  # +0.1/0.1: the sign of the minus side was left out
                low = -low
        else:
            low, high = -abs(shares[0][0]), abs(shares[0][0])
        self.lower, self.upper = nominal + low, nominal + high


def _outside(at: float, lower: float | None, upper: float | None, sides: _Sides) -> tuple[Direction, float]:
    slack = _EPSILON * max(abs(at), abs(lower or 0.0), abs(upper or 0.0), 1e-12)
    width = upper - lower if lower is not None and upper is not None else 0.0
    if upper is not None and (at > upper + slack or (sides.excludes_upper and at >= upper - slack)):
        return "above", max(at - upper, slack) / (width or abs(upper) or 1.0)
    if lower is not None and (at < lower - slack or (sides.excludes_lower and at <= lower + slack)):
        return "below", max(lower - at, slack) / (width or abs(lower) or 1.0)
    return "within", 0.0


def _subject(text: str, value: _Marked) -> str:
    """The words before the value, without the keyword of the value (``act``, ``実測``)."""
    start = value.starts_at if value.role else value.quantity.start
    words = re.split(r"[,;、，；|]", text[:start].strip(_EDGES))[-1] or text[:start]
    return " ".join(words.strip(_EDGES).split())
