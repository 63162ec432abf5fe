"""The state of a machine at one moment: temperatures, clocks, throttling, power, pressure, flash wear.

Read by the engine's throttle, ``board --watch``, the doctor and the terminal UI. Sensors that do not exist are empty or
None, never zero.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from edgechat.board.source import Source
from edgechat.board.vitals.clocks import CpuClock, GpuClock, PowerMode, read_cpu_clocks, read_gpu_clock, read_power_mode
from edgechat.board.vitals.flash_wear import Wear, read_wear
from edgechat.board.vitals.hwmon import chips
from edgechat.board.vitals.power import Power, read_power
from edgechat.board.vitals.pressure import MemoryStall, Pressure, read_memory_stall, read_pressure
from edgechat.board.vitals.thermal import Cooling, Headroom, Zone, headroom, read_cooling, read_fans, read_zones
from edgechat.board.vitals.throttle_flags import Throttling, read_throttling

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Vitals:
    """All sensors at one moment. Every field can be written by hand in a test."""

    zones: tuple[Zone, ...] = ()
    cooling: tuple[Cooling, ...] = ()
    fans: tuple[int, ...] = ()
    """Revolutions a minute."""
    cpu_clocks: tuple[CpuClock, ...] = ()
    gpu_clock: GpuClock | None = None
    power_mode: PowerMode | None = None
    throttling: Throttling = field(default_factory=Throttling)
    power: Power = field(default_factory=Power)
    memory_stall: MemoryStall | None = None
    io_pressure: Pressure | None = None
    wear: tuple[Wear, ...] = ()
    is_raspberry_pi: bool = False
    """Its firmware throttles at temperatures that no trip point shows."""

    @property
    def hottest(self) -> Zone | None:
        """The hottest sensor of processor or GPU; of the whole machine where none of them is known."""
        near = [zone for zone in self.zones if zone.is_processor]
        return max(near or self.zones, key=lambda zone: zone.celsius, default=None)

    @property
    def headroom(self) -> Headroom | None:
        """The sensor that is closest to its limit; None where no temperature is measured."""
        return headroom(self.zones, is_raspberry_pi=self.is_raspberry_pi)

    @property
    def memory_pressure(self) -> Pressure | None:
        """The higher of the machine's and this process's group's, for display only."""
        return self.memory_stall.worst if self.memory_stall else None

    @property
    def mhz(self) -> int | None:
        """The fastest core's clock now."""
        return max((clock.mhz for clock in self.cpu_clocks), default=None)

    def to_json(self) -> dict[str, Any]:
        """The state as JSON data; what no sensor measures is left out."""
        power = self.power
        data = {
            "temperatures": {zone.name: round(zone.celsius, 1) for zone in self.zones},
            "trips": {z.name: [asdict(trip) for trip in z.trips] for z in self.zones if z.trips},
            "cooling": [asdict(device) for device in self.cooling if device.state],
            "fans_rpm": list(self.fans),
            "cpu_clocks": [asdict(clock) for clock in self.cpu_clocks],
            "gpu_clock": asdict(self.gpu_clock) if self.gpu_clock else None,
            "power_mode": asdict(self.power_mode) if self.power_mode else None,
            "throttling": asdict(self.throttling) if self.throttling.sources else None,
            "watts": None if power.watts is None else round(power.watts, 2),
            "watts_basis": power.basis,
            "rails": {rail.name: round(rail.watts, 3) for rail in power.rails},
            "batteries": [asdict(battery) for battery in power.batteries],
            "on_mains": power.on_mains,
            "memory_pressure": asdict(self.memory_pressure) if self.memory_pressure else None,
            "io_pressure": asdict(self.io_pressure) if self.io_pressure else None,
            "flash": [asdict(device) for device in self.wear],
        }
        return {name: _without_empty(value) for name, value in data.items() if value not in (None, "", [], {})}


def read_vitals(source: Source | None = None, *, ask_programs: bool = True) -> Vitals:
    """Read every sensor once: some milliseconds of small files.

    Args:
        source: the machine; the running one by default.
        ask_programs: also start ``vcgencmd`` where a fact is in no file; the engine, which reads often, does not.
    """
    source = source or Source()
    monitors = chips(source)
    cooling = read_cooling(source)
    return Vitals(
        zones=read_zones(source, monitors),
        cooling=cooling,
        fans=read_fans(source, monitors),
        cpu_clocks=read_cpu_clocks(source),
        gpu_clock=read_gpu_clock(source),
        power_mode=read_power_mode(source),
        throttling=read_throttling(source, monitors, cooling, ask_programs=ask_programs),
        power=read_power(source, monitors, ask_programs=ask_programs),
        memory_stall=read_memory_stall(source),
        io_pressure=read_pressure(source, "io"),
        wear=read_wear(source),
        is_raspberry_pi=_is_raspberry_pi(source),
    )


def read_throttle_inputs(source: Source) -> Vitals:
    """Only what the engine's throttle needs: temperatures, throttling, memory pressure. Starts no program."""
    monitors = chips(source)
    cooling = read_cooling(source)
    return Vitals(
        zones=read_zones(source, monitors),
        cooling=cooling,
        throttling=read_throttling(source, monitors, cooling, ask_programs=False),
        memory_stall=read_memory_stall(source),
        is_raspberry_pi=_is_raspberry_pi(source),
    )


def _is_raspberry_pi(source: Source) -> bool:
    return (source.text("proc/device-tree/model") or "").startswith("Raspberry Pi")


def _without_empty(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Remove the fields that are None or ``""``, at every depth."""
    if isinstance(value, dict):
        kept: Mapping[str, Any] = {name: _without_empty(each) for name, each in value.items() if each not in (None, "")}
        return kept
    return [_without_empty(each) for each in value] if isinstance(value, (list, tuple)) else value
