"""Current clocks of processor and GPU, their governors, and a Jetson's power mode (nvpmodel).

Formats: the kernel's admin-guide/pm/cpufreq.rst and ABI/testing/sysfs-class-devfreq; nvpmodel's status file and
configuration as NVIDIA's L4T writes them. A clock that cannot be read is absent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.board.probe.power_mode import read_mode_names, read_mode_number

if TYPE_CHECKING:
    from edgechat.board.source import Source

_CPUFREQ = "sys/devices/system/cpu/cpufreq"
_DEVFREQ = "sys/class/devfreq"
_SELF_GOVERNED = ("intel_pstate", "intel_cpufreq", "amd-pstate", "amd-pstate-epp")
"""Drivers whose ``powersave`` is no fixed lowest clock: the processor chooses."""


@dataclass(frozen=True, slots=True)
class CpuClock:
    """One group of cores that share a clock."""

    name: str
    """``policy0``."""
    mhz: int
    governor: str = ""
    driver: str = ""
    max_mhz: int | None = None
    """The hardware's limit."""
    allowed_mhz: int | None = None
    """The limit that the kernel or an administrator has set now."""

    @property
    def is_held_low(self) -> bool:
        """Whether its governor keeps it at its lowest clock under any load."""
        return self.governor == "powersave" and self.driver not in _SELF_GOVERNED


@dataclass(frozen=True, slots=True)
class GpuClock:
    """The GPU's clock."""

    name: str
    mhz: int
    max_mhz: int | None = None
    load: float | None = None
    """Share of time that it is busy, 0 to 1, where the driver reports it."""


@dataclass(frozen=True, slots=True)
class PowerMode:
    """A Jetson's power mode (``nvpmodel``)."""

    number: int
    name: str
    """``15W``, ``MAXN``, …; ``""`` where the configuration cannot be read."""
    strongest: int | None = None
    """The mode that allows the most: the one called MAXN, else the one with the most watts in its name."""
    strongest_name: str = ""


def read_cpu_clocks(source: Source) -> tuple[CpuClock, ...]:
    """Every cpufreq policy."""
    found = []
    for policy in source.names(_CPUFREQ):
        directory = f"{_CPUFREQ}/{policy}"
        mhz = _mhz(source, f"{directory}/scaling_cur_freq")
        if policy.startswith("policy") and mhz is not None:
            found.append(
                CpuClock(
                    policy,
                    mhz,
                    source.text(f"{directory}/scaling_governor") or "",
                    source.text(f"{directory}/scaling_driver") or "",
                    _mhz(source, f"{directory}/cpuinfo_max_freq"),
                    _mhz(source, f"{directory}/scaling_max_freq"),
                )
            )
    return tuple(found)


def read_gpu_clock(source: Source) -> GpuClock | None:
    """The GPU's clock from devfreq (Jetson, Pi's v3d) or the Intel driver's own files; None where neither is there."""
    for device in source.names(_DEVFREQ):
        if not re.search(r"gpu|gv11b|ga10b|gp10b|v3d", device):
            continue
        hertz = source.integer(f"{_DEVFREQ}/{device}/cur_freq")
        if hertz is not None:
            most = source.integer(f"{_DEVFREQ}/{device}/max_freq")
            # Tegra's driver counts the load in thousandths.
            load = source.integer(f"{_DEVFREQ}/{device}/device/load")
            share = None if load is None else load / 1000
            return GpuClock(device, hertz // 1_000_000, most // 1_000_000 if most else None, share)
    for card in source.names("sys/class/drm"):
        mhz = source.integer(f"sys/class/drm/{card}/gt_act_freq_mhz")
        if mhz is not None:
            return GpuClock(card, mhz, source.integer(f"sys/class/drm/{card}/gt_RP0_freq_mhz"))
    return None


def read_power_mode(source: Source) -> PowerMode | None:
    """A Jetson's power mode from nvpmodel's status file, without the program, which may ask for root."""
    number = read_mode_number(source)
    if number is None:
        return None
    modes = read_mode_names(source)
    strongest = max(modes, key=lambda each: _strength(modes[each]), default=None)
    return PowerMode(
        number, modes.get(number, ""), strongest, modes.get(strongest, "") if strongest is not None else ""
    )


def _strength(name: str) -> float:
    if "MAXN" in name:
        return float("inf")
    watts = re.search(r"(\d+)W", name)
    return float(watts[1]) if watts else 0.0


def _mhz(source: Source, path: str) -> int | None:
    kilohertz = source.integer(path)
    return None if kilohertz is None else kilohertz // 1000
