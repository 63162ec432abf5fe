"""Decides by rules whether a log line is abnormal, normal, or an event without a judgement.

A comparison of a reading with its limits decides. A status word (``FAIL``, ``警報``, ``不合格``) decides where there
is no reading, and makes a line abnormal whose reading lies within. A status word ``OK`` does not make a reading normal
that lies outside.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgechat.plaintext import clean_line
from edgechat.tasks.rootcause.quantity import plain, uses_decimal_comma, without_times
from edgechat.tasks.rootcause.reading import Reading, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.tasks.rootcause.record import Evidence

State = Literal["abnormal", "normal", "event"]

# A count of zero and a denied fault are removed before fault words are looked for.
_DENIED = re.compile(
    (
        r"\b(?:no|0|zero|without)\s+(?:errors?|alarms?|faults?|fail(?:ure)?s?|warn(?:ing)?s?|deviations?"
        r"|defects?)\b"
        r"|\b\w*(?:alarm|error|err|fault|warn)\w*\s*[=:]\s*0\b|\b(?:errors?|alarms?|faults?|failures?"
        r"|warnings?)\s*:?\s*(?:0|none)\b"
        r"|異常(?:は)?(?:なし|無し|ありません|は?ない)|エラーなし|アラームなし|不良なし|(?:故障|报警|异常|错误"
        r"|不良)[:：]?\s*无"
        r"|(?:无|没有|未见|未发现)(?:任何)?(?:异常|故障|报警|错误|不良)|\bnot? out of (?:range|limits?"
        r"|tolerance)\b"
    ),
    re.IGNORECASE,
)
# Names that hold a fault word and report none.
_COMPOUND = re.compile(
    r"\b(?:warn(?:ing)?|alarm|trip|alert)[ _](?:at|above|limit|level|threshold)\b|"
    r"\b(?:error|mistake|fault)[- ]?(?:proof\w*|toleran\w+|log|code|count\w*)\b"
    r"|\b(?:high|low|hi|lo)[ _]?(?:limit|lim|level|speed|pressure side|side)\b|異常(?:時|検知機能)|\bfail[- ]?safe\b",
    re.IGNORECASE,
)
_FAULT = re.compile(
    (
        r"\b(?:error|err|alarm|alert|fault|faulty|fail|fails|failed|failure|warn|warning|critical|fatal"
        r"|abnormal|ng|nok|n\.g\.|reject(?:ed)?"
        r"|out of (?:range|limits?|tolerance|spec|control|order)|over[- ]?(?:range|limit|load|heat(?:ed|ing)?"
        r"|current|pressure|travel)"
        r"|overload(?:ed)?|timeout|timed out|time-out|mismatch|tripped|trip|jam(?:med)?|blocked|stuck"
        r"|stall(?:ed)?|expired|overdue"
        r"|not (?:responding|reached|ok|found|detected|ready|closed|calibrated|valid|available)|lost|missing"
        r"|no (?:signal|response)|dropout"
        r"|broken|breakage|leak(?:ing)? detected|empty|exceed(?:s|ed)|too (?:high|low|hot|cold|long|short|fast"
        r"|slow|many|few|late|early)"
        r"|unstable|degraded|interrupted|emergency stop|e-stop|crash(?:ed)?|collision|misfeed"
        r"|underfill(?:ed)?)\b"
        r"|(?<![A-Za-z])(?:HIGH|LOW|HH|LL|HI|LO|OVER|UNDER)(?![A-Za-z_])"
        r"|異常|警報|警告|注意報|エラー|アラーム|故障|不良|不合格|失敗|超過|不足|断線|停止中|非常停止|過負荷"
        r"|過電流|過熱|詰まり|空です|期限切れ|未検出"
        r"|未到達|不一致|外れ|低い|高い|逸脱|脱落|破損|漏れ(?:を)?検[知出]|オーバー|タイムアウト|トリップ"
        r"|报警|告警|错误|异常|失败|超限|超差|超标|不良品|故障|不合格|偏高|偏低|过高|过低|过期|过载|过热|断线"
        r"|卡住|堵塞|丢失|缺料|未到位|未检出|超时"
        r"|不匹配|不符|急停|跳闸|停机"
    ),
    re.IGNORECASE,
)
_UPPER_ONLY = frozenset(("high", "low", "hh", "ll", "hi", "lo", "over", "under"))
_FINE = re.compile(
    (
        r"\b(?:ok|pass|passed|normal|good|in (?:range|tolerance|spec)|within (?:limits?|tolerance|range|spec)"
        r"|healthy|io|i\.o\.)\b"
        r"|正常|合格|良好|異常(?:は)?(?:なし|無し)|无异常|通过"
    ),
    re.IGNORECASE,
)
_LEVEL = re.compile(r"^\W*(?:INFO|DEBUG|TRACE|NOTICE)\b", re.IGNORECASE)
_GAUGE = re.compile(r"\b(?:on|with|by) (?:gauge|gage|tester|meter|instrument|scale|bench)\b", re.IGNORECASE)
_SAME = re.compile(r"\bsame (?:part|piece|sample|unit)\b|同一|同じ|同件", re.IGNORECASE)
OVERRIDE = re.compile(
    (
        r"\b(?:overrid(?:e|es|den|ing)|bypass(?:ed|ing)?|disabled|muted|suppressed|forced|inhibited"
        r"|acknowledged (?:without|by user)"
        r"|interlock (?:off|open|released)|guard open|manual mode|skipped)\b"
        r"|解除|無効化|無効に|バイパス|手動切替|強制|スキップ|屏蔽|旁路|短接|强制|跳过|解锁|手动模式"
    ),
    re.IGNORECASE,
)
"""An event that took a safeguard away. It is no reading, but it counts as a sign of a cause."""


@dataclass(frozen=True, slots=True)
class JudgedLine:
    """A log line and what the rules make of it."""

    id: str
    text: str
    """On one line, without control characters."""
    state: State
    reading: Reading | None = None
    has_status: bool = False
    """True when a status word says that something is wrong."""
    contradicts_status: bool = False
    """True when the line's own status and its numbers disagree."""

    @property
    def distance(self) -> float:
        """How far outside its limits the reading lies; 0 without one."""
        return self.reading.distance if self.reading else 0.0

    @property
    def is_override(self) -> bool:
        """True for an event that took a safeguard away."""
        return self.state == "event" and bool(OVERRIDE.search(self.text))


def judged_lines(lines: Sequence[Evidence]) -> list[JudgedLine]:
    """Every line with its state, in the input's order."""
    decimal_comma = any(uses_decimal_comma(without_times(plain(item.text))) for item in lines)
    return [_judged(item, decimal_comma=decimal_comma) for item in lines]


def by_distance(lines: Sequence[JudgedLine]) -> list[JudgedLine]:
    """The abnormal lines, the farthest outside its limits first; then those that only a status word calls abnormal."""
    abnormal = [line for line in lines if line.state == "abnormal"]
    return sorted(abnormal, key=lambda line: -line.distance)


def contradicting(lines: Sequence[JudgedLine]) -> list[JudgedLine]:
    """Normal readings of the same part against the same limits by another instrument than an abnormal one.

    They speak against the abnormal reading: one of the two instruments is wrong. The same part means that both lines
    hold the same number beside their reading and limits, or call it the same; another instrument, that their first
    words differ or that both name a gauge.
    """
    abnormal = [line for line in lines if line.state == "abnormal" and line.reading]
    return [
        line for line in lines
        if line.state == "normal" and line.reading and any(_is_same_part(line, other) for other in abnormal)
    ]  # fmt: skip


def _is_same_part(one: JudgedLine, other: JudgedLine) -> bool:
    if one.reading is None or other.reading is None:
        return False
    if (one.reading.lower, one.reading.upper) != (other.reading.lower, other.reading.upper):
        return False
    mine, theirs = _words(one), _words(other)
    if not mine or not theirs or one.reading.value.unit != other.reading.value.unit:
        return False
    text = plain(one.text)
    if _GAUGE.search(text) and _GAUGE.search(plain(other.text)) and mine[0] == theirs[0]:
        return True
    if mine[0] == theirs[0]:
        return False
    shared = {word for word in mine[1:] if re.search("[0-9]", word)} & set(theirs[1:])
    return bool(shared) or bool(_SAME.search(text))


def _words(line: JudgedLine) -> list[str]:
    reading = line.reading
    return without_times(plain(line.text)).split(reading.value.text)[0].replace("(", " ").split() if reading else []


def reports_fault(text: str) -> bool:
    """True when a status word in ``text`` says that something is wrong."""
    rest = _COMPOUND.sub(" ", _DENIED.sub(" ", plain(text)))
    return any(match[0].isupper() or match[0].lower() not in _UPPER_ONLY for match in _FAULT.finditer(rest))


def reports_fine(text: str) -> bool:
    """True when a status word in ``text`` says that all is well."""
    plain_text = plain(text)
    return bool(_FINE.search(plain_text)) or bool(_DENIED.search(plain_text))


def _judged(item: Evidence, *, decimal_comma: bool) -> JudgedLine:
    text = clean_line(item.text)
    reading = read(text, decimal_comma=decimal_comma)
    has_fault = reports_fault(_without_subject(text, reading))
    is_fine = reports_fine(text) and not has_fault
    if reading is not None and reading.is_comparable:
        if reading.direction != "within":
            return JudgedLine(item.id, text, "abnormal", reading, has_fault, contradicts_status=is_fine)
        state: State = "abnormal" if has_fault else "normal"
        return JudgedLine(item.id, text, state, reading, has_fault, contradicts_status=has_fault)
    if has_fault:
        return JudgedLine(item.id, text, "abnormal", reading, has_status=True)
    if is_fine:
        return JudgedLine(item.id, text, "normal", reading)
    return JudgedLine(item.id, text, "event", reading)


def _without_subject(text: str, reading: Reading | None) -> str:
    """``text`` without the name of what was read: a "failure count" or an "alarm level" is not an alarm."""
    if reading is None or not reading.is_comparable or not reading.subject:
        return text
    return plain(text).replace(reading.subject, " ", 1)
