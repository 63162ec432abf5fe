"""Chips of the kernel's hardware monitoring class, and the readable channels of each.

Format: the kernel's Documentation/hwmon/sysfs-interface.rst.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.board.source import Source

_ROOT = "sys/class/hwmon"


@dataclass(frozen=True, slots=True)
class Chip:
    """One monitoring chip."""

    name: str
    """Its driver's name: ``coretemp``, ``ina3221``, ``rpi_volt``, …"""
    directory: str
    """Its directory, relative to the root."""

    def channels(self, source: Source, kind: str, suffix: str = "input") -> Iterator[tuple[str, int]]:
        """Numbers and values of every readable channel of a kind (``temp``, ``power``, ``fan``, ``in``)."""
        pattern = re.compile(rf"{kind}(\d+)_{suffix}")
        for file in source.names(self.directory):
            if (found := pattern.fullmatch(file)) and (value := source.integer(f"{self.directory}/{file}")) is not None:
                yield found[1], value


def chips(source: Source) -> list[Chip]:
    """Every chip that has a name. Old kernels have the files one directory further down, in ``device``."""
    found = []
    for entry in source.names(_ROOT):
        for directory in (f"{_ROOT}/{entry}", f"{_ROOT}/{entry}/device"):
            if name := source.text(f"{directory}/name"):
                found.append(Chip(name, directory))
                break
    return found
