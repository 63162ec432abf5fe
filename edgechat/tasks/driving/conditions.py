"""Friction and reaction time from the labels of weather and light.

The labels are plain words and those of the BDD100K driving data set, so that a detector's labels can be used unchanged.
Friction: dry 0.7, wet asphalt 0.45-0.6, packed snow 0.15, ice 0.07 (published ranges). The additions to the reaction
time are not calibrated and are kept moderate; results list them among the assumptions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from edgechat.tasks.driving.measures import DRY_FRICTION, REACTION_S

Weather = Literal[
    "clear", "sunny", "cloudy", "partly cloudy", "overcast", "rain", "rainy", "heavy_rain", "fog", "foggy", "snow",
    "snowy", "ice", "icy",
]  # fmt: skip
TimeOfDay = Literal["day", "daytime", "morning", "noon", "afternoon", "dawn", "dusk", "dawn/dusk", "evening", "night"]
Sky = Literal["clear", "rain", "heavy_rain", "fog", "snow", "ice"]
Light = Literal["day", "twilight", "night"]

WEATHERS: tuple[Weather, ...] = get_args(Weather)
TIMES_OF_DAY: tuple[TimeOfDay, ...] = get_args(TimeOfDay)

_SKY: dict[Weather, Sky] = {
    "clear": "clear", "sunny": "clear", "cloudy": "clear", "partly cloudy": "clear", "overcast": "clear",
    "rain": "rain", "rainy": "rain", "heavy_rain": "heavy_rain", "fog": "fog", "foggy": "fog",
    "snow": "snow", "snowy": "snow", "ice": "ice", "icy": "ice",
}  # fmt: skip
_LIGHT: dict[TimeOfDay, Light] = {
    "day": "day", "daytime": "day", "morning": "day", "noon": "day", "afternoon": "day",
    "dawn": "twilight", "dusk": "twilight", "dawn/dusk": "twilight", "evening": "twilight", "night": "night",
}  # fmt: skip
_FRICTION: dict[Sky, float] = {
    "clear": DRY_FRICTION, "fog": DRY_FRICTION, "rain": 0.5, "heavy_rain": 0.45, "snow": 0.15, "ice": 0.07,
}  # fmt: skip
_SLIPPERY_FRICTION = 0.6
_SKY_DELAY_S: dict[Sky, float] = {"clear": 0.0, "rain": 0.0, "heavy_rain": 0.25, "fog": 0.5, "snow": 0.25, "ice": 0.0}
_LIGHT_DELAY_S: dict[Light, float] = {"day": 0.0, "twilight": 0.1, "night": 0.25}


@dataclass(frozen=True, slots=True)
class Conditions:
    """Road and visibility at one moment."""

    sky: Sky
    light: Light
    friction: float
    """µ between tyre and road."""
    reaction_s: float
    """Seconds from seeing to braking."""

    @property
    def is_slippery(self) -> bool:
        """Whether the road has clearly less grip than a dry one."""
        return self.friction < _SLIPPERY_FRICTION

    @property
    def delay_s(self) -> float:
        """Seconds of reaction time above that of a clear day."""
        return self.reaction_s - REACTION_S


def conditions(weather: Weather, time_of_day: TimeOfDay) -> Conditions:
    """The conditions for a pair of labels."""
    return _TABLE[weather, time_of_day]


def _conditions(weather: Weather, time_of_day: TimeOfDay) -> Conditions:
    sky, light = _SKY[weather], _LIGHT[time_of_day]
    return Conditions(sky, light, _FRICTION[sky], REACTION_S + _SKY_DELAY_S[sky] + _LIGHT_DELAY_S[light])


_TABLE = {(weather, time): _conditions(weather, time) for weather in WEATHERS for time in TIMES_OF_DAY}
