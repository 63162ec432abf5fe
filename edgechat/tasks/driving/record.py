"""Input of the driving task as pydantic models, and its conversion to a :class:`Scene`.

The rules compute on plain dataclasses.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from edgechat.tasks.driving.conditions import TimeOfDay, Weather, conditions
from edgechat.tasks.driving.risk import DEFAULT_THRESHOLD
from edgechat.tasks.driving.scene import MAX_FRAMES, Assumption, Frame, Scene
from edgechat.tasks.language import Language
from edgechat.tasks.strict import Strict

LANE_WIDTH_M = 3.5
VEHICLE_WIDTH_M = 1.8

SpeedKmh = Annotated[float, Field(ge=0, le=400)]
DistanceM = Annotated[float, Field(ge=0, le=2000)]
OffsetM = Annotated[float, Field(ge=-10, le=10)]


class HistoryFrame(Strict):
    """One earlier moment."""

    t_s: float
    """Seconds on any clock that only runs forward."""
    speed_kmh: SpeedKmh
    """Own speed, km/h."""
    distance_to_car_m: DistanceM | None
    """Gap to the vehicle ahead, m, bumper to bumper; null when none is seen."""
    lane_center_offset_m: OffsetM = 0.0
    """Distance of the vehicle's centre from the lane's, m; positive to the right."""


class DrivingInput(Strict):
    """One moment of driving."""

    speed_kmh: SpeedKmh
    """Own speed, km/h."""
    distance_to_car_m: DistanceM | None
    """Gap to the vehicle ahead, m, bumper to bumper; null when none is seen."""
    lane_center_offset_m: OffsetM
    """Distance of the vehicle's centre from the lane's, m (not cm); positive to the right."""
    weather: Weather
    """What falls or lies on the road; also the labels of BDD100K."""
    time_of_day: TimeOfDay
    """Light; also the labels of BDD100K."""
    lead_speed_kmh: SpeedKmh | None = None
    """Speed of the vehicle ahead, km/h, when a sensor measures it."""
    lane_width_m: Annotated[float, Field(ge=2, le=6)] | None = None
    """Lane width, m; 3.5 when left out."""
    vehicle_width_m: Annotated[float, Field(ge=0.5, le=3)] | None = None
    """Own width, m; 1.8 when left out."""
    t_s: float | None = None
    """Time of this moment, seconds on the history's clock; without it the history is taken to end now."""
    history: Annotated[list[HistoryFrame], Field(max_length=MAX_FRAMES, default_factory=list)]
    """Earlier moments, oldest first."""
    language: Language | None = None
    """Language of the texts; the locale's when left out."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = DEFAULT_THRESHOLD
    """Alert when the risk is above it."""

    @model_validator(mode="after")
    def _is_possible(self) -> DrivingInput:
        lane, own = self.lane_width_m or LANE_WIDTH_M, self.vehicle_width_m or VEHICLE_WIDTH_M
        if own >= lane:
            raise ValueError(f"vehicle_width_m is {own} m, which does not fit lane_width_m, {lane} m.")
        if abs(self.lane_center_offset_m) > lane:
            raise ValueError(
                f"lane_center_offset_m is {self.lane_center_offset_m} m, beyond the lane's own width of {lane} m. "
                "Give metres, not centimetres."
            )
        for i in range(1, len(self.history)):
            before, after = self.history[i - 1].t_s, self.history[i].t_s
            if after <= before:
                raise ValueError(f"history is out of order: frame {i} has t_s {after}, the one before it {before}.")
        if self.t_s is not None and self.history and self.history[-1].t_s > self.t_s:
            raise ValueError(f"history runs beyond the record: t_s {self.history[-1].t_s} is after {self.t_s}.")
        return self


def to_scene(record: DrivingInput) -> tuple[Scene, tuple[Assumption, ...]]:
    """The record in SI units, and the widths that had to be assumed."""
    assumed: list[Assumption] = []
    if record.lane_width_m is None:
        assumed.append("lane_width_default")
    if record.vehicle_width_m is None:
        assumed.append("vehicle_width_default")
    scene = Scene(
        speed_mps=record.speed_kmh / 3.6,
        distance_m=record.distance_to_car_m,
        offset_m=record.lane_center_offset_m,
        lane_width_m=record.lane_width_m or LANE_WIDTH_M,
        vehicle_width_m=record.vehicle_width_m or VEHICLE_WIDTH_M,
        conditions=conditions(record.weather, record.time_of_day),
        lead_speed_mps=None if record.lead_speed_kmh is None else record.lead_speed_kmh / 3.6,
        t_s=record.t_s,
        history=tuple(Frame(frame.t_s, frame.distance_to_car_m) for frame in record.history),
    )
    return scene, tuple(assumed)
