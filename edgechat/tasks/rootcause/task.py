"""Defect report (8D, 6M) from a detection, notes and logs: facts by rules, root-cause hypotheses by a model.

The rule-made skeleton stands at once; the model's text fills the time that is left. What comes too late or is cut off
leaves ``complete: false``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from edgechat.tasks.budget import answer_tokens
from edgechat.tasks.contract import Ask, Context, GeneratedJson, Outcome, Problem, Status, Steps, Task
from edgechat.tasks.rootcause import page, report
from edgechat.tasks.rootcause.alert import GATE, Alerts, passes_gate
from edgechat.tasks.rootcause.checks import Said, cited, ungrounded, usable
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
"""How a record ends whose answer is not whole; ``stop`` here is an answer that broke its schema."""


class RootCause(Task[RootCauseInput, RootCauseResult]):
    """The built-in task ``rootcause``."""

    name: ClassVar[str] = "rootcause"
    version: ClassVar[str] = "3"
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
    formats: ClassVar[tuple[str, ...]] = ("json", "md", "html")
    budget_s: ClassVar[float | None] = 3.0
    input_model = RootCauseInput
    output_model = RootCauseResult

    def __init__(self) -> None:
        self._alerts = Alerts()

    def steps(self, record: RootCauseInput, context: Context) -> Steps[RootCauseResult]:
        """Write the facts, ask for hypotheses where there is evidence, check what comes back."""
        if record.image is not None and not context.vision:
            return Outcome(
                None,
                "invalid_input",
                (
                    Problem(
                        "/image", "This model cannot look at images: leave the image out, or choose a vision model."
                    ),
                ),
            )
        language = record.language or context.language
        facts = observed_facts(record, language)
        alert = self._alert(record, context)
        silence = _why_not_asked(record, language)
        if silence:
            return Outcome(_result(record, facts, Said(unknowns=(silence,), is_whole=True), alert, language))
        schema = answer_schema(record, language)
        answer = yield Ask(
            messages=answer_messages(record, facts, language),
            schema=schema,
            max_tokens=answer_tokens(schema, language),
            so_far=Outcome(_result(record, facts, Said(), alert, language), "truncated"),
            images=(record.image,) if record.image else (),
        )
        said = usable(answer, schema)
        result = _result(record, facts, said, alert, language)
        if said.is_whole:
            return Outcome(result)
        return Outcome(result, _STATUS_OF_END[answer.finish_reason], (Problem("", _why_incomplete(answer)),))

    def render(self, done: TaskResult, fmt: str) -> str:
        """JSON, Markdown, or one HTML page that needs nothing else and prints on A4."""
        if fmt == "md":
            return report.markdown(report.document(done))
        if fmt == "html":
            return page.html(report.document(done))
        return super().render(done, fmt)

    def _alert(self, record: RootCauseInput, context: Context) -> AlertState:
        # Records of a file are not moments: how fast they are worked through must not decide which of them alert.
        alerts = self._alerts if context.live else Alerts()
        return alerts.decide(record.confidence, (record.line, record.station, record.defect_type), context.now_s)


def _why_not_asked(record: RootCauseInput, language: Language) -> str:
    """Why rules alone write this report, or ``""``. Without evidence a model could only invent."""
    if not passes_gate(record.confidence):
        return UNKNOWNS["below_gate"][language].format(gate=GATE)
    return "" if record.evidence else UNKNOWNS["no_evidence"][language]


def _why_incomplete(answer: GeneratedJson) -> str:
    if answer.finish_reason == "stop":
        return "The model's answer does not fit its schema."
    return answer.error or f"The model's answer was not finished ({answer.finish_reason})."


def _result(
    record: RootCauseInput, facts: list[Fact], said: Said, alert: AlertState, language: Language
) -> RootCauseResult:
    return RootCauseResult(
        observed_facts=facts,
        hypotheses=list(said.hypotheses),
        escape_hypothesis=said.escape_hypothesis,
        cited_evidence=cited(record, facts, said),
        containment=list(said.containment),
        unknowns=list(said.unknowns),
        summary=said.summary,
        insufficient_evidence=said.is_whole and not said.hypotheses,
        complete=said.is_whole,
        alert=alert == "raised",
        alert_state=alert,
        flags=ungrounded(said, record) if said.is_whole or said.hypotheses or said.summary else [],
        product_id=record.product_id,
        defect_type=record.defect_type,
        language=language,
        notice=NOTICE[language],
    )
