"""Known boards that nobody recorded: each is a recorded board with what data sheets say is different.

A plan needs name, processor, memory and power mode, and little of that differs between boards of one system on chip.
Every derived board says in its notes what it was derived from.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from edgechat.board.probe.recognised_boards import RK3588_BANDWIDTH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgechat.board.board import Board

_GIB = 1 << 30


class Derivation(NamedTuple):
    """A board by what it differs in."""

    base: str
    """The recorded board."""
    power_mode: str = ""
    gib: int = 0
    """Fitted memory, where it differs."""
    model: str = ""
    cpu: Mapping[str, Any] = MappingProxyType({})
    """Fields of the processor that differ."""
    bandwidth: int = 0


_A76_A55 = {"n_cores": 8, "n_threads": 8, "n_big_cores": 4, "max_mhz": 2400, "model": "Cortex-A76"}
DERIVED: dict[str, Derivation] = {
    # Power modes: NVIDIA's Jetson Linux developer guide, supported modes and power efficiency. JetPack 6.1 added 25 W
    # and MAXN SUPER to the Orin Nano; the memory runs slower in the weaker modes.
    "orin-nano-8gb-7w": Derivation("orin-nano-8gb", "7W", bandwidth=68_256_000_000),
    "orin-nano-8gb-15w": Derivation("orin-nano-8gb", "15W", bandwidth=68_256_000_000),
    "orin-nano-8gb-25w": Derivation("orin-nano-8gb", "25W"),
    "orin-nano-8gb-maxn": Derivation("orin-nano-8gb", "MAXN"),
    "orin-nx-8gb": Derivation("orin-nx-16gb", "15W", gib=8, model="NVIDIA Jetson Orin NX 8GB"),
    "orin-nx-16gb-15w": Derivation("orin-nx-16gb", "15W"),
    "orin-nx-16gb-25w": Derivation("orin-nx-16gb", "25W"),
    "orin-nx-16gb-maxn": Derivation("orin-nx-16gb", "MAXN"),
    "agx-orin-32gb-15w": Derivation("agx-orin-32gb", "15W"),
    "agx-orin-32gb-30w": Derivation("agx-orin-32gb", "30W"),
    "agx-orin-32gb-maxn": Derivation("agx-orin-32gb", "MAXN"),
    "agx-orin-64gb-15w": Derivation("agx-orin-64gb", "15W"),
    "agx-orin-64gb-30w": Derivation("agx-orin-64gb", "30W"),
    "agx-orin-64gb-50w": Derivation("agx-orin-64gb", "50W"),
    "agx-orin-64gb-maxn": Derivation("agx-orin-64gb", "MAXN"),
    # The Pi 400 is a Pi 4 4 GB in a keyboard; the Pi 500+ has the board of a Pi 5 16 GB.
    "pi400-4gb": Derivation("pi4-4gb", model="Raspberry Pi 400 Rev 1.0"),
    "pi500-8gb": Derivation("pi5-8gb", model="Raspberry Pi 500 Rev 1.0"),
    "pi500-plus-16gb": Derivation("pi5-16gb", model="Raspberry Pi 500+ Rev 1.0"),
    # RK3588: four Cortex-A76 and four A55 beside a Mali GPU that llama.cpp does not use.
    "rock-5b-plus-8gb": Derivation("pi5-8gb", model="Radxa ROCK 5B+", cpu=_A76_A55, bandwidth=RK3588_BANDWIDTH),
    "rock-5b-plus-16gb": Derivation("pi5-16gb", model="Radxa ROCK 5B+", cpu=_A76_A55, bandwidth=RK3588_BANDWIDTH),
    "orange-pi-5-8gb": Derivation("pi5-8gb", model="Orange Pi 5", cpu=_A76_A55, bandwidth=RK3588_BANDWIDTH),
    "orange-pi-5-16gb": Derivation("pi5-16gb", model="Orange Pi 5", cpu=_A76_A55, bandwidth=RK3588_BANDWIDTH),
    # Alder Lake-N and Twin Lake: four E-cores, one memory channel (DDR5-4800 at the most for the N100).
    "n100-8gb": Derivation("ipc-8gb"),
    "n100-16gb": Derivation("ipc-8gb", gib=16),
    "n150-16gb": Derivation("ipc-8gb", gib=16, cpu={"model": "Intel(R) N150", "max_mhz": 3600}),
    # Apple's technical specifications.
    "mac-m1-8gb": Derivation("mac-16gb", gib=8),
    "mac-m1-16gb": Derivation("mac-16gb"),
    "mac-m2-16gb": Derivation("mac-16gb", cpu={"model": "Apple M2"}, bandwidth=100_000_000_000),
    "mac-m3-16gb": Derivation("mac-16gb", cpu={"model": "Apple M3"}, bandwidth=100_000_000_000),
    "mac-m4-16gb": Derivation("mac-16gb", cpu={"model": "Apple M4", "n_cores": 10, "n_threads": 10},
                              bandwidth=120_000_000_000),
    "mac-m4-24gb": Derivation("mac-16gb", gib=24, cpu={"model": "Apple M4", "n_cores": 10, "n_threads": 10},
                              bandwidth=120_000_000_000),
}  # fmt: skip


def derive(name: str, load: Callable[[str], Board]) -> Board:
    """The derived board ``name``; ``load`` gives the recorded one."""
    how = DERIVED[name]
    board = load(how.base)
    memory = board.memory
    if how.gib:
        # As much is taken by firmware and kernel, and as much is in use, as on the recorded board.
        more = how.gib * _GIB - -(-memory.total // _GIB) * _GIB
        memory = replace(memory, total=memory.total + more, available=memory.available + more)
    if how.bandwidth:
        memory = replace(memory, bandwidth=how.bandwidth, bandwidth_source="datasheet")
    cpu = replace(board.cpu, **how.cpu)
    devices = []
    for device in board.accelerators:
        share = device.total / board.memory.total
        total = round(memory.total * share)
        devices.append(
            replace(
                device,
                name=cpu.model if device.kind == "metal" else device.name,
                total=total,
                free=min(total, memory.available),
                bandwidth=memory.bandwidth,
            )
        )
    return replace(
        board,
        name=name,
        cpu=cpu,
        memory=memory,
        accelerators=tuple(devices),
        model=how.model or board.model,
        power_mode=how.power_mode or board.power_mode,
        notes=(*board.notes, f"Derived from the board {how.base} by data sheets; not recorded on such a board."),
    )
