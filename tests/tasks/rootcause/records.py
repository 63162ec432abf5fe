"""Inputs and model answers for the defect report."""

from __future__ import annotations

import copy
from typing import Any

from edgechat.tasks.rootcause.task import RootCause


def record(**changes: Any) -> dict[str, Any]:
    """The task's example with changes."""
    return {**copy.deepcopy(dict(RootCause.example)), **changes}


def answer(**changes: Any) -> dict[str, Any]:
    """A whole answer about the example; every number and identifier in it is the input's."""
    whole = {
        "hypotheses": [
            {
                "category": "machine",
                "statement": "Zone 4 at 262 C was above its limit of 255 C.",
                "evidence_ids": ["L1"],
                "check_to_do": "Measure the profile of zone 4.",
                "confidence": "medium",
            },
            {
                "category": "method",
                "statement": "The stencil was not cleaned after 08:40.",
                "evidence_ids": ["N1"],
                "check_to_do": "Inspect the stencil.",
                "confidence": "low",
            },
        ],
        "escape_hypothesis": {
            "statement": "The oven's warning did not stop the line.",
            "evidence_ids": ["L1"],
            "check_to_do": "Read the alarm settings of L2.",
            "confidence": "low",
        },
        "containment": ["Hold the boards made since 08:40."],
        "unknowns": ["Whether other boards are affected."],
        "summary": "An oven zone above its limit is the likeliest cause.",
    }
    return {**whole, **changes}


def hypothesis(**changes: Any) -> dict[str, Any]:
    """One hypothesis of the answer, with changes."""
    return {**answer()["hypotheses"][0], **changes}
