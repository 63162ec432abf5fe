"""The power mode of a Jetson (``nvpmodel``), which decides its clocks and so its speed.

Read from nvpmodel's files, not from the program, which may ask for root.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgechat.board.source import Source


def read_mode_number(source: Source) -> int | None:
    """The number of the mode in force, or None without nvpmodel."""
    status = re.search(r"pmode:(\d+)", source.text("var/lib/nvpmodel/status") or "")
    return int(status[1]) if status else None


def read_mode_names(source: Source) -> dict[int, str]:
    """Numbers and names in ``nvpmodel.conf``: ``< POWER_MODEL ID=1 NAME=25W >``."""
    return parse_power_modes(source.text("etc/nvpmodel.conf") or "")


def parse_power_modes(text: str) -> dict[int, str]:
    """Numbers and names of the modes in the text of an ``nvpmodel.conf``."""
    return {int(number): name for number, name in re.findall(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", text)}


def power_mode(source: Source) -> str:
    """The mode in force as ``15W`` or ``MAXN``, without affixes (``MAXN_SUPER``, ``MODE_15W``); ``""`` if unknown."""
    number = read_mode_number(source)
    name = read_mode_names(source).get(number, "") if number is not None else ""
    if "MAXN" in name:
        return "MAXN"
    watts = re.search(r"\d+W", name)
    return watts[0] if watts else ""
