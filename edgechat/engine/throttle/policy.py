"""Slows the engine before the board slows itself, and makes room when memory is short. Decisions only: pure.

Fewer threads at a steady clock heat less than all of them at a clock that the kernel throws up and down, and a supply
that sags under load takes the whole board with it. So the engine steps down a little before the point at which the
board would act, and comes back with hysteresis. What it reads is :class:`Vitals`; who carries it out is
:class:`edgechat.engine.throttle.monitor.Carer`.

Where thresholds come from, the first that the board tells: its own ``passive`` trip points (the kernel's
Documentation/driver-api/thermal/sysfs-api.rst: at those it starts to slow the machine; coretemp's TjMax likewise);
80 °C on a Raspberry Pi, whose firmware slows the cores between 80 °C and 85 °C (Raspberry Pi documentation,
"Frequency management and thermal control") and tells no trip point; 15 °C below a ``hot`` or ``critical`` trip, at
which the machine is switched off; else 85 °C, the usual limit of industrial grade parts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgechat.board.vitals.throttling import NEAR_LIMIT, UNDER_VOLTAGE

if TYPE_CHECKING:
    from edgechat.board.vitals.pressure import MemoryStall, Pressure
    from edgechat.board.vitals.thermal import Zone
    from edgechat.board.vitals.vitals import Vitals

LOOK_S = 2.0
"""Between two looks. A small board under full load gains about half a degree a second."""
HEADROOM_C = (8.0, 4.0, 0.0)
"""Degrees below the board's own threshold at which levels 1, 2 and 3 begin."""
HYSTERESIS_C = 4.0
"""A level ends only when it is this much cooler than where it began: fewer threads cool the board at once."""
RESUME_S = 20.0
"""And when it has been so for as long: a heat sink follows the chip within half a minute. One level at a time."""
THREAD_SHARE = (1.0, 0.75, 0.5, 0.25)
"""Of the planned threads, by level, rounded down, at least one."""
PAUSE_S = (0.0, 0.5, 2.0, 5.0)
"""Between two records of a batch, by level. A person who waits for an answer is never made to pause."""
RASPBERRY_PI_C, BELOW_CRITICAL_C, DEFAULT_C = 80.0, 15.0, 85.0

TIGHT_SOME, TIGHT_FULL = 10.0, 5.0
"""Percent of the last ten seconds in which something (everything) waited for memory. Above it whoever waited is busy
bringing back what was just thrown out; whether that is our shortage, :func:`shortage` says."""
EASY_SOME = 2.0
EASY_S = 60.0
"""Pressure is over when it has stayed below ``EASY_SOME`` for as long; while it lasts, room is made again as often."""


@dataclass(frozen=True, slots=True)
class Headroom:
    """How far one sensor is from the point at which the board acts."""

    zone: str
    celsius: float
    limit: float
    basis: str
    """Whose limit it is, in words."""

    @property
    def degrees(self) -> float:
        """Below zero: the board acts already."""
        return self.limit - self.celsius


@dataclass(frozen=True, slots=True)
class Shortage:
    """The memory pressure that concerns this process, and whose it is."""

    some10: float
    """Percent of the last ten seconds in which something waited."""
    some60: float
    full10: float
    words: str
    """In the past tense, to be quoted later."""


@dataclass(frozen=True, slots=True)
class Stance:
    """What is being done, and why. The one value that the policy keeps from look to look."""

    level: int = 0
    """0: all threads; 1 eased, 2 slowed, 3 resting."""
    reason: str = ""
    """Why the level is not 0, in words."""
    is_tight: bool = False
    """Memory is short: caches were dropped, and the next load takes a smaller context."""
    drops: int = 0
    """How often caches were to be dropped so far."""
    since: float = 0.0
    """When the level last changed, on the caller's clock."""
    calm_since: float | None = None
    """Since when this level has no reason any more."""
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
        """How many of the planned threads compute."""
        return planned if not self.level else max(1, int(planned * THREAD_SHARE[self.level]))

    def to_json(self, n_planned: int) -> dict[str, Any]:
        """What ``edgechat ps --json`` and ``board --watch`` show."""
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


def headroom(vitals: Vitals) -> Headroom | None:
    """The sensor that is nearest to its limit; None where no temperature is measured."""
    zones = [zone for zone in vitals.zones if zone.is_processor] or list(vitals.zones)
    # A sensor that tells no limit says less than another of the same chip that does (x86_pkg_temp beside coretemp).
    telling = [zone for zone in zones if any(trip.kind != "active" for trip in zone.trips)]
    found = [_headroom(zone, is_pi=vitals.is_raspberry_pi) for zone in telling or zones]
    return min(found, key=lambda each: each.degrees, default=None)


def shortage(stall: MemoryStall | None, needed: int) -> Shortage | None:
    """The pressure that means anything here; None where none is measured, zero where it is somebody else's.

    That of the own group counts as it is: nobody else's work is in it. That of the whole machine is the sum of all
    groups, so a neighbour that thrashes under a limit of its own raises it while everybody else has plenty. It counts
    only while less is available than ``needed``: then what the plan was promised is gone, and room made here helps.

    Args:
        stall: what the kernel tells.
        needed: bytes that must be available for memory not to be short: a loaded plan's mapped weights, whose pages
            the kernel counts as available, and its reserve.
    """
    if stall is None:
        return None
    left, found = stall.available, [Shortage(0.0, 0.0, 0.0, "nothing here waited for memory")]
    if stall.own is not None:
        found.append(_shortage(stall.own, "work in edgechat's own group", ""))
    if stall.machine is not None and left is not None and left < needed:
        found.append(_shortage(stall.machine, "work on this machine", f" with only {left / 1e6:,.0f} MB available"))
    return max(found, key=lambda each: (each.some10, each.full10))


def _shortage(pressure: Pressure, who: str, beside: str) -> Shortage:
    words = f"{who} waited for memory for {pressure.some10:.0f} % of ten seconds{beside}"
    return Shortage(pressure.some10, pressure.some60, pressure.full10, words)


def decide(stance: Stance, vitals: Vitals, now: float, needed: int = 0) -> Stance:
    """What to do from here on.

    Args:
        stance: what was done until now.
        vitals: how the machine feels.
        now: seconds on any clock that only goes forward.
        needed: see :func:`shortage`; 0 while no model is loaded.
    """
    return _memory(_heat(stance, vitals, now), shortage(vitals.memory_stall, needed), now)


def note(before: Stance, after: Stance, n_planned: int) -> str:
    """One sentence on what changed, or ``""`` when nothing did."""
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


def _headroom(zone: Zone, *, is_pi: bool) -> Headroom:
    points = {kind: [t.celsius for t in zone.trips if t.kind == kind] for kind in ("passive", "hot", "critical")}
    if points["passive"]:
        limit, basis = min(points["passive"]), "its passive trip point"
    elif is_pi:
        limit, basis = RASPBERRY_PI_C, "where the Raspberry Pi's firmware begins to slow down"
    elif fatal := points["hot"] + points["critical"]:
        limit, basis = min(fatal) - BELOW_CRITICAL_C, f"{BELOW_CRITICAL_C:g} °C below its critical trip point"
    else:
        limit, basis = DEFAULT_C, "the usual limit; this board tells none"
    return Headroom(zone.name, zone.celsius, limit, basis)


def _heat(stance: Stance, vitals: Vitals, now: float) -> Stance:
    level, reason = _wanted(vitals, 0.0)
    if level > stance.level:
        return replace(stance, level=level, reason=reason, since=now, calm_since=None)
    # To come down, even the stricter thresholds of the way back must allow it.
    lower, still = _wanted(vitals, HYSTERESIS_C)
    if lower >= stance.level:
        return replace(stance, reason=still, calm_since=None)
    if stance.calm_since is None:
        return replace(stance, calm_since=now)
    if now - stance.calm_since < RESUME_S:
        return stance
    level, room = stance.level - 1, headroom(vitals)
    reason = f"getting better, {_where(room)}" if room is not None else "getting better"
    return replace(stance, level=level, reason=reason if level else "", since=now, calm_since=None)


def _wanted(vitals: Vitals, margin: float) -> tuple[int, str]:
    """The level that the vitals ask for, and why; with ``margin`` degrees more on every threshold."""
    held = vitals.throttling
    room = headroom(vitals)
    found = [(0, "")]
    if room is not None:
        level = sum(room.degrees <= begins + margin for begins in HEADROOM_C)
        found.append((level, _where(room)))
    if held.is_under_voltage:
        found.append((2, f"{UNDER_VOLTAGE}: the supply is too weak"))
    if NEAR_LIMIT in held.now:
        found.append((1, f"the firmware is {NEAR_LIMIT}"))
    if held.is_slowed and not held.is_under_voltage:
        found.append((3, f"the board slows itself: {', '.join(held.now)}"))
    worst = max(level for level, _ in found)
    return worst, "; ".join(reason for level, reason in found if level == worst and worst)


def _where(room: Headroom) -> str:
    side = "below" if room.degrees >= 0.05 else "above"
    return f"{room.zone} {room.celsius:.1f} °C, {abs(room.degrees):.1f} °C {side} {room.limit:g} °C ({room.basis})"


def _memory(stance: Stance, pressure: Shortage | None, now: float) -> Stance:
    if pressure is None:
        return stance
    if pressure.some10 >= TIGHT_SOME or pressure.full10 >= TIGHT_FULL:
        if stance.is_tight and now - stance.dropped_at < EASY_S:
            return replace(stance, easy_since=None)
        return replace(
            stance,
            is_tight=True,
            drops=stance.drops + 1,
            dropped_at=now,
            easy_since=None,
            pressure_reason=pressure.words,
        )
    if not stance.is_tight:
        return stance
    if pressure.some10 >= EASY_SOME:
        return replace(stance, easy_since=None)
    if stance.easy_since is None:
        return replace(stance, easy_since=now)
    return replace(stance, is_tight=False) if now - stance.easy_since >= EASY_S else stance
