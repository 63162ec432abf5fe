"""The record of one task run, with what an auditor asks for. Data only."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from edgechat.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgechat.errors import EdgechatError
    from edgechat.tasks.contract import Problem, Status

CLOCK_IS_UNSET_BEFORE_S = 1_735_689_600.0
"""2025-01-01T00:00Z, older than any edgechat: boards without a battery clock start in 1970 or at their image's date."""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One record's result; :meth:`to_json` is the line that ``edgechat run`` writes."""

    id: str | int
    """The record's own id, else the number of its line."""
    task: str
    task_version: str
    status: Status
    result: dict[str, Any] | None
    """Fits the task's output schema; None where there is nothing that may be said."""
    errors: tuple[Problem, ...] = ()
    timing: Mapping[str, float] = field(default_factory=dict)
    """Seconds (``rules_s``, ``model_s``, ``total_s``) and what the engine measured."""
    model: str | None = None
    """The model that was asked; None when rules alone spoke."""
    quant: str | None = None
    model_sha256: str | None = None
    seed: int | None = None
    input_sha256: str = ""
    """SHA-256 of the input as canonical JSON (sorted keys, no spaces, UTF-8), without the record's id."""
    created_at: str | None = None
    """UTC, ISO 8601; None while the clock is unset."""
    edgechat_version: str = __version__
    is_final: bool = True
    """False while an answer of the model is still awaited. Not part of the record."""
    cause: EdgechatError | None = None
    """The error behind a missing answer, for the exit code. Not part of the record."""
    is_repeatable: bool = True
    """False where the time allowed, or a failure, took something of the model's answer. Not part of the record."""

    def to_json(self) -> dict[str, Any]:
        """The record, in the documented order."""
        return {
            "id": self.id,
            "task": self.task,
            "task_version": self.task_version,
            "status": self.status,
            "result": self.result,
            "errors": [asdict(problem) for problem in self.errors],
            "timing": {name: round(value, 6) for name, value in self.timing.items()},
            "model": self.model,
            "quant": self.quant,
            "model_sha256": self.model_sha256,
            "edgechat_version": self.edgechat_version,
            "seed": self.seed,
            "input_sha256": self.input_sha256,
            "created_at": self.created_at,
        }


def timestamp(wall_s: float) -> str | None:
    """ISO 8601 in UTC for a reading of the wall clock, or None while that clock is unset."""
    if wall_s < CLOCK_IS_UNSET_BEFORE_S:
        return None
    return datetime.fromtimestamp(wall_s, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
