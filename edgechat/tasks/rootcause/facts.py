"""The observed facts of a report: the input stated in fixed texts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgechat.plaintext import clean_line
from edgechat.tasks.rootcause.record import Fact
from edgechat.tasks.rootcause.texts import FACTS

if TYPE_CHECKING:
    from edgechat.tasks.language import Language
    from edgechat.tasks.rootcause.record import RootCauseInput

MAX_ALARMS = 5
"""Maximum number of log lines quoted among the facts; all log lines are evidence."""
_MAX_QUOTE = 200
_PLACES = ("detected_at", "line", "station", "lot")

# Log levels and words that controllers print on a fault. Whole words only (not `terror`), and not a count of zero.
_ALARM = re.compile(
    r"\b(?:error|err|alarm|fault|fail(?:ed|ure)?|warn(?:ing)?|critical|fatal|abnormal|out of range|timeout)\b"
    r"|異常|警報|警告|エラー|アラーム|故障|不良|失敗|超過|报警|告警|错误|异常|失败|超限",
    re.IGNORECASE,
)
_NEGATED = re.compile(
    r"\b(?:no|0|zero)\s+(?:errors?|alarms?|faults?|failures?|warnings?)\b|異常なし|异常:?\s*无|无异常", re.IGNORECASE
)


def observed_facts(record: RootCauseInput, language: Language) -> list[Fact]:
    """The detection, its place and time, and the first log lines that report a fault, quoted."""

    def fact(name: str, ids: list[str] | None = None, **values: object) -> Fact:
        return Fact(statement=FACTS[name][language].format(**values), evidence_ids=ids or [])

    facts = [
        fact(
            "detected",
            defect=clean_line(record.defect_type),
            location=clean_line(record.location),
            product=clean_line(record.product_id),
            severity=clean_line(str(record.severity)),
        ),
        fact("confidence", confidence=f"{record.confidence:g}"),
    ]
    places = ((name, getattr(record, name)) for name in _PLACES)
    facts += [fact(name, value=clean_line(value)) for name, value in places if value]
    alarms = [item for item in record.log_lines if reports_fault(item.text)]
    facts += [fact("alarm", [item.id], id=item.id, text=_quote(item.text)) for item in alarms[:MAX_ALARMS]]
    return facts


def reports_fault(text: str) -> bool:
    """True for a log line that reports an error, an alarm or an exceeded limit."""
    return bool(_ALARM.search(_NEGATED.sub(" ", text)))


def _quote(text: str) -> str:
    line = clean_line(text)
    return line if len(line) <= _MAX_QUOTE else f"{line[:_MAX_QUOTE]}…"
