"""Wear of SD cards and eMMC, where the device reports it: eMMC does, most SD cards do not.

Format: JEDEC eMMC 5.0's DEVICE_LIFE_TIME_EST and PRE_EOL_INFO, as the kernel's mmc driver shows them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgechat.board.source import Source

_RESERVE = {1: "normal", 2: "warning", 3: "urgent"}
"""PRE_EOL_INFO: how much of the spare blocks is used; ``warning`` is 80 %, ``urgent`` 90 %."""


@dataclass(frozen=True, slots=True)
class Wear:
    """One flash device."""

    device: str
    kind: str
    """``SD`` or ``MMC`` (soldered)."""
    name: str = ""
    used_percent: int | None = None
    """Life used, in steps of ten, rounded up; 110 is beyond its estimate. None where the device does not report it."""
    reserve: str = ""
    """``normal``, ``warning`` or ``urgent``; ``""`` where the device does not report it."""

    @property
    def is_worn(self) -> bool:
        """Whether it should be replaced soon."""
        return (self.used_percent or 0) >= 90 or self.reserve in {"warning", "urgent"}


def read_wear(source: Source) -> tuple[Wear, ...]:
    """Every SD card and eMMC."""
    found = []
    for device in source.names("sys/block"):
        if not re.fullmatch(r"mmcblk\d+", device):
            continue
        directory = f"sys/block/{device}/device"
        kind = source.text(f"{directory}/type")
        if not kind:
            continue
        # Two estimates, for the SLC and the MLC part; 0 is undefined, 1 is 0 to 10 % used, 11 beyond the estimate.
        steps = [
            int(word, 16) for word in re.findall(r"0x([0-9a-fA-F]{1,2})", source.text(f"{directory}/life_time") or "")
        ]
        worst = max(steps, default=0)
        reserve = re.fullmatch(r"0x([0-9a-fA-F]{1,2})", source.text(f"{directory}/pre_eol_info") or "")
        found.append(
            Wear(
                device,
                kind,
                source.text(f"{directory}/name") or "",
                10 * worst if 0 < worst <= 11 else None,
                _RESERVE.get(int(reserve[1], 16), "") if reserve else "",
            )
        )
    return tuple(found)
