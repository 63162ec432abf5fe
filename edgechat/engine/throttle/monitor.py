"""Applies the throttle policy in the engine: reads the board's sensors, keeps the current decision, logs changes.

The sensors are read in the listener's thread; the decode loop reads the decision between steps. The decisions
themselves are made in :mod:`edgechat.engine.throttle.throttle_levels`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from edgechat.board.source import Source
from edgechat.engine.state import pressure_history
from edgechat.engine.throttle import throttle_levels
from edgechat.engine.throttle.throttle_levels import Throttle
from edgechat.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.board.vitals.energy import Meter

_FIRST_READING_S = 1.0
"""From loading the model to the first reading of the sensors."""
_INTERVAL_S = 2.0
"""Between two readings. A small board under full load heats by about half a degree a second."""
_IDLE_INTERVAL_S = 10.0
"""Between two readings while no answer is computed: only memory may become short then."""


class ThrottleMonitor:
    """The throttle of one engine.

    Args:
        state: the state directory, where memory pressure is recorded for the next load; None records nothing.
        source: the machine; a recorded one in tests.
    """

    def __init__(self, state: Path | None = None, source: Source | None = None) -> None:
        self._state, self._source = state, source or Source()
        self.throttle = Throttle()
        self.n_planned = 0
        """Threads of the plan; set when a model is loaded."""
        self.n_ctx = 0
        """Context of the loaded model in tokens; 0 while none is loaded."""
        self.needed = 0
        """Bytes that must stay available for the loaded plan (:func:`policy.shortage`)."""
        self.is_on_battery = False
        """A battery supplies the machine."""
        self.decisions = 0
        """How often the decision changed."""
        self.last_change = ""
        self.active_joules = 0.0
        """Energy used between readings while an answer was computed; 0 where no power is measured."""
        self._meter: Meter | None = None
        self._was_idle = True
        self._next_reading = -1.0

    def tick(self, now: float, *, is_idle: bool) -> bool:
        """Read the sensors when it is time; True when the decision has changed.

        Args:
            now: seconds on the monotonic clock.
            is_idle: no answer is being computed.
        """
        if now < self._next_reading or not self.n_planned:
            return False
        if self._next_reading < 0:
            # Importing the sensor modules takes 20 ms, which would delay the first answer.
            self._next_reading = now + _FIRST_READING_S
            return False
        from edgechat.board.vitals.energy import Meter  # noqa: PLC0415
        from edgechat.board.vitals.power import is_on_battery  # noqa: PLC0415
        from edgechat.board.vitals.vitals import read_throttle_inputs  # noqa: PLC0415

        self._meter = self._meter or Meter(self._source)
        self._next_reading = now + (_IDLE_INTERVAL_S if is_idle else _INTERVAL_S)
        joules = self._meter.sample(now)
        if not (is_idle and self._was_idle):
            self.active_joules += joules
        self._was_idle = is_idle
        self.is_on_battery = is_on_battery(self._source)
        before = self.throttle
        self.throttle = after = throttle_levels.decide(before, read_throttle_inputs(self._source), now, self.needed)
        change = throttle_levels.describe_change(before, after, self.n_planned)
        if not change:
            return False
        self.decisions += 1
        self.last_change = change
        # Standard error is the engine's log.
        sys.stderr.write(f"care: {change}\n")
        if after.drops != before.drops:
            self._shrink_next_load()
        return True

    def threads(self, governed: int) -> int:
        """Threads to use, given the number that the thread governor allows."""
        throttle = self.throttle
        return min(governed, throttle.threads(self.n_planned)) if throttle.level else governed

    def to_json(self) -> dict[str, Any]:
        """The form in the engine's status."""
        return {**self.throttle.to_json(self.n_planned), "decisions": self.decisions, "last": self.last_change}

    def energy(self, completion_tokens: int) -> dict[str, Any] | None:
        """Energy used so far and tokens per joule; None where no power is measured.

        Args:
            completion_tokens: generated since the model was loaded.
        """
        if self._meter is None or not self._meter.basis:
            return None
        rate = completion_tokens / self.active_joules if self.active_joules > 0 else None
        return {
            "joules": round(self.active_joules, 1),
            "basis": self._meter.basis,
            "tokens_per_joule": None if rate is None else round(rate, 3),
        }

    def _shrink_next_load(self) -> None:
        if self._state is None or not self.n_ctx:
            return
        try:
            pressure_history.record(self._state, self.n_ctx, self.throttle.pressure_reason)
        except StateError as error:
            sys.stderr.write(f"care: {error}\n")
