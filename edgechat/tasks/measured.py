"""Which models the tasks were measured with, and which of a task's designs suits a model.

The figures come from ``scripts/quality`` and are explained in docs/quality.md.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Design = Literal["small", "large"]
"""``small``: the model only selects or translates, rules write the rest. ``large``: the model also words statements."""

LARGE_FROM = 1_000_000_000
"""Parameters from which a model words sentences. Measured: 1.5B words true ones, 0.5B mostly copies or reverses."""

_USABLE: dict[tuple[str, str], float] = {
    ("translate", "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"): 0.5,
}
"""By task and the file's hash: about what share of the answers was usable when they were read, all directions together
(docs/quality.md). Answers of models that are not here were not judged by reading."""
_WARNED_BELOW = 0.75
_HELD_OUT = "b"
"""The set that no prompt was chosen with."""


def design_for(parameters: int | None) -> Design:
    """The design for a model with this number of parameters; a model of unknown size gets the large one.

    The large design is safe for any model: a statement that fails its check is replaced by the rules' sentence.
    """
    return "small" if parameters is not None and parameters < LARGE_FROM else "large"


def is_measured(task: str, sha256: str | None) -> bool:
    """Whether docs/quality.md has figures of ``task`` for the model with this hash."""
    return any(row["task"] == task and row["sha256"] == sha256 for row in _rows())


def note(task: str, label: str, sha256: str | None) -> str:
    """A sentence for users when a model was not measured, or was found poor; empty for others, and for other tasks."""
    if (share := _usable(task, sha256)) is not None:
        return (
            f"{label} is weak at {task}: when its answers were read, about {share:.0%} were usable (docs/quality.md); "
            "not every wrong one is flagged. Check them, or use a larger model."
        )
    if is_measured(task, sha256) or not any(row["task"] == task for row in _rows()):
        return ""
    return f"{task} was never measured with {label}: check its answers, or score it with edgechat eval {task} FILE."


def quality(task: str, sha256: str | None, result: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What is known of a poor model's answers, beside each of them in JSON; None for other models.

    Args:
        task: name of the task.
        sha256: of the file of the model that answered.
        result: of the record; a translation's ``source`` and ``target`` give the direction.
    """
    share = _usable(task, sha256)
    if share is None or result is None:
        return None
    found: dict[str, Any] = {"usable_share": share, "judged_by": "reading, all directions together"}
    direction = f"{result.get('source')}-{result.get('target')}"
    held_out = (row for row in _rows() if (row["task"], row["sha256"], row.get("set")) == (task, sha256, _HELD_OUT))
    chrf = next((row["figures"]["chrf"].get(direction) for row in held_out), None)
    return found if chrf is None else {**found, "direction": direction, "chrf": chrf}


def _usable(task: str, sha256: str | None) -> float | None:
    """The share of usable answers where users must be warned of it."""
    share = _USABLE.get((task, sha256 or ""))
    return share if share is not None and share < _WARNED_BELOW else None


@lru_cache(maxsize=1)
def _rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((files("edgechat.tasks") / "measured.json").read_text(encoding="utf-8"))
    return rows
