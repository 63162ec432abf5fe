"""Run contenders alternately and compare their medians. Knows nothing of what a contender does.

Absolute speeds drift with heat and with whatever else the machine does; contenders that take turns drift together.
The order is turned by one each round, so nobody always runs on the cores the other has just warmed.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Measured = Mapping[str, float]
"""What one run of one contender yields: figures by name."""
Contender = Callable[[int], Measured]
"""Takes the number of the round, for inputs that must not repeat."""


@dataclass(frozen=True, slots=True)
class Series:
    """The figures of one contender, one a round, in the order of the rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure that is quoted."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """Smallest figure."""
        return min(self.values)

    @property
    def high(self) -> float:
        """Largest figure."""
        return max(self.values)

    def paired_ratio(self, other: Series) -> float:
        """Median over the rounds of this figure divided by the other's of the same round."""
        return statistics.median(mine / theirs for mine, theirs in zip(self.values, other.values, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of them do not exceed (nearest rank: never a value nobody measured).

    Args:
        values: at least one.
        share: above 0, up to 1.
    """
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


SETTLE_S = 2.0
"""Before each run. ggml's threads spin on for a moment after their last graph, and edgechat's governor would make room
for them: quiet means that nobody else is computing."""


def alternate(contenders: Mapping[str, Contender], rounds: int, *, label: str) -> dict[str, dict[str, Series]]:
    """Run every contender once a round and gather its figures.

    Args:
        contenders: by name; each is called ``rounds`` times.
        rounds: turns that count.
        label: what the progress lines on stderr are about.

    Returns:
        For each contender, a series for each of its figures.
    """
    names = list(contenders)
    gathered: dict[str, list[Measured]] = {name: [] for name in names}
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            time.sleep(SETTLE_S)
            figures = contenders[name](turn)
            gathered[name].append(figures)
            said = ", ".join(f"{key} {value:.4g}" for key, value in figures.items())
            print(f"{label}  {turn + 1}/{rounds}  {name}: {said}", file=sys.stderr, flush=True)
    return {name: {key: Series(tuple(run[key] for run in runs)) for key in runs[0]} for name, runs in gathered.items()}
