"""How often a streamed answer is redrawn, with two clocks that the test moves."""

from __future__ import annotations

import pytest

from edgechat.tui.redraw_rate import MAX_INTERVAL_S, MIN_INTERVAL_S, RedrawRate


class Clocks:
    """A day on a board: time that passes, and what drawing takes of it."""

    def __init__(self) -> None:
        self.now, self.spent = 100.0, 3.0

    def frames(self, cost_s: float, seconds: float) -> int:
        """How many frames of ``cost_s`` are drawn in ``seconds``."""
        rate = RedrawRate(lambda: self.now, lambda: self.spent)
        drawn = 0
        for _ in range(round(seconds / MIN_INTERVAL_S)):
            self.now += MIN_INTERVAL_S
            if rate.is_due():
                drawn += 1
                self.spent += cost_s
        return drawn


@pytest.mark.parametrize(
    ("cost_s", "fewest", "most"),
    [
        (0.001, 150, 150),  # fast: every frame
        (0.005, 74, 100),  # 5 ms: a twentieth of one core holds ten a second
        (0.05, 10 / MAX_INTERVAL_S * 0.9, 10 / MAX_INTERVAL_S),  # slow: four a second, whatever it costs
    ],
)
def test_frames_take_a_twentieth_of_a_core_at_most_and_never_stay_away(
    cost_s: float, fewest: float, most: float
) -> None:
    assert fewest <= Clocks().frames(cost_s, 10.0) <= most
