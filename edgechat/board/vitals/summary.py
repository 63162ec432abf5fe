"""Vitals as text, one labelled line for each fact that a sensor reports. Pure text: no colours, no width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.board.probe.summary import SummaryLine

if TYPE_CHECKING:
    from edgechat.board.vitals.clocks import CpuClock
    from edgechat.board.vitals.vitals import Vitals

SILENT = "no sensor of this machine can be read"


def lines(vitals: Vitals) -> tuple[SummaryLine, ...]:
    """One line for each measured fact, in a fixed order."""
    found = [
        SummaryLine("temperature", _temperature(vitals)),
        SummaryLine("clocks", _clocks(vitals)),
        SummaryLine("held back", _held_back(vitals)),
        SummaryLine("power", _power(vitals)),
        SummaryLine("battery", _battery(vitals)),
        SummaryLine("pressure", _pressures(vitals)),
        SummaryLine("flash", _flash(vitals)),
    ]
    told = tuple(line for line in found if line.text)
    return told or (SummaryLine("sensors", SILENT),)


def _temperature(vitals: Vitals) -> str:
    hottest = vitals.hottest
    if hottest is None:
        return ""
    others = len(vitals.zones) - 1
    text = f"{hottest.celsius:.1f} °C ({hottest.name}{f', the hottest of {others + 1}' if others else ''})"
    spinning = [speed for speed in vitals.fans if speed]
    if vitals.fans:
        text += f", fan at {max(spinning)} rpm" if spinning else ", the fan stands still"
    return text


def _clocks(vitals: Vitals) -> str:
    words = []
    if vitals.cpu_clocks:
        fastest: CpuClock = max(vitals.cpu_clocks, key=lambda clock: clock.mhz)
        most = f" of {fastest.max_mhz}" if fastest.max_mhz else ""
        words.append(f"processor {fastest.mhz}{most} MHz ({fastest.governor or 'no governor'})")
    if gpu := vitals.gpu_clock:
        load = "" if gpu.load is None else f", {gpu.load:.0%} busy"
        words.append(f"GPU {gpu.mhz}{f' of {gpu.max_mhz}' if gpu.max_mhz else ''} MHz{load}")
    if mode := vitals.power_mode:
        words.append(f"power mode {mode.name or mode.number}")
    return ", ".join(words)


def _held_back(vitals: Vitals) -> str:
    held = vitals.throttling
    if not held.sources:
        return ""
    earlier = [word for word in held.since_start if word not in held.now]
    words = [f"now: {', '.join(held.now)}"] if held.now else ["by nothing now"]
    if earlier:
        words.append(f"earlier since the start: {', '.join(earlier)}")
    return "; ".join(words)


def _power(vitals: Vitals) -> str:
    power = vitals.power
    return "" if power.watts is None else f"{power.watts:.1f} W ({power.basis})"


def _battery(vitals: Vitals) -> str:
    words = []
    for battery in vitals.power.batteries:
        percent = "" if battery.percent is None else f" {battery.percent} %"
        words.append(f"{battery.name}{percent}, {battery.status.lower()}")
    return "; ".join(words)


def _pressures(vitals: Vitals) -> str:
    words = [
        f"{name} {pressure.some10:.0f} % of the last ten seconds"
        for name, pressure in (("memory", vitals.memory_pressure), ("disk", vitals.io_pressure))
        if pressure is not None
    ]
    return f"waiting for {', '.join(words)}" if words else ""


def _flash(vitals: Vitals) -> str:
    words = []
    for device in vitals.wear:
        life = "tells no wear" if device.used_percent is None else f"up to {device.used_percent} % of its life used"
        reserve = f", spare blocks {device.reserve}" if device.reserve not in {"", "normal"} else ""
        words.append(f"{device.device} ({device.kind}) {life}{reserve}")
    return "; ".join(words)
