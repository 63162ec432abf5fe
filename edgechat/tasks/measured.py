"""Which models the tasks were measured with, and which of a task's designs suits a model.

The figures come from ``scripts/quality`` and are explained in docs/quality.md.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

Design = Literal["small", "large"]
"""``small``: the model only selects or translates, rules write the rest. ``large``: the model also words statements."""

LARGE_FROM = 1_000_000_000
"""Parameters from which a model words sentences. Measured: 1.5B words true ones, 0.5B mostly copies or reverses."""


def design_for(parameters: int | None) -> Design:
    """The design for a model with this number of parameters; a model of unknown size gets the large one.

    The large design is safe for any model: a statement that fails its check is replaced by the rules' sentence.
    """
    return "small" if parameters is not None and parameters < LARGE_FROM else "large"


def is_measured(task: str, sha256: str | None) -> bool:
    """Whether docs/quality.md has figures of ``task`` for the model with this hash."""
    return any(row["task"] == task and row["sha256"] == sha256 for row in _rows())


def note(task: str, label: str, sha256: str | None) -> str:
    """A sentence for users when a model was not measured; empty when it was, and for tasks that never were."""
    if is_measured(task, sha256) or not any(row["task"] == task for row in _rows()):
        return ""
    return f"{task} was never measured with {label}: check its answers, or score it with edgechat eval {task} FILE."


@lru_cache(maxsize=1)
def _rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((files("edgechat.tasks") / "measured.json").read_text(encoding="utf-8"))
    return rows
