"""Electric power: rails that the board measures, batteries, and the processor's energy counters. Watts and joules.

Sources: INA3221 and other monitoring chips (the kernel's hwmon/ina3221.rst, sysfs-interface.rst), power supplies
(ABI/testing/sysfs-class-power), Intel's and AMD's RAPL counters (power/powercap/powercap.rst), the Pi 5's PMIC.
Values that are not measured are absent; nothing is estimated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.board.source import Source
    from edgechat.board.vitals.hwmon import Chip

_SUPPLY = "sys/class/power_supply"
_POWERCAP = "sys/class/powercap"
_INPUTS = ("VDD_IN", "POM_5V_IN", "VIN_SYS_5V0_IN")
"""Rails that carry everything the board takes (Jetson Orin Nano and NX; Jetson Nano and TX2)."""


@dataclass(frozen=True, slots=True)
class Rail:
    """One measured rail."""

    name: str
    watts: float
    is_input: bool = False
    """Whether all of the board's power runs through it."""


@dataclass(frozen=True, slots=True)
class Battery:
    """One battery."""

    name: str
    status: str
    """``Charging``, ``Discharging``, ``Full``, ``Not charging`` or ``Unknown``."""
    percent: int | None = None
    watts: float | None = None
    """Power into it or out of it."""


@dataclass(frozen=True, slots=True)
class Counter:
    """An energy counter of the processor; it wraps around."""

    name: str
    """``psys`` is the whole machine, ``package-0`` one processor."""
    microjoules: int
    wraps_at: int


@dataclass(frozen=True, slots=True)
class Power:
    """All measured values."""

    rails: tuple[Rail, ...] = ()
    batteries: tuple[Battery, ...] = ()
    counters: tuple[Counter, ...] = ()
    on_mains: bool | None = None
    """Whether a charger is plugged in, where one is known."""

    @property
    def watts(self) -> float | None:
        """The power that the machine takes now; None where only energy counters measure it."""
        whole = [rail.watts for rail in self.rails if rail.is_input]
        if whole:
            return sum(whole)
        if drawn := [b.watts for b in self.batteries if b.status == "Discharging" and b.watts]:
            return sum(drawn)
        return sum(rail.watts for rail in self.rails) if self.rails else None

    @property
    def basis(self) -> str:
        """The source of :attr:`watts`, in words; ``""`` where there is none."""
        if names := [rail.name for rail in self.rails if rail.is_input]:
            return f"the board's input ({', '.join(names)})"
        if any(b.status == "Discharging" and b.watts for b in self.batteries):
            return "the battery"
        return f"{len(self.rails)} measured rails" if self.rails else ""


def read_power(source: Source, chips: Sequence[Chip], *, ask_programs: bool = True) -> Power:
    """Read every rail, battery and counter.

    Args:
        source: the machine.
        chips: its monitoring chips.
        ask_programs: also start ``vcgencmd`` where no chip measures a rail.
    """
    rails = [rail for chip in chips for rail in (*_ina3221(source, chip), *_power_channels(source, chip))]
    if not rails and ask_programs and (source.exists("dev/vcio") or not source.live):
        rails = pmic_rails(source.command("vcgencmd", "pmic_read_adc") or "")
    batteries, on_mains = _supplies(source)
    return Power(tuple(rails), batteries, read_counters(source), on_mains)


def is_on_battery(source: Source) -> bool:
    """Whether a battery supplies the machine now; False where none is known."""
    batteries, on_mains = _supplies(source)
    return any(each.status == "Discharging" for each in batteries) or (bool(batteries) and on_mains is False)


def _supplies(source: Source) -> tuple[tuple[Battery, ...], bool | None]:
    """The machine's batteries, and whether a charger is plugged in, where one is known."""
    batteries, mains = [], []
    for name in source.names(_SUPPLY):
        kind = source.text(f"{_SUPPLY}/{name}/type")
        if kind == "Battery" and source.text(f"{_SUPPLY}/{name}/scope") != "Device":
            batteries.append(_battery(source, name))
        elif kind in {"Mains", "USB"} and (online := source.integer(f"{_SUPPLY}/{name}/online")) is not None:
            mains.append(online > 0)
    return tuple(batteries), any(mains) if mains else None


def read_counters(source: Source) -> tuple[Counter, ...]:
    """Energy counters that this user may read (since 2020 the kernel shows them to root alone)."""
    found = []
    for zone in source.names(_POWERCAP):
        if not re.fullmatch(r"(intel|amd)-rapl:\d+", zone):
            continue
        energy = source.integer(f"{_POWERCAP}/{zone}/energy_uj")
        name = source.text(f"{_POWERCAP}/{zone}/name")
        if energy is not None and name:
            found.append(Counter(name, energy, source.integer(f"{_POWERCAP}/{zone}/max_energy_range_uj") or 0))
    return tuple(found)


def joules_between(before: Sequence[Counter], after: Sequence[Counter]) -> tuple[float, str] | None:
    """Joules between two readings of the counters, and their source: the whole machine's, else all processors'."""
    known = {counter.name: counter for counter in before}
    pairs = [(known[counter.name], counter) for counter in after if counter.name in known]
    whole = [pair for pair in pairs if pair[0].name == "psys"]
    used = whole or [pair for pair in pairs if pair[0].name.startswith("package")]
    if not used:
        return None
    total = 0
    for first, last in used:
        passed = last.microjoules - first.microjoules
        total += passed if passed >= 0 else passed + last.wraps_at
    return total / 1e6, "the whole machine (psys)" if whole else "the processor alone (RAPL package)"


def pmic_rails(text: str) -> list[Rail]:
    """Parse the rails in ``vcgencmd pmic_read_adc`` of a Pi 5.

    The form is ``VDD_CORE_A current(7)=2.1A`` and ``VDD_CORE_V volt(15)=0.87V``.

    Its input current is not measured, so the rails add up to less than what the supply delivers.
    """
    amperes = dict(re.findall(r"(\w+)_A current\(\d+\)=([\d.]+)A", text))
    volts = dict(re.findall(r"(\w+)_V volt\(\d+\)=([\d.]+)V", text))
    return [Rail(name, float(amperes[name]) * float(volts[name])) for name in amperes if name in volts]


def _ina3221(source: Source, chip: Chip) -> list[Rail]:
    if not chip.name.startswith("ina3221"):
        return []
    found = []
    for number, milliamperes in chip.channels(source, "curr"):
        millivolts = source.integer(f"{chip.directory}/in{number}_input")
        label = source.text(f"{chip.directory}/in{number}_label")
        # A channel without a rail is labelled NC; the fourth is the sum of shunts.
        if millivolts is not None and label and label != "NC" and int(number) <= 3:
            found.append(Rail(label, millivolts * milliamperes / 1e6, label in _INPUTS))
    return found


def _power_channels(source: Source, chip: Chip) -> list[Rail]:
    if chip.name.startswith("ina3221") or re.match(r"BAT|ACAD|AC\d*$|ucsi", chip.name):
        return []  # batteries are read as power supplies
    found = {}
    for suffix in ("average", "input"):
        for number, microwatts in chip.channels(source, "power", suffix):
            label = source.text(f"{chip.directory}/power{number}_label")
            found[number] = Rail(f"{chip.name} {label}" if label else chip.name, microwatts / 1e6)
    return list(found.values())


def _battery(source: Source, name: str) -> Battery:
    directory = f"{_SUPPLY}/{name}"
    microwatts = source.integer(f"{directory}/power_now")
    watts = None if microwatts is None else abs(microwatts) / 1e6
    if watts is None:
        amperes, volts = source.integer(f"{directory}/current_now"), source.integer(f"{directory}/voltage_now")
        watts = abs(amperes) * volts / 1e12 if amperes is not None and volts is not None else None
    return Battery(
        name, source.text(f"{directory}/status") or "Unknown", source.integer(f"{directory}/capacity"), watts
    )
