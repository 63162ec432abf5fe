"""Which part of a slow measurement is other programs' doing, and which is the board's."""

from __future__ import annotations

import pytest

from edgechat.engine.native.measure import undisturbed


@pytest.mark.parametrize(
    ("worked", "others", "share"),
    [
        (10.0, 0.0, 1.0),
        (5.0, 5.0, 0.5),  # another program had the other half
        (5.0, 0.0, 1.0),  # nobody had it: a hidden quota
        (5.0, 1.0, 0.9),
        (10.0, 10.0, 1.0),  # others had cores that were not asked for
        (10.2, 0.0, 1.0),  # clocks disagree a little
    ],
)
def test_what_nobody_used_was_not_taken(worked, others, share):
    assert undisturbed(10.0, worked, others) == pytest.approx(share)
