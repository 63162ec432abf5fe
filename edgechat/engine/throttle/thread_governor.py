"""Gives threads back while somebody else needs the cores, and takes them again when it is quiet.

llama.cpp's threads wait for each other in a spin. Alone that is fastest; beside one busy process a single preempted
thread holds up all others, and decoding falls to a quarter, while one thread fewer would double it. So the thread
count follows what the *other* processes take of the cores we may use: measured, not guessed, a few times a second.

The decision is pure (:func:`threads_for`); :class:`Governor` reads ``/proc/stat`` and remembers. Where there is no
``/proc/stat`` the planned count stays.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

WINDOW_S = 0.25
"""In less, a process that starts looks like one that stays; a longer window lets a collapse last."""

YIELD_ABOVE = 0.5
"""Cores' worth of other work that costs us more through one preempted thread than giving that thread up would. A busy
process gets two thirds of a core or more beside two spinning threads on two cores; our own client takes a tenth."""

YIELD_ABOVE_RESTING = 0.75
"""The same while this process hardly computed. Then nothing hides what others want: work that lasts takes a whole core,
and less is a passing burst, such as the very client that is about to ask (0.1 s of starting Python)."""

RETURN_BELOW = 0.20
"""Less than this of other work lets the thread come back. Well below ``YIELD_ABOVE``, so that it does not flutter."""

BEGIN_LOOKS = 5
"""Looks, a millisecond apart, for a moment when nobody else is runnable."""

QUIET_WINDOWS = 2
"""Windows in a row that must be quiet before a thread comes back: returning too early costs more than waiting."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """Processor time up to one moment, in seconds."""

    at: float
    busy: float
    """All processes, on the cores we may use."""
    own: float
    """This process."""


def threads_for(n_now: int, n_planned: int, n_cores: int, others: float, *, resting: bool = False) -> int:
    """How many threads should compute, given what other processes take.

    Args:
        n_now: threads computing now.
        n_planned: threads that the plan gives us when it is quiet.
        n_cores: cores we may use.
        others: cores' worth of time that other processes took lately.
        resting: this process hardly computed in that time.
    """
    limit = YIELD_ABOVE_RESTING if resting else YIELD_ABOVE
    spare = n_cores - n_planned
    """Cores that nobody decodes on: other work there disturbs nobody."""
    pressing = others - spare
    # How many of our threads that work displaces: part of a core still preempts one whole thread.
    yielded = 0 if pressing <= limit else 1 + int(max(pressing - limit - 1e-9, 0.0))
    wanted = max(n_planned - yielded, 1)
    if wanted > n_now:
        # Only as far up as leaves the work that is there undisturbed.
        comfortable = 0 if pressing <= RETURN_BELOW else 1 + int(max(pressing - RETURN_BELOW, 0.0))
        return max(min(wanted, n_planned - comfortable), n_now)
    return wanted


class Governor:
    """Watches the machine and says how many threads to use.

    Args:
        n_planned: threads when it is quiet; may be set later, before the first turn.
        root: where ``proc`` lies; for tests.
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
        """Threads to use from here on; looks at the machine only when a window has passed.

        Args:
            now: on the monotonic clock.
            resting: no step was computed since the last look.
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
        """An answer begins after an idle time: what was busy may just have ended, and must not slow its prompt down.

        The kernel counts what is runnable at this moment (proc_loadavg(5)): nobody but us means all threads.
        """
        self.restart_window()
        if self.n_threads >= self.n_planned:
            return
        for _ in range(BEGIN_LOOKS):
            if self._runnable() <= 1:
                self.n_threads, self._quiet = self.n_planned, 0
                return
            # The client that asked, or our own listener, may still be on its way back to sleep.
            time.sleep(0.001)

    def _runnable(self) -> int:
        """Threads of the whole machine that run or could run at this moment, this one included."""
        try:
            return int(self._loadavg.read_text().split()[3].partition("/")[0])
        except (OSError, ValueError, IndexError):
            return 1 + len(self._cpus)

    def restart_window(self) -> None:
        """Begin a window now: one that mixes computing and resting would take a client's start for contention."""
        self._last = self._read()

    def _read(self) -> Ticks | None:
        try:
            text = self._stat.read_text()
        except OSError:
            return None
        return Ticks(time.monotonic(), parse_busy(text, self._cpus), time.process_time())


def others_share(before: Ticks, after: Ticks) -> float:
    """Cores' worth of time that processes other than this one took between two readings."""
    wall = max(after.at - before.at, 1e-6)
    return max((after.busy - before.busy) - (after.own - before.own), 0.0) / wall


_NO_COLUMNS = (0,) * 8
"""Old kernels and sandboxes write fewer columns."""


def parse_busy(stat: str, cpus: set[str]) -> float:
    """Seconds that the named cores (``cpu0`` …) were busy since boot, by ``/proc/stat`` (proc(5)).

    Work of lower priority counts in full: Linux weighs it by that only within its own session or service (sched(7),
    autogroup), and the engine is in a session of its own.
    Steal counts as busy: a hypervisor that runs somebody else preempts a spinning thread all the same.
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
