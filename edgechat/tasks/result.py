"""The result of one record: its status, its errors, and the data an auditor needs. Data only."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from edgechat.tasks import measured
from edgechat.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgechat.errors import EdgechatError

Status = Literal["ok", "invalid_input", "truncated", "failed", "stale"]

CLOCK_IS_UNSET_BEFORE_S = 1_735_689_600.0
"""2025-01-01T00:00Z, older than any edgechat: boards without a battery clock start in 1970 or at their image's date."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One error in a record or in its answer."""

    path: str
    """JSON Pointer of the place (``/history/3/t_s``); ``""`` is the record itself."""
    message: str


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The result of one record; :meth:`to_json` is the line that ``edgechat run`` writes."""

    id: str | int
    """The record's own id, else its line number."""
    task: str
    task_version: str
    status: Status
    result: dict[str, Any] | None
    """Fits the task's output schema; None when there is no result."""
    errors: tuple[Problem, ...] = ()
    timing: Mapping[str, float] = field(default_factory=dict)
    """Seconds (``rules_s``, ``model_s``, ``total_s``) and the engine's own measurements."""
    model: str | None = None
    """The model that answered; None when only rules ran."""
    quant: str | None = None
    model_sha256: str | None = None
    seed: int | None = None
    input_sha256: str = ""
    """SHA-256 of the input as canonical JSON (sorted keys, no spaces, UTF-8), without the record's id."""
    created_at: str | None = None
    """UTC, ISO 8601; None while the clock is unset."""
    edgechat_version: str = __version__
    is_final: bool = True
    """False while the model's answer is still awaited. Not written out."""
    cause: EdgechatError | None = None
    """The error behind a missing answer; decides the exit code. Not written out."""
    is_repeatable: bool = True
    """False when a time-out or a failure shortened the model's answer. Not written out."""

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object, keys in the documented order.

        ``quality`` comes last, and only for an answer of a model that is known to answer this task poorly.
        """
        quality = measured.quality(self.task, self.model_sha256, self.result)
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
            **({} if quality is None else {"quality": quality}),
        }

    @property
    def error_lines(self) -> list[str]:
        """One line ``path: message`` for each error; the path ``/`` is the whole record."""
        return [f"{problem.path or '/'}: {problem.message}" for problem in self.errors]


def timestamp(wall_s: float) -> str | None:
    """``wall_s`` (Unix time) as ISO 8601 in UTC, or None while the wall clock is unset."""
    if wall_s < CLOCK_IS_UNSET_BEFORE_S:
        return None
    return datetime.fromtimestamp(wall_s, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
