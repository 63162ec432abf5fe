"""The observed facts of a report: the input stated in fixed texts, and what the rules read in its log lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.plaintext import clean_line
from edgechat.tasks.rootcause.result import CitedEvidence, Fact, LineFinding
from edgechat.tasks.rootcause.sentences import line_words
from edgechat.tasks.rootcause.texts import FACTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgechat.tasks.language import Language
    from edgechat.tasks.rootcause.evidence import SortedEvidence
    from edgechat.tasks.rootcause.line_state import JudgedLine
    from edgechat.tasks.rootcause.record import RootCauseInput

MAX_ALARMS = 5
"""Maximum number of abnormal log lines quoted among the facts, farthest outside first; all of them are evidence."""
_MAX_QUOTE = 200
_PLACES = ("detected_at", "line", "station", "lot")


def observed_facts(record: RootCauseInput, found: SortedEvidence, language: Language) -> list[Fact]:
    """The detection, its place and time, the worst deviation, and the first abnormal log lines, quoted."""

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
    readings = [line for line in found.lines if line.reading and line.reading.is_comparable]
    outside = [line for line in found.abnormal if line.distance > 0]
    if readings:
        facts.append(fact("readings", [line.id for line in outside], outside=len(outside), count=len(readings)))
    if outside:
        facts.append(fact("farthest", [outside[0].id], words=line_words(outside[0], language)))
    facts += [fact("alarm", [line.id], id=line.id, text=_quote(line.text)) for line in found.abnormal[:MAX_ALARMS]]
    return facts


def line_findings(lines: Iterable[JudgedLine]) -> list[LineFinding]:
    """Every line as the result publishes it."""
    return [_finding(line) for line in lines]


def cited_evidence(record: RootCauseInput, claims: Iterable[Sequence[str]]) -> list[CitedEvidence]:
    """The notes and lines that facts and hypotheses cite, each once, in input order."""
    ids = {evidence_id for claim in claims for evidence_id in claim}
    return [CitedEvidence(id=item.id, text=clean_line(item.text)) for item in record.evidence if item.id in ids]


def _finding(line: JudgedLine) -> LineFinding:
    reading = line.reading
    if reading is None:
        return LineFinding(
            id=line.id, state=line.state, subject=None, value=None, limits=None, direction=None, distance=None
        )
    return LineFinding(
        id=line.id, state=line.state, subject=reading.subject, value=reading.value.text, limits=reading.limit_text,
        direction=reading.direction if reading.is_comparable else None,
        distance=round(reading.distance, 4) if reading.is_comparable else None,
    )  # fmt: skip


def _quote(text: str) -> str:
    line = clean_line(text)
    return line if len(line) <= _MAX_QUOTE else f"{line[:_MAX_QUOTE]}…"
