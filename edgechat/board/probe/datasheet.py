"""Data sheets of known boards: their ``--board`` name and the peak bandwidth of their memory. Reads no files.

Bandwidth is transfers a second x bus width / 8. Boards that are not listed have none until ``edgechat bench`` measures
it.
"""

from __future__ import annotations

GIB = 1 << 30

# First match of a Raspberry Pi's "model" string. Memory: Raspberry Pi product briefs; sdram clocks from the config.txt
# overclocking table of Raspberry Pi's documentation.
_PI = (
    ("Raspberry Pi Zero 2", "pi-zero-2w", 3_600_000_000),  # LPDDR2-900, 32 bit
    ("Raspberry Pi 4 Model B", "pi4", 12_800_000_000),  # LPDDR4-3200, 32 bit
    ("Raspberry Pi 400", "", 12_800_000_000),
    ("Raspberry Pi Compute Module 4", "", 12_800_000_000),
    ("Raspberry Pi 500", "", 17_068_000_000),
    ("Raspberry Pi 5 Model B", "pi5", 17_068_000_000),  # LPDDR4X-4267, 32 bit
    ("Raspberry Pi Compute Module 5", "", 17_068_000_000),
)
_PI_SIZES = {"pi4": (2, 4, 8), "pi5": (4, 8, 16)}

# By module part number in the device tree's "compatible". Figures: NVIDIA's Jetson module data sheets and, for the
# "super" power configuration that JetPack 6.1 added, the Orin Nano Super developer kit's.
_JETSON = (
    ("p3767-0005-super", "orin-nano-8gb", 102_400_000_000),
    ("p3767-0003-super", "orin-nano-8gb", 102_400_000_000),
    ("p3767-0004-super", "orin-nano-4gb", 51_200_000_000),
    ("p3767-0005", "orin-nano-8gb", 68_256_000_000),  # LPDDR5-4266, 128 bit
    ("p3767-0003", "orin-nano-8gb", 68_256_000_000),
    ("p3767-0004", "orin-nano-4gb", 34_128_000_000),  # LPDDR5-4266, 64 bit
    ("p3767-0000", "orin-nx-16gb", 102_400_000_000),  # LPDDR5-6400, 128 bit
    ("p3767-0001", "", 102_400_000_000),  # Orin NX 8 GB
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


def raspberry_pi(model: str, total: int) -> tuple[str, int | None]:
    """The known name (or ``""``) and bandwidth of a Raspberry Pi, from its model string and MemTotal in bytes."""
    for prefix, family, bandwidth in _PI:
        if model.startswith(prefix):
            # MemTotal is the fitted size less what firmware and kernel keep: always below it, never by half.
            fitted = next((size for size in _PI_SIZES.get(family, ()) if size * GIB // 2 < total <= size * GIB), None)
            name = f"{family}-{fitted}gb" if fitted else "" if family in _PI_SIZES else family
            return name, bandwidth
    return "", None


def jetson(compatible: str) -> tuple[str, int | None]:
    """The known name (or ``""``) and bandwidth of a Jetson, from the device tree's ``compatible``."""
    for part, name, bandwidth in _JETSON:
        if part in compatible:
            return name, bandwidth
    return "", None


def apple(chip: str) -> int | None:
    """The bandwidth of an Apple chip, by its ``machdep.cpu.brand_string``."""
    return _APPLE.get(chip)
