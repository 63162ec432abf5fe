"""Driving-scene risk from speed, gap, lane position and weather: alert, numbers, reason and measures by rules.

The rules' result is whole before the model is asked. A model may add one sentence to the explanation; it is shown
when it passes the check in ``sentence_check.py``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from edgechat.plaintext import clean_line
from edgechat.tasks.contract import Ask, Context, GeneratedJson, Outcome, Problem, Steps, Task
from edgechat.tasks.driving import question, texts
from edgechat.tasks.driving.countermeasures import countermeasures
from edgechat.tasks.driving.record import DrivingInput, to_scene
from edgechat.tasks.driving.result import (
    AssumptionMade,
    ClosingEstimate,
    Components,
    Countermeasure,
    DrivingResult,
    ExplanationStatus,
    Sentence,
)
from edgechat.tasks.driving.risk import Assessment, assess
from edgechat.tasks.driving.sentence_check import sentence_fault
from edgechat.tasks.driving.stream import DrivingStream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgechat.tasks.driving.scene import Assumption, Scene
    from edgechat.tasks.language import Language
    from edgechat.tasks.result import TaskResult

_STATUS_OF_END: dict[str, ExplanationStatus] = {
    "length": "truncated", "timeout": "timeout", "cancelled": "cancelled", "failed": "failed", "no_model": "no_model",
}  # fmt: skip


class Driving(Task[DrivingInput, DrivingResult]):
    """The built-in task ``driving``."""

    name = "driving"
    version = "3"
    example: ClassVar[Mapping[str, Any]] = {
        "speed_kmh": 100.0,
        "distance_to_car_m": 45.0,
        "lane_center_offset_m": 0.2,
        "weather": "rain",
        "time_of_day": "day",
        "language": "en",
    }
    formats = ("json", "text")
    input_model = DrivingInput
    output_model = DrivingResult

    def __init__(self) -> None:
        self._stream = DrivingStream()

    def steps(self, record: DrivingInput, context: Context) -> Steps[DrivingResult]:
        """Assess the scene, ask a model that is large enough for a sentence, check it."""
        scene, assumed = to_scene(record)
        if context.live:
            if fault := self._stream.fault(record.t_s):
                return Outcome(None, "invalid_input", (Problem("/t_s", fault),))
            scene = self._stream.add_frame(scene, context.now_s)
        found = assess(scene, record.threshold)
        if context.live:
            found = replace(found, alert=self._stream.alert(found, record.threshold))
        result = rules_result(scene, found, assumed, record.threshold, record.language or context.language)
        if context.design == "small":  # measured: a small model copies the reason or states falsehoods
            return Outcome(result.model_copy(update={"explanation_status": "rules_only"}))
        answer = yield Ask(
            messages=question.answer_messages(record, result),
            schema=question.answer_schema(result.language),
            max_tokens=question.MAX_TOKENS,
            so_far=Outcome(result),
        )
        return _explained(record, result, answer)

    def render(self, done: TaskResult, fmt: str) -> str:
        """JSON, or a few lines of plain text in the record's language."""
        if fmt != "text":
            return super().render(done, fmt)
        if done.result is None:
            return "\n".join(done.error_lines) + "\n"
        result = DrivingResult.model_validate(done.result)
        head = f"{'!! ' if result.alert else ''}{result.risk:.2f} {texts.LEVELS[result.level][result.language]}"
        lines = [f"{head}: {result.reason}", *(f"- {item.text}" for item in result.countermeasures)]
        lines += [item.text for item in result.explanation_sentences if item.worded_by == "model"]
        return "\n".join([*lines, result.notice]) + "\n"


def rules_result(
    scene: Scene, found: Assessment, assumed: tuple[Assumption, ...], threshold: float, language: Language
) -> DrivingResult:
    """The result of the rules, with rounded numbers; the model's sentence is still pending."""
    parts, estimate = found.components, found.lead.closing
    reason = texts.reason(found, language)
    return DrivingResult(
        risk=found.risk,
        level=found.level,
        alert=found.alert,
        threshold=threshold,
        components=Components(
            gap=round(parts.gap, 4),
            ttc=round(parts.ttc, 4),
            btn=round(parts.btn, 4),
            longitudinal=round(parts.longitudinal, 4),
            lane=round(parts.lane, 4),
        ),
        limiting_factor=found.limiting_factor,
        basis=found.lead.basis,
        ttc_s=_rounded(found.ttc_s),
        thw_s=_rounded(found.thw_s),
        closing_speed_mps=_rounded(found.lead.closing_mps),
        closing_estimate=None
        if estimate is None
        else ClosingEstimate(
            speed_mps=round(estimate.speed_mps, 3),
            low_mps=round(estimate.low_mps, 3),
            high_mps=round(estimate.high_mps, 3),
            confidence=estimate.confidence,
            frames=estimate.frames,
        ),
        drac_mps2=_rounded(found.drac_mps2),
        btn=_rounded(found.btn),
        rss_safe_distance_m=_rounded(found.rss_safe_distance_m),
        recommended_gap_m=round(found.recommended_gap_m, 2),
        stopping_distance_m=round(found.stopping_distance_m, 2),
        friction=scene.conditions.friction,
        reaction_time_s=round(scene.conditions.reaction_s, 3),
        assumptions=[
            AssumptionMade(code=code, text=texts.ASSUMPTIONS[code][language]) for code in (*found.assumptions, *assumed)
        ],
        countermeasures=[
            Countermeasure(code=code, text=texts.COUNTERMEASURES[code][language], worded_by="rule")
            for code in countermeasures(scene, found)
        ],
        reason=reason,
        explanation=reason,
        explanation_sentences=[Sentence(text=reason, worded_by="rule")],
        explanation_status="pending",
        language=language,
        notice=texts.NOTICE[language],
    )


def _explained(record: DrivingInput, result: DrivingResult, answer: GeneratedJson) -> Outcome[DrivingResult]:
    """The result with the model's sentence where it passes the check; the problems say why another was refused."""
    if answer.finish_reason != "stop":
        status = _STATUS_OF_END[answer.finish_reason]
        update: dict[str, object] = {"explanation_status": status}
        return _remarked(result, update, answer.error or f"No sentence of the model: {status}.")
    value = answer.value if isinstance(answer.value, dict) else {}
    text = value.get("sentence")
    words = clean_line(text) if isinstance(text, str) else ""
    if fault := sentence_fault(words, record, result):
        return _remarked(result, {"explanation_status": "rejected"}, fault)
    joint = "" if result.language in {"ja", "zh"} else " "
    update = {
        "explanation": f"{result.reason}{joint}{words}",
        "explanation_sentences": [*result.explanation_sentences, Sentence(text=words, worded_by="model")],
        "explanation_status": "ok",
    }
    return Outcome(result.model_copy(update=update))


def _remarked(result: DrivingResult, update: dict[str, object], why: str) -> Outcome[DrivingResult]:
    return Outcome(result.model_copy(update=update), "ok", (Problem("/explanation", why),))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
