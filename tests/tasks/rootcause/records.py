"""Inputs and model answers for the defect report."""

from __future__ import annotations

import copy
from typing import Any

from edgechat.tasks.contract import Context
from edgechat.tasks.rootcause.task import RootCause

SMALL = Context(parameters=494_000_000)
"""A model of the size of Qwen2.5-0.5B."""
SAID = "The stencil was not cleaned since it was changed at 08:40."


def record(**changes: Any) -> dict[str, Any]:
    """The task's example with changes."""
    return {**copy.deepcopy(dict(RootCause.example)), **changes}


def answer(cause: str = SAID, evidence: tuple[str, ...] = ("N1",), category: str = "method") -> dict[str, Any]:
    """A whole answer of the large design about the example."""
    return {"causes": [{"cause": cause, "evidence": list(evidence), "category": category}]}
