"""Decides how far to throttle the engine before the board throttles itself, and when to free memory. Pure functions.

Fewer threads at a steady clock heat less than all threads at a clock that the kernel keeps changing, and a power supply
whose voltage drops under load can switch the board off. So the engine reduces its load a little before the board would,
and returns with hysteresis. Input is :class:`Vitals`; :class:`edgechat.engine.throttle.monitor.ThrottleMonitor` applies
the decisions. The limit of each temperature comes from ``board/vitals/thermal.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgechat.board.vitals.throttle_flags import NEAR_LIMIT, UNDER_VOLTAGE

if TYPE_CHECKING:
    from edgechat.board.vitals.pressure import MemoryStall, Pressure
    from edgechat.board.vitals.thermal import Headroom
    from edgechat.board.vitals.vitals import Vitals

HEADROOM_C = (8.0, 4.0, 0.0)
"""Degrees below the board's own limit at which levels 1, 2 and 3 begin."""
HYSTERESIS_C = 4.0
"""A level ends only when the board is this much cooler than where the level began."""
RESUME_S = 20.0
"""And has been so for this long (a heat sink follows the chip within half a minute); one level at a time."""
THREAD_SHARE = (1.0, 0.75, 0.5, 0.25)
"""Of the planned threads, by level, rounded down, at least one."""
PAUSE_S = (0.0, 0.5, 2.0, 5.0)
"""Between two records of a batch, by level. Interactive requests never pause."""

TIGHT_SOME, TIGHT_FULL = 10.0, 5.0
"""Percent of the last ten seconds in which some (all) tasks waited for memory. Above it, tasks read back pages that the
kernel has just evicted; :func:`shortage` says whether this process is concerned."""
EASY_SOME = 2.0
EASY_S = 60.0
"""Pressure is over when it has stayed below ``EASY_SOME`` for this long; until then, caches are dropped this often."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """The memory pressure that concerns this process."""

    some10: float
    """Percent of the last ten seconds in which some task waited."""
    some60: float
    full10: float
    description: str
    """In the past tense, because it is quoted later."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """The current decision and its reasons; the only state that the policy keeps from reading to reading."""

    level: int = 0
    """0 all threads, 1 eased, 2 slowed, 3 resting."""
    reason: str = ""
    """Why the level is above 0, in words."""
    is_tight: bool = False
    """Memory is short: caches were dropped, and the next load takes a smaller context."""
    drops: int = 0
    """How often caches were dropped so far."""
    since: float = 0.0
    """When the level last changed, in seconds on the caller's clock."""
    calm_since: float | None = None
    """Since when a lower level would do; None where it would not."""
    easy_since: float | None = None
    dropped_at: float = 0.0
    pressure_reason: str = ""

    @property
    def pause_s(self) -> float:
        """Seconds that a batch waits between two records."""
        return PAUSE_S[self.level]

    @property
    def name(self) -> str:
        """The level in a word."""
        return ("normal", "eased", "slowed", "resting")[self.level]

    def threads(self, planned: int) -> int:
        """How many of the planned threads to use."""
        return planned if not self.level else max(1, int(planned * THREAD_SHARE[self.level]))

    def to_json(self, n_planned: int) -> dict[str, Any]:
        """The form that ``edgechat ps --json`` and ``board --watch`` show."""
        return {
            "level": self.level,
            "name": self.name,
            "reason": self.reason,
            "n_threads": self.threads(n_planned),
            "n_threads_planned": n_planned,
            "pause_s": self.pause_s,
            "memory_tight": self.is_tight,
            "memory_reason": self.pressure_reason if self.is_tight else "",
            "caches_dropped": self.drops,
        }


def shortage(stall: MemoryStall | None, needed: int) -> Shortage | None:
    """The memory pressure that concerns this process; None where none is measured, zero where it concerns others only.

    The pressure of edgechat's own cgroup always counts. The pressure of the whole machine is a sum over all cgroups,
    and one that thrashes under a limit of its own raises it although memory is free. So it counts only while less than
    ``needed`` is available, when freeing memory here helps.

    Args:
        stall: the kernel's pressure stall information.
        needed: bytes that must stay available: the loaded plan's mapped weights, whose pages the kernel counts as
            available, and its reserve.
    """
    if stall is None:
        return None
    left, found = stall.available, [Shortage(0.0, 0.0, 0.0, "nothing here waited for memory")]
    if stall.own is not None:
        found.append(_shortage(stall.own, "work in edgechat's own group", ""))
    if stall.machine is not None and left is not None and left < needed:
        found.append(_shortage(stall.machine, "work on this machine", f" with only {left / 1e6:,.0f} MB available"))
    return max(found, key=lambda each: (each.some10, each.full10))


def _shortage(pressure: Pressure, who: str, addition: str) -> Shortage:
    description = f"{who} waited for memory for {pressure.some10:.0f} % of ten seconds{addition}"
    return Shortage(pressure.some10, pressure.some60, pressure.full10, description)


def decide(throttle: Throttle, vitals: Vitals, now: float, needed: int = 0) -> Throttle:
    """The next decision.

    Args:
        throttle: the decision so far.
        vitals: the sensors' values.
        now: seconds on a monotonic clock.
        needed: see :func:`shortage`; 0 while no model is loaded.
    """
    return _memory(_heat(throttle, vitals, now), shortage(vitals.memory_stall, needed), now)


def describe_change(before: Throttle, after: Throttle, n_planned: int) -> str:
    """What has changed between two decisions, in one sentence; ``""`` when nothing has."""
    said = []
    if after.level != before.level:
        then, now = before.threads(n_planned), after.threads(n_planned)
        why = after.reason or "the board has cooled down and its supply holds"
        pause = f", {after.pause_s:g} s between the records of a batch" if after.pause_s else ""
        said.append(f"{after.name}: {why}; {then} -> {now} threads{pause}")
    if after.drops != before.drops:
        said.append(f"memory is short: {after.pressure_reason}; caches dropped, the next load takes a smaller context")
    elif before.is_tight and not after.is_tight:
        said.append("memory is no longer short")
    return "; ".join(said)


def _heat(throttle: Throttle, vitals: Vitals, now: float) -> Throttle:
    level, reason = _required_level(vitals, 0.0)
    if level > throttle.level:
        return replace(throttle, level=level, reason=reason, since=now, calm_since=None)
    # A lower level must be allowed by the stricter thresholds too.
    lower, still = _required_level(vitals, HYSTERESIS_C)
    if lower >= throttle.level:
        return replace(throttle, reason=still, calm_since=None)
    if throttle.calm_since is None:
        return replace(throttle, calm_since=now)
    if now - throttle.calm_since < RESUME_S:
        return throttle
    level, room = throttle.level - 1, vitals.headroom
    reason = f"getting better, {_describe(room)}" if room is not None else "getting better"
    return replace(throttle, level=level, reason=reason if level else "", since=now, calm_since=None)


def _required_level(vitals: Vitals, margin: float) -> tuple[int, str]:
    """The level that the vitals require, and why; ``margin`` degrees are added to every threshold."""
    held = vitals.throttling
    room = vitals.headroom
    found = [(0, "")]
    if room is not None:
        level = sum(room.degrees <= begins + margin for begins in HEADROOM_C)
        found.append((level, _describe(room)))
    if held.is_under_voltage:
        found.append((2, f"{UNDER_VOLTAGE}: the supply is too weak"))
    if NEAR_LIMIT in held.now:
        found.append((1, f"the firmware is {NEAR_LIMIT}"))
    if held.is_slowed and not held.is_under_voltage:
        found.append((3, f"the board slows itself: {', '.join(held.now)}"))
    worst = max(level for level, _ in found)
    return worst, "; ".join(reason for level, reason in found if level == worst and worst)


def _describe(room: Headroom) -> str:
    side = "below" if room.degrees >= 0.05 else "above"
    return f"{room.zone} {room.celsius:.1f} °C, {abs(room.degrees):.1f} °C {side} {room.limit:g} °C ({room.basis})"


def _memory(throttle: Throttle, pressure: Shortage | None, now: float) -> Throttle:
    if pressure is None:
        return throttle
    if pressure.some10 >= TIGHT_SOME or pressure.full10 >= TIGHT_FULL:
        if throttle.is_tight and now - throttle.dropped_at < EASY_S:
            return replace(throttle, easy_since=None)
        return replace(
            throttle,
            is_tight=True,
            drops=throttle.drops + 1,
            dropped_at=now,
            easy_since=None,
            pressure_reason=pressure.description,
        )
    if not throttle.is_tight:
        return throttle
    if pressure.some10 >= EASY_SOME:
        return replace(throttle, easy_since=None)
    if throttle.easy_since is None:
        return replace(throttle, easy_since=now)
    return replace(throttle, is_tight=False) if now - throttle.easy_since >= EASY_S else throttle
