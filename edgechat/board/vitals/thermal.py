"""Temperatures and their limits, the trip points at which the kernel acts on them, cooling devices and fans.

Thermal zones come first, then the monitoring chips' sensors (many PCs have no zones). Formats: the kernel's
Documentation/ABI/testing/sysfs-class-thermal and hwmon/sysfs-interface.rst. A sensor that cannot be read is absent.

The temperature limit is the first of these that the board reports: its own ``passive`` trip points (the kernel's
Documentation/driver-api/thermal/sysfs-api.rst: there it starts to slow the machine; coretemp's TjMax likewise); 80 °C
on a Raspberry Pi, whose firmware slows the cores between 80 °C and 85 °C (Raspberry Pi documentation, "Frequency
management and thermal control") and has no trip point; 15 °C below a ``hot`` or ``critical`` trip, at which the machine
is switched off; else 85 °C, the usual limit of industrial grade parts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.board.source import Source
    from edgechat.board.vitals.hwmon import Chip

_ROOT = "sys/class/thermal"
_PLAUSIBLE_C = (-40.0, 150.0)
"""Values outside are no measurements: drivers answer -274000 for an unset trip and for a zone that is off."""
_FIXED = ("PMIC-Die", "PMIC-thermal")
"""Zones of older Jetsons that always answer 100 °C or 50 °C (``tegrastats`` prints the same)."""
_CHIPS = ("coretemp", "k10temp", "zenpower")
"""Monitoring chips of PCs that measure the processor; their zones (x86_pkg_temp) have no limit."""
_MIRRORS = ("cpu_thermal", "scpi_sensors", "soc_thermal")
"""Chips that repeat a thermal zone."""
_PROCESSOR = re.compile(r"cpu|gpu|soc|tj|x86_pkg|core|tdie|tctl|package", re.IGNORECASE)
_SLOWING = re.compile(r"cpufreq|Processor|devfreq|powerclamp|cpu-freq|gpu-freq|TCC Offset", re.IGNORECASE)
"""Cooling devices that cool by slowing something down, unlike a fan."""
RASPBERRY_PI_C, BELOW_CRITICAL_C, DEFAULT_C = 80.0, 15.0, 85.0


@dataclass(frozen=True, slots=True)
class Trip:
    """One temperature at which the kernel acts."""

    kind: str
    """``passive``: it slows the machine; ``hot``; ``critical``: it switches the machine off; ``active``: a fan."""
    celsius: float


@dataclass(frozen=True, slots=True)
class Zone:
    """One temperature sensor."""

    name: str
    celsius: float
    trips: tuple[Trip, ...] = ()

    @property
    def is_processor(self) -> bool:
        """Whether it measures the processor, the GPU, or the whole chip."""
        return _PROCESSOR.search(self.name) is not None


@dataclass(frozen=True, slots=True)
class Headroom:
    """How far one sensor is from its temperature limit."""

    zone: str
    celsius: float
    limit: float
    basis: str
    """Where the limit comes from, in words."""

    @property
    def degrees(self) -> float:
        """Degrees below the limit; negative above it."""
        return self.limit - self.celsius


@dataclass(frozen=True, slots=True)
class Cooling:
    """One cooling device and its state, from 0 (off) to ``most``."""

    kind: str
    state: int
    most: int

    @property
    def is_slowing(self) -> bool:
        """Whether it lowers a clock now."""
        return self.state > 0 and _SLOWING.search(self.kind) is not None


def read_zones(source: Source, chips: Sequence[Chip]) -> tuple[Zone, ...]:
    """Every temperature that can be read, thermal zones before chips."""
    zones = [zone for entry in _entries(source, "thermal_zone") if (zone := _zone(source, f"{_ROOT}/{entry}"))]
    wanted = _CHIPS if any(zone.is_processor for zone in zones) else (*_CHIPS, *_MIRRORS)
    zones += [zone for chip in chips if chip.name in wanted for zone in _chip_zones(source, chip)]
    return tuple(zones)


def read_cooling(source: Source) -> tuple[Cooling, ...]:
    """Every cooling device that reports its state."""
    found = []
    for entry in _entries(source, "cooling_device"):
        kind = source.text(f"{_ROOT}/{entry}/type")
        state = source.integer(f"{_ROOT}/{entry}/cur_state")
        most = source.integer(f"{_ROOT}/{entry}/max_state")
        # intel_powerclamp answers -1 while it is not in use.
        if kind and state is not None and most is not None:
            found.append(Cooling(kind, max(state, 0), most))
    return tuple(found)


def read_fans(source: Source, chips: Sequence[Chip]) -> tuple[int, ...]:
    """Revolutions a minute of every fan that is measured."""
    return tuple(speed for chip in chips for _, speed in chip.channels(source, "fan"))


def headroom(measured: Sequence[Zone], *, is_raspberry_pi: bool) -> Headroom | None:
    """The sensor that is closest to its limit; None where no temperature is measured."""
    zones = [zone for zone in measured if zone.is_processor] or measured
    # Sensors with a limit are preferred to sensors of the same chip without one (coretemp to x86_pkg_temp).
    limited = [zone for zone in zones if any(trip.kind != "active" for trip in zone.trips)]
    found = [_headroom(zone, is_pi=is_raspberry_pi) for zone in limited or zones]
    return min(found, key=lambda each: each.degrees, default=None)


def _headroom(zone: Zone, *, is_pi: bool) -> Headroom:
    points = {kind: [t.celsius for t in zone.trips if t.kind == kind] for kind in ("passive", "hot", "critical")}
    if points["passive"]:
        limit, basis = min(points["passive"]), "its passive trip point"
    elif is_pi:
        limit, basis = RASPBERRY_PI_C, "where the Raspberry Pi's firmware begins to slow down"
    elif fatal := points["hot"] + points["critical"]:
        limit, basis = min(fatal) - BELOW_CRITICAL_C, f"{BELOW_CRITICAL_C:g} °C below its critical trip point"
    else:
        limit, basis = DEFAULT_C, "the usual limit; this board reports none"
    return Headroom(zone.name, zone.celsius, limit, basis)


def _entries(source: Source, prefix: str) -> list[str]:
    names = [name for name in source.names(_ROOT) if name.startswith(prefix)]
    return sorted(names, key=lambda name: int(name.removeprefix(prefix) or 0))


def _zone(source: Source, directory: str) -> Zone | None:
    name = source.text(f"{directory}/type")
    celsius = _degrees(source.integer(f"{directory}/temp"))
    if not name or name in _FIXED or celsius is None:
        return None
    trips = []
    for file in source.names(directory):
        if found := re.fullmatch(r"trip_point_(\d+)_type", file):
            degrees = _degrees(source.integer(f"{directory}/trip_point_{found[1]}_temp"))
            # A trip at 0 °C is not set (x86_pkg_temp, acpitz).
            if degrees is not None and degrees > 0:
                trips.append(Trip(source.text(f"{directory}/{file}") or "", degrees))
    return Zone(name, celsius, tuple(trips))


def _chip_zones(source: Source, chip: Chip) -> list[Zone]:
    zones = []
    for number, value in chip.channels(source, "temp"):
        if (celsius := _degrees(value)) is None:
            continue
        label = source.text(f"{chip.directory}/temp{number}_label") or f"temp{number}"
        # coretemp's crit is TjMax, at which the processor slows itself down (PROCHOT): a passive trip.
        critical = _degrees(source.integer(f"{chip.directory}/temp{number}_crit"))
        trips = (Trip("passive", critical),) if critical is not None and chip.name == "coretemp" else ()
        zones.append(Zone(f"{chip.name} {label}", celsius, trips))
    return zones


def _degrees(thousandths: int | None) -> float | None:
    if thousandths is None:
        return None
    celsius = thousandths / 1000
    return celsius if _PLAUSIBLE_C[0] < celsius < _PLAUSIBLE_C[1] else None
