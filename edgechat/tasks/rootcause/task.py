"""Defect report (8D, 6M) from a detection, notes and logs: facts by rules, root-cause hypotheses by a model.

The rules' part of the report is ready at once; the model's part follows. When that is late or cut off, the report has
``complete: false``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from edgechat.tasks.budget import answer_tokens
from edgechat.tasks.contract import Ask, Context, GeneratedJson, Outcome, Problem, Status, Steps, Task
from edgechat.tasks.rootcause import report
from edgechat.tasks.rootcause.alert import GATE, AlertLimiter, passes_gate
from edgechat.tasks.rootcause.checks import CheckedAnswer, checked_answer, cited_evidence, ungrounded_flags
from edgechat.tasks.rootcause.facts import observed_facts
from edgechat.tasks.rootcause.question import answer_messages, answer_schema
from edgechat.tasks.rootcause.record import AlertState, Fact, RootCauseInput, RootCauseResult
from edgechat.tasks.rootcause.texts import NOTICE, UNKNOWNS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgechat.tasks.language import Language
    from edgechat.tasks.result import TaskResult

_STATUS_OF_END: dict[str, Status] = {
    "stop": "failed", "length": "truncated", "timeout": "truncated", "cancelled": "truncated", "failed": "failed",
    "no_model": "failed",
}  # fmt: skip
"""Status of a record with an incomplete answer; ``stop`` stands for an answer that does not fit its schema."""


class RootCause(Task[RootCauseInput, RootCauseResult]):
    """The built-in task ``rootcause``."""

    name = "rootcause"
    version = "3"
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
    budget_s = 3.0
    input_model = RootCauseInput
    output_model = RootCauseResult

    def __init__(self) -> None:
        self._alerts = AlertLimiter()

    def steps(self, record: RootCauseInput, context: Context) -> Steps[RootCauseResult]:
        """State the facts, ask for hypotheses when there is evidence, check the answer."""
        if record.image is not None and not context.vision:
            message = "This model cannot look at images: leave the image out, or choose a vision model."
            return Outcome(None, "invalid_input", (Problem("/image", message),))
        language = record.language or context.language
        facts = observed_facts(record, language)
        alert = self._alert(record, context)
        if reason := _why_not_asked(record, language):
            return Outcome(_result(record, facts, CheckedAnswer(unknowns=(reason,), is_whole=True), alert, language))
        schema = answer_schema(record, language)
        answer = yield Ask(
            messages=answer_messages(record, facts, language),
            schema=schema,
            max_tokens=answer_tokens(schema, language),
            so_far=Outcome(_result(record, facts, CheckedAnswer(), alert, language), "truncated"),
            images=(record.image,) if record.image else (),
        )
        checked = checked_answer(answer, schema)
        result = _result(record, facts, checked, alert, language)
        if checked.is_whole:
            return Outcome(result)
        return Outcome(result, _STATUS_OF_END[answer.finish_reason], (Problem("", _why_incomplete(answer)),))

    def render(self, done: TaskResult, fmt: str) -> str:
        """JSON, Markdown, or one self-contained HTML page."""
        if fmt == "md":
            return report.markdown(report.document(done))
        if fmt == "html":
            return report.html(report.document(done))
        return super().render(done, fmt)

    def _alert(self, record: RootCauseInput, context: Context) -> AlertState:
        # In a file the processing speed must not decide which records raise an alert, so each gets a new limiter.
        alerts = self._alerts if context.live else AlertLimiter()
        return alerts.decide(record.confidence, (record.line, record.station, record.defect_type), context.now_s)


def _why_not_asked(record: RootCauseInput, language: Language) -> str:
    """Why the model is not asked, or ``""``. Without evidence a model could only invent causes."""
    if not passes_gate(record.confidence):
        return UNKNOWNS["below_gate"][language].format(gate=GATE)
    return "" if record.evidence else UNKNOWNS["no_evidence"][language]


def _why_incomplete(answer: GeneratedJson) -> str:
    if answer.finish_reason == "stop":
        return "The model's answer does not fit its schema."
    return answer.error or f"The model's answer was not finished ({answer.finish_reason})."


def _result(
    record: RootCauseInput, facts: list[Fact], checked: CheckedAnswer, alert: AlertState, language: Language
) -> RootCauseResult:
    return RootCauseResult(
        observed_facts=facts,
        hypotheses=list(checked.hypotheses),
        escape_hypothesis=checked.escape_hypothesis,
        cited_evidence=cited_evidence(record, facts, checked),
        containment=list(checked.containment),
        unknowns=list(checked.unknowns),
        summary=checked.summary,
        insufficient_evidence=checked.is_whole and not checked.hypotheses,
        complete=checked.is_whole,
        alert=alert == "raised",
        alert_state=alert,
        flags=ungrounded_flags(checked, record) if checked.is_whole or checked.hypotheses or checked.summary else [],
        product_id=record.product_id,
        defect_type=record.defect_type,
        language=language,
        notice=NOTICE[language],
    )
