"""Energy over time, in joules: from the board's power sensors, else from the processor's energy counters.

Nothing is estimated. Power is integrated by the trapezoidal rule, so sample several times a second where single seconds
matter.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.board.source import Source
from edgechat.board.vitals.hwmon import chips
from edgechat.board.vitals.power import joules_between, read_power

if TYPE_CHECKING:
    from types import TracebackType

    from edgechat.board.vitals.power import Power

_RECORD_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Sample:
    """The power sensors at one moment (monotonic clock, seconds)."""

    at: float
    power: Power


class Meter:
    """Adds up energy from sample to sample."""

    def __init__(self, source: Source | None = None) -> None:
        self._source = source or Source()
        self._last: Sample | None = None
        self.joules = 0.0
        self.basis = ""
        """What was measured, in words; ``""`` while nothing was."""

    def sample(self, now: float) -> float:
        """Read the sensors; returns the joules since the sample before, 0 where nothing is measured."""
        before, self._last = self._last, Sample(now, read_power(self._source, chips(self._source), ask_programs=False))
        if before is None:
            return 0.0
        found = joules_passed(before, self._last)
        if found is None:
            return 0.0
        joules, self.basis = found
        self.joules += joules
        return joules


def joules_passed(before: Sample, after: Sample) -> tuple[float, str] | None:
    """Joules between two samples and what was measured; the board's input comes before the processor's counters."""
    first, last = before.power.watts, after.power.watts
    counted = joules_between(before.power.counters, after.power.counters)
    is_whole = any(rail.is_input for rail in after.power.rails) or after.power.basis == "the battery"
    if first is not None and last is not None and (is_whole or counted is None):
        return (first + last) / 2 * max(after.at - before.at, 0.0), after.power.basis
    return counted


class Recording:
    """Records energy while a block runs, four times a second in a thread.

    ``with Recording() as recording: …``, then :meth:`between` with two moments on the monotonic clock.
    """

    def __init__(self, source: Source | None = None) -> None:
        self._meter = Meter(source)
        self._course: list[tuple[float, float]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="energy", daemon=True)

    def __enter__(self) -> Recording:  # noqa: PYI034 - Self needs Python 3.11
        self._record()
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self._record()

    @property
    def basis(self) -> str:
        """What was measured; ``""`` where nothing was."""
        return self._meter.basis

    def between(self, began: float, ended: float) -> float | None:
        """Joules between two moments of the recording; None where nothing is measured."""
        if not self.basis or ended <= began:
            return None
        return self._at(ended) - self._at(began)

    def _run(self) -> None:
        while not self._end.wait(_RECORD_EVERY_S):
            self._record()

    def _record(self) -> None:
        now = time.monotonic()
        self._meter.sample(now)
        self._course.append((now, self._meter.joules))

    def _at(self, moment: float) -> float:
        earlier = max((each for each in self._course if each[0] <= moment), default=self._course[0])
        later = min((each for each in self._course if each[0] >= moment), default=self._course[-1])
        if later[0] <= earlier[0]:
            return earlier[1]
        share = (moment - earlier[0]) / (later[0] - earlier[0])
        return earlier[1] + share * (later[1] - earlier[1])
