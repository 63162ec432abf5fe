"""Findings about swap: whether it is on an SD card."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from edgechat.doctor.finding import Finding, advice, ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.board.source import Source

_MMC_MAJOR = "179"  # block devices of the MMC/SD host, Documentation/admin-guide/devices.txt


def findings(source: Source) -> list[Finding]:
    """Swap on an SD card, which is slow and wears the card out."""
    areas = list(_swap_areas(source))
    found = [_on_card(area, source) for area in areas if _is_on_sd_card(area, source)]
    if found:
        return found
    return [ok("swap", "No swap is on an SD card." if areas else "There is no swap on a disk.")]


def _on_card(area: str, source: Source) -> Finding:
    message = f"Swap is on the SD card ({area}): when memory is short, everything stalls, and the card wears out."
    if source.exists("etc/dphys-swapfile"):
        command = "sudo systemctl disable --now dphys-swapfile"
    else:
        command = f"sudo swapoff {shlex.quote(area)} && sudo sed -i '/\\sswap\\s/s/^/#/' /etc/fstab"
    return advice("swap", message, command)


def _swap_areas(source: Source) -> Iterator[str]:
    """Paths in ``/proc/swaps`` (proc_swaps(5)), without compressed memory (zram)."""
    for line in (source.text("proc/swaps") or "").splitlines()[1:]:
        words = line.split()
        if words and not re.match(r"/dev/zram\d", words[0]):
            yield words[0].replace("\\040", " ")


def _is_on_sd_card(area: str, source: Source) -> bool:
    device = area.removeprefix("/dev/") if area.startswith("/dev/") else _device_below(area, source)
    disk = re.match(r"mmcblk\d+", device)
    # eMMC has the same device name, but endures swap.
    return disk is not None and source.text(f"sys/block/{disk[0]}/device/type") == "SD"


def _device_below(file: str, source: Source) -> str:
    """The block device of a file, from ``/proc/self/mountinfo``; ``""`` when unknown."""
    best, device = "", ""
    for line in (source.text("proc/self/mountinfo") or "").splitlines():
        words = line.split()
        if len(words) < 5:
            continue
        point = words[4].replace("\\040", " ")
        if len(point) >= len(best) and (file + "/").startswith(point.rstrip("/") + "/"):
            best, device = point, words[2]
    if not device.startswith(f"{_MMC_MAJOR}:") and not device.startswith("259:"):
        return ""
    uevent = source.text(f"sys/dev/block/{device}/uevent") or ""
    return next((line.removeprefix("DEVNAME=") for line in uevent.splitlines() if line.startswith("DEVNAME=")), "")
