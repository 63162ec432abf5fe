"""Temperatures, the trip points at which the kernel acts on them, cooling devices and fans.

Thermal zones come first, then the monitoring chips' sensors (many PCs have no zones). Formats: the kernel's
Documentation/ABI/testing/sysfs-class-thermal and hwmon/sysfs-interface.rst. A sensor that cannot be read is absent.
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
