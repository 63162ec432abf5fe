"""The state of a live stream between frames: the last distances and the alert. One instance per stream."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from edgechat.tasks.driving.alert import HysteresisState, next_alert
from edgechat.tasks.driving.scene import MAX_FRAMES, STALE_S, Frame, Scene

if TYPE_CHECKING:
    from edgechat.tasks.driving.risk import Assessment


class DrivingStream:
    """Gives each frame of a stream its history, and applies the hysteresis to its alert."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque(maxlen=MAX_FRAMES)
        self._alert = HysteresisState()
        self._last_s: float | None = None
        self._has_own_clock: bool | None = None
        """True when frames carry ``t_s``; set by the first frame, since the two clocks cannot be compared."""

    def fault(self, t_s: float | None) -> str:
        """Why a frame with the time ``t_s`` cannot follow the previous one, or ``""``."""
        if self._has_own_clock is not None and self._has_own_clock != (t_s is not None):
            return "Either every frame of a stream has t_s or none has."
        if t_s is not None and self._last_s is not None and t_s <= self._last_s:
            return f"t_s {t_s} does not come after {self._last_s}, the frame before it: the stream is out of order."
        return ""

    def add_frame(self, scene: Scene, now_s: float) -> Scene:
        """The scene with the stream's history, unless it has its own. ``now_s`` is its time when it has no ``t_s``."""
        self._has_own_clock = scene.t_s is not None
        t_s = now_s if scene.t_s is None else scene.t_s
        if self._last_s is not None and t_s - self._last_s > STALE_S:
            self._frames.clear()
        if self._frames and self._frames[-1].t_s >= t_s:
            self._frames.pop()  # two lines within one tick of the clock: the later one replaces the earlier
        with_history = scene if scene.history else replace(scene, t_s=t_s, history=tuple(self._frames))
        self._frames.append(Frame(t_s, scene.distance_m))
        self._last_s = t_s
        return with_history

    def alert(self, found: Assessment, threshold: float) -> bool:
        """The alert after the last frame, with hysteresis."""
        self._alert = next_alert(self._alert, found.risk, self._last_s or 0.0, threshold)
        return self._alert.is_on
