"""Result of the driving task as pydantic models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgechat.tasks.driving.closing import Confidence
from edgechat.tasks.driving.countermeasures import Code
from edgechat.tasks.driving.risk import Factor, Level
from edgechat.tasks.driving.scene import Assumption, Basis
from edgechat.tasks.language import Language
from edgechat.tasks.strict import Strict

Score = Annotated[float, Field(ge=0, le=1)]

ExplanationStatus = Literal[
    "ok", "pending", "timeout", "truncated", "rejected", "failed", "cancelled", "no_model", "rules_only"
]
WordedBy = Literal["rule", "model"]


class Components(Strict):
    """Scores from 0 to 1 that the risk is made of."""

    gap: Score
    ttc: Score
    btn: Score
    longitudinal: Score
    """The largest of gap, ttc and btn."""
    lane: Score


class ClosingEstimate(Strict):
    """Closing speed from the history, m/s; negative while the gap grows."""

    speed_mps: float
    low_mps: float
    """Lower bound of the 95 % interval of the slope."""
    high_mps: float
    confidence: Confidence
    frames: int


class Countermeasure(Strict):
    """One thing to do, chosen by rules, most urgent first."""

    code: Code
    text: str
    worded_by: WordedBy
    """Always ``rule``: a model words no countermeasure."""


class AssumptionMade(Strict):
    """One thing that was assumed."""

    code: Assumption
    text: str


class Sentence(Strict):
    """One sentence of the explanation, and who worded it."""

    text: str
    worded_by: WordedBy


class DrivingResult(Strict):
    """Risk of one moment. Everything is the rules'; a model may add one checked sentence to the explanation."""

    risk: Score
    level: Level
    alert: bool
    """risk > threshold; in a live stream with hysteresis."""
    threshold: float
    components: Components
    limiting_factor: Factor
    basis: Basis
    """Where the closing speed came from; ``gap_only`` and ``no_lead``: it is unknown."""
    ttc_s: float | None
    """Null when the gap does not close, or when ``basis`` says that nobody knows."""
    thw_s: float | None
    """Null without a vehicle ahead and at standstill."""
    closing_speed_mps: float | None
    """The closing speed that was believed."""
    closing_estimate: ClosingEstimate | None
    drac_mps2: float | None
    btn: float | None
    rss_safe_distance_m: float | None
    recommended_gap_m: float
    stopping_distance_m: float
    friction: float
    reaction_time_s: float
    assumptions: list[AssumptionMade]
    countermeasures: list[Countermeasure]
    reason: str
    """One sentence on the limiting factor, from a fixed text."""
    explanation: str | None
    """The rules' reason, and the model's sentence where ``explanation_status`` is ``ok``."""
    explanation_sentences: list[Sentence]
    """The same, sentence by sentence."""
    explanation_status: ExplanationStatus
    """What became of the model's sentence; ``rules_only``: the model is too small to be asked."""
    language: Language
    notice: str
