"""Throttling, now or since the start: by heat, a weak power supply, or a current limit.

Sources, where they exist: the Raspberry Pi firmware's bits (vcgencmd(1), ``get_throttled``), its voltage
monitor (the kernel's ``raspberrypi-hwmon``), the processor's own counters (x86 ``thermal_throttle``), the Jetson's
over-current counters (``soctherm_oc``), and cooling devices that lower a clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgechat.board.source import Source
    from edgechat.board.vitals.hwmon import Chip
    from edgechat.board.vitals.thermal import Cooling

UNDER_VOLTAGE, CAPPED, THROTTLED, NEAR_LIMIT = (
    "under-voltage",
    "clock capped",
    "throttled",
    "near the temperature limit",
)
_BITS = ((0, UNDER_VOLTAGE), (1, CAPPED), (2, THROTTLED), (3, NEAR_LIMIT))
"""Bits 0 to 3 hold now, bits 16 to 19 say the same for the time since the start (vcgencmd(1))."""
_SINCE_START = 16


@dataclass(frozen=True, slots=True)
class Throttling:
    """What throttles the machine. With ``sources``, an empty ``now`` means none; without, nothing is known."""

    sources: tuple[str, ...] = ()
    """The sources that were read: ``firmware``, ``rpi_volt``, ``cooling``, ``counters``, ``over-current``."""
    now: tuple[str, ...] = ()
    """In words: ``under-voltage``, ``throttled``, …"""
    since_start: tuple[str, ...] = ()
    """The same, at any time since the machine started."""
    bits: int | None = None
    """The firmware's bits, on a Raspberry Pi."""
    counts: int | None = None
    """How often the processor slowed itself down since the start, over all packages (x86)."""
    over_current: int | None = None
    """Over-current events since the start (Jetson)."""

    @property
    def is_under_voltage(self) -> bool:
        """Whether the supply is too weak now."""
        return UNDER_VOLTAGE in self.now

    @property
    def is_slowed(self) -> bool:
        """Whether anything lowers the clocks now."""
        return CAPPED in self.now or THROTTLED in self.now


def read_throttling(
    source: Source, chips: Sequence[Chip], cooling: Sequence[Cooling], *, ask_programs: bool = True
) -> Throttling:
    """Read every source that this machine has; ``ask_programs`` also starts ``vcgencmd``."""
    sources: list[str] = []
    now: list[str] = []
    ever: list[str] = []
    bits = read_bits(source, ask_programs=ask_programs)
    if bits is not None:
        sources.append("firmware")
        now += words(bits)
        ever += words(bits >> _SINCE_START)
    for chip in chips:
        # The driver samples every two seconds and keeps the last sample only.
        if chip.name == "rpi_volt" and (alarm := source.integer(f"{chip.directory}/in0_lcrit_alarm")) is not None:
            sources.append("rpi_volt")
            if alarm:
                now.append(UNDER_VOLTAGE)
    if any(device.most > 0 for device in cooling):
        sources.append("cooling")
        if any(device.is_slowing for device in cooling):
            now.append(THROTTLED)
    counts = _sum(_counters(source))
    if counts is not None:
        sources.append("counters")
        if counts:
            ever.append(THROTTLED)
    over_current = _sum(
        value for chip in chips if chip.name == "soctherm_oc" for value in _events(source, chip.directory)
    )
    if over_current is not None:
        sources.append("over-current")
        if over_current:
            ever.append("over-current")
    return Throttling(
        tuple(sources), tuple(dict.fromkeys(now)), tuple(dict.fromkeys([*ever, *now])), bits, counts, over_current
    )


def read_bits(source: Source, *, ask_programs: bool = True) -> int | None:
    """The Raspberry Pi firmware's bits: from sysfs, else from vcgencmd; None on every other machine."""
    platform = "sys/devices/platform"
    for soc in (name for name in source.names(platform) if name.startswith("soc")):
        for firmware in (name for name in source.names(f"{platform}/{soc}") if name.endswith("firmware")):
            if (bits := _hex(source.text(f"{platform}/{soc}/{firmware}/get_throttled"))) is not None:
                return bits
    # Only machines with this device node have the firmware.
    if ask_programs and (source.exists("dev/vcio") or not source.live) and source.has_command("vcgencmd"):
        output = source.command("vcgencmd", "get_throttled") or ""
        return _hex(output.partition("=")[2])
    return None


def words(bits: int) -> list[str]:
    """The lowest four bits in words."""
    return [text for bit, text in _BITS if bits >> bit & 1]


def _counters(source: Source) -> Iterator[int]:
    root = "sys/devices/system/cpu"
    for name in source.names(root):
        if re.fullmatch(r"cpu\d+", name):
            directory = f"{root}/{name}/thermal_throttle"
            for file in ("core_throttle_count", "package_throttle_count"):
                if (count := source.integer(f"{directory}/{file}")) is not None:
                    yield count


def _events(source: Source, directory: str) -> Iterator[int]:
    for file in source.names(directory):
        if re.fullmatch(r"oc\d+_event_cnt", file) and (count := source.integer(f"{directory}/{file}")) is not None:
            yield count


def _sum(values: Iterator[int]) -> int | None:
    found = list(values)
    return sum(found) if found else None


def _hex(text: str | None) -> int | None:
    try:
        return int(text, 16) if text else None
    except ValueError:
        return None
