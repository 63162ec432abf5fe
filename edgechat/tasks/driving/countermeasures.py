"""Chooses the countermeasures for a moment, most urgent first. Codes only; their texts are in ``texts.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from edgechat.tasks.driving.risk import Assessment
    from edgechat.tasks.driving.scene import Scene

Code = Literal[
    "brake_fully", "brake_now", "increase_gap", "return_to_lane_center", "slow_down_slippery", "no_sudden_inputs",
    "lights_on", "watch_ahead", "keep_observing",
]  # fmt: skip

_SLIPPERY_KMH = 30.0


def countermeasures(scene: Scene, found: Assessment) -> tuple[Code, ...]:
    """The codes for one moment with its assessment; never empty."""
    parts, road = found.components, scene.conditions
    # BTN of 1 or more. At contact BTN is infinite and published as null; its score is then 1.
    is_too_late = (found.btn or 0.0) >= 1 or (found.btn is None and parts.btn >= 1)
    wanted: tuple[tuple[bool, Code], ...] = (
        (is_too_late, "brake_fully"),
        (not is_too_late and max(parts.ttc, parts.btn) >= 0.7, "brake_now"),
        (parts.gap >= 0.4, "increase_gap"),
        (parts.lane >= 0.3, "return_to_lane_center"),
        (road.is_slippery and scene.speed_mps * 3.6 > _SLIPPERY_KMH, "slow_down_slippery"),
        (road.sky in {"snow", "ice"}, "no_sudden_inputs"),
        (road.light != "day" or road.sky == "fog", "lights_on"),
        (found.lead.closing_mps is None, "watch_ahead"),
    )
    chosen = tuple(code for applies, code in wanted if applies)
    return chosen or ("keep_observing",)
