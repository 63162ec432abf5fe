"""Defect report (8D, 6M) from a detection, notes and logs: rules read and compose it, a model words likely causes.

The rules' report is ready at once. When the model's part is late or cut off, the rules' hypothesis stands and the
report has ``complete: false``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from edgechat.tasks.contract import Ask, Context, GeneratedJson, Outcome, Problem, Status, Steps, Task
from edgechat.tasks.grounding import GroundingTexts
from edgechat.tasks.rootcause import limits, question, report_page, sentences
from edgechat.tasks.rootcause.alert import GATE, AlertLimiter, passes_gate
from edgechat.tasks.rootcause.evidence import SortedEvidence, sorted_evidence
from edgechat.tasks.rootcause.facts import cited_evidence, line_findings, observed_facts
from edgechat.tasks.rootcause.hypotheses import Hypotheses, from_causes, from_rules
from edgechat.tasks.rootcause.record import RootCauseInput
from edgechat.tasks.rootcause.result import AlertState, Flag, RootCauseResult
from edgechat.tasks.rootcause.texts import NOTICE, UNKNOWNS
from edgechat.tasks.rootcause.trend import Trend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from edgechat.tasks.language import Language
    from edgechat.tasks.result import TaskResult
    from edgechat.tasks.rootcause.result import Hypothesis

_STATUS_OF_END: dict[str, Status] = {
    "stop": "failed", "length": "truncated", "timeout": "truncated", "cancelled": "truncated", "failed": "failed",
    "no_model": "failed",
}  # fmt: skip
"""Status of a record with an incomplete answer; ``stop`` stands for an answer that does not fit its schema."""


class RootCause(Task[RootCauseInput, RootCauseResult]):
    """The built-in task ``rootcause``."""

    name = "rootcause"
    version = "4"
    example: ClassVar[Mapping[str, Any]] = {
        "product_id": "PCB-2210",
        "defect_type": "solder bridge",
        "location": "U7 pins 3-4",
        "severity": "high",
        "confidence": 0.93,
        "line": "L2",
        "station": "reflow oven 1",
        "process_notes": [{"id": "N1", "text": "Stencil changed at 08:40, not cleaned since."}],
        "log_lines": [
            {"id": "L1", "text": "09:02:11 WARN zone 4 temperature 262 C, limit 255 C"},
            {"id": "L2", "text": "09:02:40 INFO conveyor 0.85 m/min"},
        ],
        "language": "en",
    }
    formats = ("json", "md", "html")
    timeout_s = 3.0
    input_model = RootCauseInput
    output_model = RootCauseResult

    def __init__(self) -> None:
        self._alerts = AlertLimiter()

    def steps(self, record: RootCauseInput, context: Context) -> Steps[RootCauseResult]:
        """State the facts, ask for hypotheses when there is evidence, check the answer."""
        if record.image is not None and not context.vision:
            message = "This model cannot look at images: leave the image out, or choose a vision model."
            return Outcome(None, "invalid_input", (Problem("/image", message),))
        report_of = _Report(
            record, sorted_evidence(record), record.language or context.language, self._alert(record, context)
        )
        found, language = report_of.found, report_of.language
        if reason := _why_not_asked(record, found, language):
            return Outcome(report_of.result(Hypotheses(is_whole=True), unknowns=[reason]))
        if not (record.image or context.design == "large"):
            return Outcome(report_of.result(from_rules(record, found, language)))
        evidence = question.offered(found, language)
        schema = question.answer_schema(list(evidence), language)
        answer = yield Ask(
            messages=question.answer_messages(record, evidence, language),
            schema=schema,
            max_tokens=limits.MAX_TOKENS,
            so_far=Outcome(report_of.result(from_rules(record, found, language, is_whole=False)), "truncated"),
            images=(record.image,) if record.image else (),
        )
        made = from_causes(record, found, answer, schema, language)
        result = report_of.result(made)
        if made.is_whole:
            return Outcome(result, "ok", made.problems)
        return Outcome(
            result, _STATUS_OF_END[answer.finish_reason], (Problem("", _why_incomplete(answer)), *made.problems)
        )

    def history(self, earlier: Iterable[Mapping[str, Any]] = ()) -> Callable[[TaskResult], TaskResult]:
        """Adds to each result its recurrences among the last 50 reports before it."""
        return Trend(earlier).add

    def render(self, done: TaskResult, fmt: str) -> str:
        """JSON, Markdown, or one self-contained HTML page."""
        if fmt == "md":
            return report_page.markdown(report_page.document(done))
        if fmt == "html":
            return report_page.html(report_page.document(done))
        return super().render(done, fmt)

    def _alert(self, record: RootCauseInput, context: Context) -> AlertState:
        # In a file the processing speed must not decide which records raise an alert, so each gets a new limiter.
        alerts = self._alerts if context.live else AlertLimiter()
        return alerts.decide(record.confidence, (record.line, record.station, record.defect_type), context.now_s)


class _Report:
    """One record with what the rules found, and the result that they make of hypotheses."""

    def __init__(self, record: RootCauseInput, found: SortedEvidence, language: Language, alert: AlertState) -> None:
        self.record, self.found, self.language = record, found, language
        self._alert = alert

    def result(self, made: Hypotheses, *, unknowns: Iterable[str] = ()) -> RootCauseResult:
        """The report with these hypotheses."""
        record, found, language = self.record, self.found, self.language
        hypotheses = list(made.items)
        facts = observed_facts(record, found, language)
        is_analysed = bool(hypotheses)
        escape = sentences.escape(found, language) if is_analysed else None
        claims = (*facts, *hypotheses, *((escape,) if escape else ()))
        category = hypotheses[0].category if hypotheses else "unknown"
        return RootCauseResult(
            observed_facts=facts,
            line_findings=line_findings(found.lines),
            recurrences=[],
            hypotheses=hypotheses,
            escape_hypothesis=escape,
            cited_evidence=cited_evidence(record, [claim.evidence_ids for claim in claims]),
            containment=sentences.containment(record, found, category, language) if is_analysed else [],
            unknowns=[*unknowns, *sentences.open_points(found, language)],
            summary=sentences.summary(record, hypotheses, language),
            insufficient_evidence=made.is_whole and not hypotheses,
            complete=made.is_whole,
            alert=self._alert == "raised",
            alert_state=self._alert,
            flags=_ungrounded(record, hypotheses),
            product_id=record.product_id,
            defect_type=record.defect_type,
            station=record.station,
            lot=record.lot,
            language=language,
            notice=NOTICE[language],
        )


def _why_not_asked(record: RootCauseInput, found: SortedEvidence, language: Language) -> str:
    """Why there is no analysis, or ``""``. Without a sign of trouble a model could only invent causes."""
    if not passes_gate(record.confidence):
        return UNKNOWNS["below_gate"][language].format(gate=GATE)
    if not record.evidence:
        return UNKNOWNS["no_evidence"][language]
    if found.is_sufficient:
        return ""
    reason = sentences.say("no_support", language)
    if found.unclear:
        ids = sentences.listed([note.id for note in found.unclear])
        reason = f"{reason} {UNKNOWNS['not_judged'][language].format(ids=ids)}"
    return reason


def _why_incomplete(answer: GeneratedJson) -> str:
    if answer.finish_reason == "stop":
        return "The model's answer does not fit its schema."
    return answer.error or f"The model's answer was not finished ({answer.finish_reason})."


def _ungrounded(record: RootCauseInput, hypotheses: Iterable[Hypothesis]) -> list[Flag]:
    """Numbers and identifiers in a model's statement that the input does not hold."""
    places = (
        record.product_id,
        record.defect_type,
        record.location,
        record.detected_at,
        record.line,
        record.station,
        record.lot,
    )
    ground = GroundingTexts(
        (*(text for text in places if text), *(part for item in record.evidence for part in (item.id, item.text)))
    )
    return [
        Flag(path=f"/hypotheses/{i}/statement", kind=missing.kind, token=missing.token)
        for i, item in enumerate(hypotheses)
        if item.worded_by == "model"
        for missing in ground.missing(item.statement)
    ]
