"""Findings about how the machine feels: heat, its supply, its clocks, memory pressure, worn flash. Pure.

What no sensor tells gives no finding: absent is neither well nor ill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.board.vitals.throttling import CAPPED, NEAR_LIMIT, THROTTLED, UNDER_VOLTAGE
from edgechat.doctor.finding import Finding, advice, ok
from edgechat.engine.throttle import policy
from edgechat.models.planning.reserve import reserve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.board.board import Board
    from edgechat.board.vitals.vitals import Vitals

_PRESSED = 10.0
"""Percent of the last minute in which something waited for memory; the engine's care acts at as much in ten seconds."""
_HELD_BELOW = 0.9
"""A clock limit below this share of what the hardware can do was set by somebody; rounding is not."""
_POLICIES = "/sys/devices/system/cpu/cpufreq/policy*"


def findings(vitals: Vitals, board: Board) -> list[Finding]:
    """Judge one look at a machine."""
    found = [*_supply(vitals), *_heat(vitals, board), *_clocks(vitals), *_pressure(vitals, board), *_wear(vitals)]
    return found or [ok("vitals", "No sensor of this machine tells of heat, its supply or its clocks.")]


def _supply(vitals: Vitals) -> Iterator[Finding]:
    held = vitals.throttling
    if UNDER_VOLTAGE in held.since_start:
        when = "now" if held.is_under_voltage else "since it started"
        message = (
            f"The supply was too weak ({UNDER_VOLTAGE}, {when}): the board slows down, and may lose data. Use the "
            "maker's supply and a short cable; until then a lower clock draws less."
        )
        # config.txt's arm_freq, in MHz: two thirds of either board's own.
        command = "echo arm_freq=1200 | sudo tee -a /boot/firmware/config.txt && sudo reboot"
        yield advice("under-voltage", message, command if vitals.is_raspberry_pi else None)
    elif {"firmware", "rpi_volt"} & set(held.sources):
        yield ok("under-voltage", "The supply has held since the machine started.")
    if held.over_current:
        message = (
            f"The board drew too much current {held.over_current} times since it started, and slowed itself each time: "
            "its supply is too weak for its power mode."
        )
        yield advice("over-current", message, "sudo nvpmodel -m 0" if _may_step_down(vitals) else None)


def _may_step_down(vitals: Vitals) -> bool:
    return vitals.power_mode is not None and vitals.power_mode.number != 0


def _heat(vitals: Vitals, board: Board) -> Iterator[Finding]:
    held, room, hottest = vitals.throttling, policy.headroom(vitals), vitals.hottest
    half = max(1, board.cpu.n_big_cores // 2)
    fewer = f"export EDGECHAT_THREADS={half}"
    where = f" ({hottest.celsius:.0f} °C, {hottest.name})" if hottest else ""
    if {CAPPED, THROTTLED} & set(held.now) and not held.is_under_voltage:
        message = f"The board slows itself down now{where}: it needs a heat sink, a fan or air."
        yield advice("throttling", f"{message} Fewer threads at a steady clock are as fast and heat less.", fewer)
    elif room is not None and room.degrees <= policy.HEADROOM_C[1]:
        message = (
            f"The board is about to slow itself down: {room.zone} is at {room.celsius:.0f} °C, and "
            f"{room.limit:g} °C is {room.basis}."
        )
        yield advice("throttling", message, fewer)
    elif earlier := {CAPPED, THROTTLED, NEAR_LIMIT} & set(held.since_start) - {UNDER_VOLTAGE}:
        if UNDER_VOLTAGE not in held.since_start:
            words = ", ".join(sorted(earlier))
            message = f"The board has slowed itself down since it started ({words}); it is well now{where}."
            yield advice("throttling", message, "edgechat board --watch")
    elif held.sources or room is not None:
        yield ok("throttling", f"The board does not slow itself down{where}.")


def _clocks(vitals: Vitals) -> Iterator[Finding]:
    clocks = vitals.cpu_clocks
    if low := [clock for clock in clocks if clock.is_held_low]:
        lowest = low[0]
        message = (
            f"The governor powersave keeps {len(low)} of {len(clocks)} clocks at their lowest ({lowest.mhz} of "
            f"{lowest.max_mhz or '?'} MHz), whatever there is to do."
        )
        yield advice("governor", message, f"echo schedutil | sudo tee {_POLICIES}/scaling_governor")
    elif clocks:
        names = ", ".join(dict.fromkeys(clock.governor for clock in clocks if clock.governor))
        yield ok("governor", f"The clocks follow the load ({names or 'no governor'}).")
    limited = [c for c in clocks if c.max_mhz and c.allowed_mhz and c.allowed_mhz < _HELD_BELOW * c.max_mhz]
    # While the kernel cools by clock it lowers the same file.
    if limited and not any(device.is_slowing for device in vitals.cooling):
        one = limited[0]
        message = f"The processor may run at {one.allowed_mhz} MHz only, of the {one.max_mhz} MHz that it can."
        command = f"for p in {_POLICIES}; do sudo cp $p/cpuinfo_max_freq $p/scaling_max_freq; done"
        yield advice("clock-limit", message, command)
    mode = vitals.power_mode
    if mode is not None and mode.strongest is not None:
        if mode.number != mode.strongest:
            message = (
                f"The power mode is {mode.name or mode.number}; {mode.strongest_name} is the fastest this board has."
            )
            yield advice("power-mode", message, f"sudo nvpmodel -m {mode.strongest}")
        else:
            yield ok("power-mode", f"The power mode is {mode.name}, the fastest this board has.")


def _pressure(vitals: Vitals, board: Board) -> Iterator[Finding]:
    stall = vitals.memory_stall
    # Without a loaded model nothing of ours has to stay resident: only the reserve of a plan must be there.
    short = policy.shortage(stall, reserve(board).size)
    if stall is None or short is None:
        return
    if short.some60 >= _PRESSED:
        message = f"Work waited for memory {short.some60:.0f} % of the last minute: what is resident does not fit."
        yield advice("memory-pressure", message, "ps -eo rss,pid,comm --sort=-rss | head")
    elif stall.worst.some60 >= _PRESSED:
        message = f"Something on this machine waits for memory ({stall.worst.some60:.0f} % of the last minute)"
        if stall.available is not None:
            message += f", probably under a limit of its own: {stall.available / 1e6:,.0f} MB are available here"
        yield ok("memory-pressure", f"{message}.")
    else:
        yield ok("memory-pressure", "Nothing waits for memory.")


def _wear(vitals: Vitals) -> Iterator[Finding]:
    worn = [device for device in vitals.wear if device.is_worn]
    for device in worn:
        used = "" if device.used_percent is None else f"up to {device.used_percent} % of its life is used"
        spare = f"its spare blocks are at {device.reserve}" if device.reserve in {"warning", "urgent"} else ""
        message = f"The flash {device.device} is worn: {' and '.join(filter(None, (used, spare)))}. Save what it holds."
        yield advice("flash-wear", message, "edgechat history export --out conversations.json")
    if not worn and any(device.used_percent is not None for device in vitals.wear):
        yield ok("flash-wear", "The flash has life left.")
