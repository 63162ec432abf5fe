"""Findings about sensors: temperature, power supply, clocks, memory pressure, flash wear. Pure.

A missing sensor gives no finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.board.vitals.throttle_flags import CAPPED, NEAR_LIMIT, THROTTLED, UNDER_VOLTAGE
from edgechat.doctor.finding import Finding, advice, ok
from edgechat.engine.throttle import throttle_levels
from edgechat.models.planning.reserve import reserve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.board.board import Board
    from edgechat.board.vitals.vitals import Vitals

_HIGH_PRESSURE = 10.0
"""Percent of the last minute in which some work waited for memory.

The engine acts at the same value over ten seconds.
"""
_LIMITED_BELOW = 0.9
"""A clock limit below this share of the hardware's maximum is a setting, not rounding."""
_CPUFREQ_POLICIES = "/sys/devices/system/cpu/cpufreq/policy*"


def findings(vitals: Vitals, board: Board) -> list[Finding]:
    """Make the findings for one reading of the sensors."""
    found = [*_supply(vitals), *_heat(vitals, board), *_clocks(vitals), *_pressure(vitals, board), *_wear(vitals)]
    return found or [ok("vitals", "This machine has no sensors of temperature, power supply or clocks.")]


def _supply(vitals: Vitals) -> Iterator[Finding]:
    throttling = vitals.throttling
    if UNDER_VOLTAGE in throttling.since_start:
        when = "now" if throttling.is_under_voltage else "since it started"
        message = (
            f"The power supply is too weak ({UNDER_VOLTAGE}, {when}): the board slows down and may lose data. Use the "
            "manufacturer's supply and a short cable. Until then, a lower clock needs less power."
        )
        # arm_freq of config.txt, in MHz: about two thirds of the default of a Pi 4 or 5.
        command = "echo arm_freq=1200 | sudo tee -a /boot/firmware/config.txt && sudo reboot"
        yield advice("under-voltage", message, command if vitals.is_raspberry_pi else None)
    elif {"firmware", "rpi_volt"} & set(throttling.sources):
        yield ok("under-voltage", "The power supply was sufficient since the machine started.")
    if throttling.over_current:
        message = (
            f"The board drew too much current {throttling.over_current} times since it started, and slowed down "
            "each time: its power supply is too weak for its power mode."
        )
        yield advice("over-current", message, "sudo nvpmodel -m 0" if _has_lower_power_mode(vitals) else None)


def _has_lower_power_mode(vitals: Vitals) -> bool:
    return vitals.power_mode is not None and vitals.power_mode.number != 0


def _heat(vitals: Vitals, board: Board) -> Iterator[Finding]:
    throttling, room, hottest = vitals.throttling, vitals.headroom, vitals.hottest
    half = max(1, board.cpu.n_big_cores // 2)
    fewer = f"export EDGECHAT_THREADS={half}"
    where = f" ({hottest.celsius:.0f} °C, {hottest.name})" if hottest else ""
    if {CAPPED, THROTTLED} & set(throttling.now) and not throttling.is_under_voltage:
        message = f"The board throttles now{where}: it needs a heat sink, a fan or more air."
        yield advice(
            "throttling", f"{message} Fewer threads at a steady clock are equally fast and produce less heat.", fewer
        )
    elif room is not None and room.degrees <= throttle_levels.HEADROOM_C[1]:
        message = (
            f"The board will throttle soon: {room.zone} is at {room.celsius:.0f} °C, and "
            f"{room.limit:g} °C is {room.basis}."
        )
        yield advice("throttling", message, fewer)
    elif earlier := {CAPPED, THROTTLED, NEAR_LIMIT} & set(throttling.since_start) - {UNDER_VOLTAGE}:
        if UNDER_VOLTAGE not in throttling.since_start:
            words = ", ".join(sorted(earlier))
            message = f"The board has throttled since it started ({words}), but does not now{where}."
            yield advice("throttling", message, "edgechat board --watch")
    elif throttling.sources or room is not None:
        yield ok("throttling", f"The board does not throttle{where}.")


def _clocks(vitals: Vitals) -> Iterator[Finding]:
    clocks = vitals.cpu_clocks
    if low := [clock for clock in clocks if clock.is_held_low]:
        lowest = low[0]
        message = (
            f"The governor powersave keeps {len(low)} of {len(clocks)} clocks at their lowest ({lowest.mhz} of "
            f"{lowest.max_mhz or '?'} MHz), even under load."
        )
        yield advice("governor", message, f"echo schedutil | sudo tee {_CPUFREQ_POLICIES}/scaling_governor")
    elif clocks:
        names = ", ".join(dict.fromkeys(clock.governor for clock in clocks if clock.governor))
        yield ok("governor", f"The clocks follow the load ({names or 'no governor'}).")
    limited = [c for c in clocks if c.max_mhz and c.allowed_mhz and c.allowed_mhz < _LIMITED_BELOW * c.max_mhz]
    # The kernel lowers the same file while it throttles.
    if limited and not any(device.is_slowing for device in vitals.cooling):
        one = limited[0]
        message = f"The processor is limited to {one.allowed_mhz} MHz of its {one.max_mhz} MHz."
        command = f"for p in {_CPUFREQ_POLICIES}; do sudo cp $p/cpuinfo_max_freq $p/scaling_max_freq; done"
        yield advice("clock-limit", message, command)
    mode = vitals.power_mode
    if mode is not None and mode.strongest is not None:
        if mode.number != mode.strongest:
            message = (
                f"The power mode is {mode.name or mode.number}; {mode.strongest_name} is the fastest of this board."
            )
            yield advice("power-mode", message, f"sudo nvpmodel -m {mode.strongest}")
        else:
            yield ok("power-mode", f"The power mode is {mode.name}, the fastest of this board.")


def _pressure(vitals: Vitals, board: Board) -> Iterator[Finding]:
    stall = vitals.memory_stall
    # Without a loaded model, only the reserve of a plan must stay free.
    short = throttle_levels.shortage(stall, reserve(board).size)
    if stall is None or short is None:
        return
    if short.some60 >= _HIGH_PRESSURE:
        message = f"Work waited for memory {short.some60:.0f} % of the last minute: memory is too small for what runs."
        yield advice("memory-pressure", message, "ps -eo rss,pid,comm --sort=-rss | head")
    elif stall.worst.some60 >= _HIGH_PRESSURE:
        message = f"A process on this machine waits for memory ({stall.worst.some60:.0f} % of the last minute)"
        if stall.available is not None:
            message += f", probably because of its own limit: {stall.available / 1e6:,.0f} MB are available here"
        yield ok("memory-pressure", f"{message}.")
    else:
        yield ok("memory-pressure", "No process waits for memory.")


def _wear(vitals: Vitals) -> Iterator[Finding]:
    worn = [device for device in vitals.wear if device.is_worn]
    for device in worn:
        used = "" if device.used_percent is None else f"up to {device.used_percent} % of its life is used"
        spare = f"its spare blocks are at {device.reserve}" if device.reserve in {"warning", "urgent"} else ""
        message = f"The flash {device.device} is worn: {' and '.join(filter(None, (used, spare)))}. Make a backup."
        yield advice("flash-wear", message, "edgechat history export --out conversations.json")
    if not worn and any(device.used_percent is not None for device in vitals.wear):
        yield ok("flash-wear", "The flash is not worn.")
