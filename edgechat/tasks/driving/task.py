"""Driving-scene risk from speed, gap, lane position and weather: alert and numbers by rules, explanation by a model.

The rules compute the alert before the model is asked. Without an answer in time the result lacks only the explanation,
and the countermeasures keep the rules' texts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from edgechat.plaintext import clean_line
from edgechat.tasks.budget import answer_tokens
from edgechat.tasks.contract import Ask, Context, GeneratedJson, Outcome, Problem, Steps, Task
from edgechat.tasks.driving import explanation, texts, wording
from edgechat.tasks.driving.countermeasures import countermeasures
from edgechat.tasks.driving.record import (
    AssumptionMade,
    ClosingEstimate,
    Components,
    Countermeasure,
    DrivingInput,
    DrivingResult,
    ExplanationStatus,
    to_scene,
)
from edgechat.tasks.driving.risk import Assessment, assess
from edgechat.tasks.driving.stream import DrivingStream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgechat.tasks.driving.scene import Assumption, Scene
    from edgechat.tasks.language import Language
    from edgechat.tasks.result import TaskResult

_STATUS_OF_END: dict[str, ExplanationStatus] = {
    "length": "truncated", "timeout": "timeout", "cancelled": "cancelled", "failed": "failed", "no_model": "no_model",
}  # fmt: skip


class Driving(Task[DrivingInput, DrivingResult]):
    """The built-in task ``driving``."""

    name = "driving"
    version = "2"
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
        """Assess the scene, ask the model for an explanation and wordings, check its answer."""
        scene, assumed = to_scene(record)
        if context.live:
            if fault := self._stream.fault(record.t_s):
                return Outcome(None, "invalid_input", (Problem("/t_s", fault),))
            scene = self._stream.add_frame(scene, context.now_s)
        found = assess(scene, record.threshold)
        if context.live:
            found = replace(found, alert=self._stream.alert(found, record.threshold))
        result = rules_result(scene, found, assumed, record.threshold, record.language or context.language)
        schema = explanation.answer_schema(result)
        answer = yield Ask(
            messages=explanation.answer_messages(record, result),
            schema=schema,
            max_tokens=answer_tokens(schema, result.language),
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
        lines.append(result.explanation or _unexplained(result, done.errors))
        return "\n".join([*lines, result.notice]) + "\n"


def rules_result(
    scene: Scene, found: Assessment, assumed: tuple[Assumption, ...], threshold: float, language: Language
) -> DrivingResult:
    """The result of the rules, with rounded numbers; the explanation is still pending."""
    parts, estimate = found.components, found.lead.closing
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
        reason=texts.reason(found, language),
        explanation=None,
        explanation_status="pending",
        language=language,
        notice=texts.NOTICE[language],
    )


def _explained(record: DrivingInput, result: DrivingResult, answer: GeneratedJson) -> Outcome[DrivingResult]:
    """The result with the model's texts where they pass the checks; the problems say why others were rejected."""
    value = answer.value if answer.finish_reason == "stop" and isinstance(answer.value, dict) else {}
    words: str | None = None
    if answer.finish_reason != "stop":
        status, fault = _STATUS_OF_END[answer.finish_reason], answer.error
    else:
        text = value.get("explanation")
        words = explanation.unrepeated(clean_line(text), result.language) if isinstance(text, str) else None
        fault = explanation.explanation_fault(words or "", record, result)
        status = "rejected" if fault else "ok"
    problems = [Problem("/explanation", fault or f"No explanation: {status}.")] if status != "ok" else []
    measures, faults = _worded(result, value.get("countermeasures"))
    update = {
        "explanation": words if status == "ok" else None,
        "explanation_status": status,
        "countermeasures": measures,
    }
    return Outcome(result.model_copy(update=update), "ok", (*problems, *faults))


def _worded(result: DrivingResult, wordings: object) -> tuple[list[Countermeasure], list[Problem]]:
    """The countermeasures in the model's words where these pass the check; codes and order do not change."""
    measures, faults = list(result.countermeasures), []
    for i, item in enumerate(measures[: wording.MAX_WORDED] if isinstance(wordings, dict) else ()):
        text = wordings.get(item.code) if isinstance(wordings, dict) else None
        if not isinstance(text, str):
            continue
        text = clean_line(text)
        fault = wording.wording_fault(item.code, text, result.language)
        if not fault and (promise := explanation.reassurance(text)):
            fault = f"The wording reassures ({promise!r})."
        if fault:
            faults.append(Problem(f"/countermeasures/{i}/text", f"{fault} The rule's text is used."))
        elif text != item.text:  # a copy of the rule's text stays ``worded_by: rule``
            measures[i] = item.model_copy(update={"text": text, "worded_by": "model"})
    return measures, faults


def _unexplained(result: DrivingResult, problems: Sequence[Problem]) -> str:
    """Why there is no explanation, in the record's language; for a rejected one also the fault, in English."""
    reason = texts.UNEXPLAINED[result.explanation_status][result.language]
    found = next((problem.message for problem in problems if problem.path == "/explanation"), "")
    return f"[{reason} {found}]" if found and result.explanation_status == "rejected" else f"[{reason}]"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
