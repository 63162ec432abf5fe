"""The boards that are recognised: their ``--board`` name, their memory's peak bandwidth, their row of the speed table.

Bandwidth is transfers a second x bus width / 8, from data sheets. Boards that are not listed have none until ``edgechat
bench`` measures it. Reads no files.
"""

from __future__ import annotations

from typing import NamedTuple

GIB = 1 << 30


class ModelBoard(NamedTuple):
    """A board that its model string tells."""

    mark: str
    """Part of the string; the first row that matches counts."""
    family: str
    """Its ``--board`` name without the memory size, or ``""`` where ``--board`` knows none."""
    sizes: tuple[int, ...]
    """GiB for which there is a name; empty where the family is the whole name."""
    bandwidth: int | None
    speeds: str
    """The board of ``models/planning/speed_table.py`` with the same system on chip."""


# Memory: Raspberry Pi product briefs; sdram clocks from the config.txt overclocking table of Raspberry Pi's
# documentation.
_LPDDR4, _LPDDR4X = 12_800_000_000, 17_068_000_000  # LPDDR4-3200 and LPDDR4X-4267, 32 bit
RK3588_BANDWIDTH = 33_800_000_000  # LPDDR4X/5 at the rate that boards run it, 64 bit
BY_MODEL = (
    ModelBoard("Raspberry Pi Zero 2", "pi-zero-2w", (), 3_600_000_000, "pi-zero-2w"),  # LPDDR2-900, 32 bit
    ModelBoard("Raspberry Pi 4 Model B", "pi4", (2, 4, 8), _LPDDR4, "pi4"),
    ModelBoard("Raspberry Pi 400", "pi400", (4,), _LPDDR4, "pi4"),
    ModelBoard("Compute Module 4", "", (), _LPDDR4, "pi4"),
    ModelBoard("Raspberry Pi 500+", "pi500-plus", (16,), _LPDDR4X, "pi5"),
    ModelBoard("Raspberry Pi 500", "pi500", (8,), _LPDDR4X, "pi5"),
    ModelBoard("Raspberry Pi 5 Model B", "pi5", (4, 8, 16), _LPDDR4X, "pi5"),
    ModelBoard("Compute Module 5", "", (), _LPDDR4X, "pi5"),
    ModelBoard("ROCK 5B+", "rock-5b-plus", (8, 16), RK3588_BANDWIDTH, "rk3588"),
    ModelBoard("ROCK 5B", "", (), RK3588_BANDWIDTH, "rk3588"),
    ModelBoard("ROCK 5A", "", (), RK3588_BANDWIDTH, "rk3588"),
    # Orange Pi 5, 5B, 5 Plus, 5 Max and others begin alike, so none gets the name of one.
    ModelBoard("Orange Pi 5", "", (), RK3588_BANDWIDTH, "rk3588"),
)

# By module part number in the device tree's "compatible". Figures: NVIDIA's Jetson module data sheets and, for the
# "super" power configuration that JetPack 6.1 added, the Orin Nano Super developer kit's.
JETSON = (
    ("p3767-0005-super", "orin-nano-8gb", 102_400_000_000),
    ("p3767-0003-super", "orin-nano-8gb", 102_400_000_000),
    ("p3767-0004-super", "orin-nano-4gb", 51_200_000_000),
    ("p3767-0005", "orin-nano-8gb", 68_256_000_000),  # LPDDR5-4266, 128 bit
    ("p3767-0003", "orin-nano-8gb", 68_256_000_000),
    ("p3767-0004", "orin-nano-4gb", 34_128_000_000),  # LPDDR5-4266, 64 bit
    ("p3767-0000", "orin-nx-16gb", 102_400_000_000),  # LPDDR5-6400, 128 bit
    ("p3767-0001", "orin-nx-8gb", 102_400_000_000),
    ("p3701-0000", "agx-orin-32gb", 204_800_000_000),  # LPDDR5-6400, 256 bit
    ("p3701-0004", "agx-orin-32gb", 204_800_000_000),
    ("p3701-0005", "agx-orin-64gb", 204_800_000_000),
    ("p3701-0008", "agx-orin-64gb", 204_800_000_000),
    ("p3448-0000", "jetson-nano-4gb", 25_600_000_000),  # LPDDR4-3200, 64 bit
    ("p3448-0002", "jetson-nano-4gb", 25_600_000_000),
)
# Apple's technical specifications. Chips sold with two memory widths (M3 Max, M4 Max) are left out.
_APPLE = {
    "Apple M1": 68_250_000_000,
    "Apple M1 Pro": 200_000_000_000,
    "Apple M1 Max": 400_000_000_000,
    "Apple M1 Ultra": 800_000_000_000,
    "Apple M2": 100_000_000_000,
    "Apple M2 Pro": 200_000_000_000,
    "Apple M2 Max": 400_000_000_000,
    "Apple M2 Ultra": 800_000_000_000,
    "Apple M3": 100_000_000_000,
    "Apple M3 Pro": 150_000_000_000,
    "Apple M3 Ultra": 819_000_000_000,
    "Apple M4": 120_000_000_000,
    "Apple M4 Pro": 273_000_000_000,
}
PROCESSORS = (
    *(("Apple M1", "m1"), ("Apple M2", "m2"), ("Apple M3", "m3"), ("Apple M4", "m4")),
    *(("N100", "n100"), ("N150", "n150"), ("i5-1135G7", "i5-1135g7"), ("i5-1145G7", "i5-1135g7")),
    *(("i5-9500", "i5-9500"), ("i7-8550U", "i7-8550u")),
)
"""Part of the processor's name (all of it for Apple's, whose Pro and Max are other chips) -> board of the speeds."""


def by_model(model: str, total: int) -> tuple[str, int | None]:
    """The known name (or ``""``) and bandwidth of a board, from its model string and MemTotal in bytes."""
    for board in BY_MODEL:
        if board.mark in model:
            # MemTotal is the fitted size less what firmware and kernel keep: always below it, never by half.
            fitted = next((size for size in board.sizes if size * GIB // 2 < total <= size * GIB), None)
            name = f"{board.family}-{fitted}gb" if fitted else "" if board.sizes else board.family
            return name, board.bandwidth
    return "", None


def jetson(compatible: str) -> tuple[str, int | None]:
    """The known name (or ``""``) and bandwidth of a Jetson, from the device tree's ``compatible``."""
    for part, name, bandwidth in JETSON:
        if part in compatible:
            return name, bandwidth
    return "", None


def apple(chip: str) -> int | None:
    """The bandwidth of an Apple chip, by its ``machdep.cpu.brand_string``."""
    return _APPLE.get(chip)


def speeds_like(model: str, processor: str) -> str:
    """The board of the speed table with this machine's processor, or ``""``.

    Args:
        model: the machine's model string.
        processor: the processor's name.
    """
    for part, board in PROCESSORS:
        if processor == part if part.startswith("Apple") else part in processor:
            return board
    return next((board.speeds for board in BY_MODEL if board.mark in model), "")
