"""How often an answer that grows may be drawn: as often as people can read, as seldom as this processor needs.

A frame costs the same however much text came, and the engine wants all cores. Knows no screen: two clocks go in.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FRAME_S = 1 / 15
"""Answers grow on screen this often at most: faster than people read, a quarter of what an eager engine says."""
SLOWEST_S = 0.25
"""And at least this often, whatever it costs."""
SHARE = 0.05
"""Of one core: what drawing an answer may take of what the engine could use."""


class Pace:
    """Says when the next frame is due.

    Args:
        clock: seconds that pass.
        spent: processor seconds of the thread that draws; keys and everything else on it count, too.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, spent: Callable[[], float] = time.thread_time
    ) -> None:
        self._clock = clock
        self._spent = spent
        self._drawn_at = 0.0
        self._spent_then = 0.0

    def is_due(self) -> bool:
        """Whether to draw now; a frame that is due counts as drawn."""
        now, spent = self._clock(), self._spent()
        elapsed = now - self._drawn_at
        if elapsed < SLOWEST_S and spent - self._spent_then > SHARE * elapsed:
            return False
        self._drawn_at, self._spent_then = now, spent
        return True
