"""Carries the care policy out in the engine: looks at the board, keeps the stance, writes down what it did.

Looks happen in the listener's thread, which has time; the decode loop reads the stance between steps. Decides nothing
itself (:mod:`edgechat.engine.throttle.policy`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from edgechat.board.source import Source
from edgechat.engine.state import pressure_history
from edgechat.engine.throttle import policy
from edgechat.engine.throttle.policy import Stance
from edgechat.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.board.vitals.energy import Meter

_SETTLED_S = 1.0
"""From loading to the first look."""
_LOOK_IDLE_S = 10.0
"""Nothing computes then, so nothing heats; memory may still become short."""


class Carer:
    """The stance of one engine.

    Args:
        state: where the next load learns that memory was short; None keeps it to this process.
        source: the machine; another root for tests.
    """

    def __init__(self, state: Path | None = None, source: Source | None = None) -> None:
        self._state, self._source = state, source or Source()
        self.stance = Stance()
        self.n_planned = 0
        """Threads of the plan; set when a model is loaded."""
        self.n_ctx = 0
        """Of the loaded model; 0 while none is."""
        self.needed = 0
        """Bytes that have to stay available for the loaded plan to hold (:func:`care.shortage`)."""
        self.decisions = 0
        """How often the stance changed what the engine does."""
        self.last_note = ""
        self.active_joules = 0.0
        """Energy that passed between looks while an answer was being made; 0 where no power is measured."""
        self._meter: Meter | None = None
        self._was_idle = True
        self._next_look = -1.0

    def tick(self, now: float, *, is_idle: bool) -> bool:
        """Look when it is time; True when something else is done from here on.

        Args:
            now: on the monotonic clock.
            is_idle: no answer is being made.
        """
        if now < self._next_look or not self.n_planned:
            return False
        if self._next_look < 0:
            # The sensors' modules take 20 ms to import, which the first answer shall not wait for.
            self._next_look = now + _SETTLED_S
            return False
        from edgechat.board.vitals.energy import Meter  # noqa: PLC0415
        from edgechat.board.vitals.vitals import read_strain  # noqa: PLC0415

        self._meter = self._meter or Meter(self._source)
        self._next_look = now + (_LOOK_IDLE_S if is_idle else policy.LOOK_S)
        joules = self._meter.look(now)
        if not (is_idle and self._was_idle):
            self.active_joules += joules
        self._was_idle = is_idle
        before = self.stance
        self.stance = after = policy.decide(before, read_strain(self._source), now, self.needed)
        note = policy.note(before, after, self.n_planned)
        if not note:
            return False
        self.decisions += 1
        self.last_note = note
        # Standard error is the engine's log.
        sys.stderr.write(f"care: {note}\n")
        if after.drops != before.drops:
            self._shrink_next_load()
        return True

    def threads(self, governed: int) -> int:
        """Threads to compute with, given how many the governor allows."""
        stance = self.stance
        return min(governed, stance.threads(self.n_planned)) if stance.level else governed

    def to_json(self) -> dict[str, Any]:
        """For the engine's status."""
        return {**self.stance.to_json(self.n_planned), "decisions": self.decisions, "last": self.last_note}

    def energy(self, completion_tokens: int) -> dict[str, Any] | None:
        """Tokens per joule of this engine so far; None where no power is measured.

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
            pressure_history.record(self._state, self.n_ctx, self.stance.pressure_reason)
        except StateError as error:
            sys.stderr.write(f"care: {error}\n")
