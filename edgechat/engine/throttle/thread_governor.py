"""Reduces the number of threads while other processes need the cores, and restores it when they are idle.

llama.cpp's threads wait for each other in a spin loop. That is fastest on an idle machine; next to one busy process, a
single preempted thread delays all others and decoding falls to a quarter of its speed, while one thread fewer would
double that. So the number of threads follows the processor time of *other* processes, measured four times a second.

:func:`threads_for` is the decision, a pure function; :class:`Governor` reads ``/proc/stat`` and keeps the state.
Without ``/proc/stat`` the planned number stays.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

WINDOW_S = 0.25
"""A shorter window reacts to processes that only start; a longer one reacts late to a busy process."""

YIELD_ABOVE = 0.5
"""Cores of other work above which a preempted thread costs more than one thread fewer. A busy process gets two thirds
of a core or more next to two spinning threads on two cores; edgechat's client takes a tenth."""

YIELD_ABOVE_RESTING = 0.75
"""The same while this process was idle. Lasting work then takes a whole core; less is a short burst, such as a client
that starts Python (0.1 s)."""

RETURN_BELOW = 0.20
"""Cores of other work below which a thread is restored; well below ``YIELD_ABOVE``, against oscillation."""

START_CHECKS = 5
"""Checks at the start of an answer, a millisecond apart, whether no other thread is runnable."""

QUIET_WINDOWS = 2
"""Idle windows in a row before a thread is restored: restoring too early costs more than waiting."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """Processor time up to one moment, in seconds."""

    at: float
    busy: float
    """All processes, on the cores that this process may use."""
    own: float
    """This process."""


def threads_for(n_now: int, n_planned: int, n_cores: int, others: float, *, resting: bool = False) -> int:
    """The number of threads to use, given the load of other processes.

    Args:
        n_now: threads in use.
        n_planned: threads of the plan.
        n_cores: cores that this process may use.
        others: cores that other processes used in the last window.
        resting: this process was idle in that window.
    """
    limit = YIELD_ABOVE_RESTING if resting else YIELD_ABOVE
    spare = n_cores - n_planned
    """Cores without a decoding thread: other work there does no harm."""
    pressing = others - spare
    # A part of a core preempts one whole thread.
    yielded = 0 if pressing <= limit else 1 + int(max(pressing - limit - 1e-9, 0.0))
    wanted = max(n_planned - yielded, 1)
    if wanted > n_now:
        # Restore only as many threads as do not disturb the other work.
        comfortable = 0 if pressing <= RETURN_BELOW else 1 + int(max(pressing - RETURN_BELOW, 0.0))
        return max(min(wanted, n_planned - comfortable), n_now)
    return wanted


class Governor:
    """Measures the load of other processes and decides how many threads to use.

    Args:
        n_planned: threads of the plan; may be set later, before the first :meth:`update`.
        root: parent directory of ``proc``; for tests.
    """

    def __init__(self, n_planned: int = 0, root: Path = Path("/")) -> None:
        self.n_planned = n_planned
        self.n_threads = n_planned
        self._stat = root / "proc/stat"
        self._loadavg = root / "proc/loadavg"
        self._cpus = {f"cpu{number}" for number in _usable()}
        self._last = self._read()
        self._quiet = 0

    def update(self, now: float, *, resting: bool = False) -> int:
        """The number of threads to use; measures only when a window has passed.

        Args:
            now: seconds on the monotonic clock.
            resting: no step was computed since the last measurement.
        """
        if not self.n_threads:
            self.n_threads = self.n_planned
        if self._last is None:
            return self.n_threads
        if now - self._last.at < WINDOW_S:
            return self.n_threads
        ticks = self._read()
        if ticks is None:
            return self.n_threads
        others = others_share(self._last, ticks)
        self._last = ticks
        wanted = threads_for(self.n_threads, self.n_planned, len(self._cpus), others, resting=resting)
        self._quiet = self._quiet + 1 if wanted > self.n_threads else 0
        if wanted < self.n_threads or self._quiet >= QUIET_WINDOWS:
            # Standard error is the engine's log.
            sys.stderr.write(f"threads {self.n_threads} -> {wanted}: others {others:.2f} cores\n")
            self.n_threads, self._quiet = wanted, 0
        return self.n_threads

    def on_answer_start(self) -> None:
        """An answer begins after idle time: use all threads at once where the other work has just ended.

        The kernel counts the threads that are runnable at this moment (proc_loadavg(5)).
        """
        self.restart_window()
        if self.n_threads >= self.n_planned:
            return
        for _ in range(START_CHECKS):
            if self._runnable() <= 1:
                self.n_threads, self._quiet = self.n_planned, 0
                return
            # The client or the listener thread may not be asleep again yet.
            time.sleep(0.001)

    def _runnable(self) -> int:
        """Runnable threads of the whole machine at this moment, this one included."""
        try:
            return int(self._loadavg.read_text().split()[3].partition("/")[0])
        except (OSError, ValueError, IndexError):
            return 1 + len(self._cpus)

    def restart_window(self) -> None:
        """Start a new window, so that no window mixes computing and idle time."""
        self._last = self._read()

    def _read(self) -> Ticks | None:
        try:
            text = self._stat.read_text()
        except OSError:
            return None
        return Ticks(time.monotonic(), parse_busy(text, self._cpus), time.process_time())


def others_share(before: Ticks, after: Ticks) -> float:
    """Cores that other processes used between two readings."""
    wall = max(after.at - before.at, 1e-6)
    return max((after.busy - before.busy) - (after.own - before.own), 0.0) / wall


_NO_COLUMNS = (0,) * 8
"""Old kernels and sandboxes write fewer columns."""


def parse_busy(stat: str, cpus: set[str]) -> float:
    """Seconds that the named cores (``cpu0`` …) were busy since boot, by ``/proc/stat`` (proc(5)).

    Work of lower priority counts in full: Linux applies niceness only within a session or service (sched(7),
    autogroup), and the engine has a session of its own. Steal counts as busy, since the hypervisor preempts threads
    then.
    """
    tick = os.sysconf("SC_CLK_TCK")
    busy = 0
    for line in stat.splitlines():
        name, _, columns = line.partition(" ")
        if name in cpus:
            user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = [*map(int, columns.split()), *_NO_COLUMNS]
            busy += user + nice + system + irq + softirq + steal
    return busy / tick


def _usable() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
