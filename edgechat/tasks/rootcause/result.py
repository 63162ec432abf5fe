"""Result of the rootcause task as pydantic models.

A model may word the statements of the hypotheses; every other sentence, and every decision, is the rules'.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgechat.tasks.grounding import Kind
from edgechat.tasks.language import Language
from edgechat.tasks.rootcause.limits import MAX_HYPOTHESES
from edgechat.tasks.strict import Strict

Category = Literal["man", "machine", "material", "method", "measurement", "environment", "unknown"]
"""Ishikawa's 6M, and ``unknown``."""
Confidence = Literal["low", "medium", "high"]
AlertState = Literal["raised", "cooling_down", "below_gate"]
WordedBy = Literal["rules", "model"]


class Fact(Strict):
    """One thing that the input says, put into words by a fixed text."""

    statement: str
    evidence_ids: list[str]


class CitedEvidence(Strict):
    """A note or log line as the input has it, on one line and without control characters."""

    id: str
    text: str


class LineFinding(Strict):
    """What the rules make of one log line."""

    id: str
    state: Literal["abnormal", "normal", "event"]
    """``event``: the line has no reading with a limit and no status word."""
    subject: str | None
    """What was read, in the line's words; null without a reading."""
    value: str | None
    limits: str | None
    """The limits in the line's words."""
    direction: Literal["above", "below", "within"] | None
    """Null without a reading, and where value and limits cannot be compared."""
    distance: float | None
    """How far outside, as a share of the width of the limits, or of the limit when there is only one."""


class Recurrence(Strict):
    """Earlier reports about the same defect."""

    same: list[Literal["defect_type", "station", "lot"]]
    """The fields that are equal."""
    count: int
    """Number of earlier reports, among the last 50."""
    ids: list[str]
    """Their ids, newest first."""


class Hypothesis(Strict):
    """One possible root cause, unverified."""

    category: Category
    statement: str
    evidence_ids: list[str]
    check_to_do: str
    """What would confirm or refute it; composed by rules."""
    confidence: Confidence
    worded_by: WordedBy
    """``rules``: the statement quotes the record; ``model``: it passed the check against its evidence."""


class EscapeHypothesis(Strict):
    """Why the defect may have got past earlier checks, unverified."""

    statement: str
    evidence_ids: list[str]
    check_to_do: str
    confidence: Confidence
    worded_by: WordedBy


class Flag(Strict):
    """A number or identifier in a sentence that the input does not hold."""

    path: str
    """JSON Pointer into this result."""
    kind: Kind
    token: str


class RootCauseResult(Strict):
    """The report. A root cause is a hypothesis until people have checked it."""

    observed_facts: list[Fact]
    line_findings: list[LineFinding]
    """Every log line as the rules judge it, in the input's order."""
    recurrences: list[Recurrence]
    """Earlier reports of the same run or history about the same defect; see docs/tasks.md."""
    hypotheses: Annotated[list[Hypothesis], Field(max_length=MAX_HYPOTHESES)]
    escape_hypothesis: EscapeHypothesis | None
    cited_evidence: list[CitedEvidence]
    """Every note and log line that a fact or a hypothesis cites, in the input's order."""
    containment: list[str]
    unknowns: list[str]
    summary: str
    insufficient_evidence: bool
    """True when the analysis was finished and no line or note supports a hypothesis."""
    complete: bool
    """False when the model's part is missing or was cut off; the rules' part is whole even then."""
    alert: bool
    alert_state: AlertState
    flags: list[Flag]
    product_id: str
    defect_type: str
    station: str | None
    lot: str | None
    language: Language
    notice: str
