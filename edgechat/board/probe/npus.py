"""Neural processing units on Linux that llama.cpp has no backend for: Hailo, Rockchip's, Google's Edge TPU, Intel's.

They run vision models in vendors' own formats. People expect them to speed up answers, so their names are reported
with the word that they stay idle. Reads device nodes, the device tree, and PCI and USB ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgechat.board.source import Source

# Systems on chip with an NPU, by the device tree's compatible string (Rockchip's RKNN toolkit lists them).
_ROCKCHIP = {
    "rockchip,rk3566": "RK3566",
    "rockchip,rk3568": "RK3568",
    "rockchip,rk3576": "RK3576",
    "rockchip,rk3588": "RK3588",
    "rockchip,rk3588s": "RK3588S",
}
# (vendor, device) of PCI, "" for any device: the PCI ID Repository.
_PCI = {
    ("0x1e60", ""): "Hailo accelerator",
    ("0x1ac1", "0x089a"): "Google Coral Edge TPU",
}
_INTEL, _NPU_CLASS = "0x8086", "0x1200"
# (idVendor, idProduct) of USB: before and after its firmware is loaded (coral.ai).
_USB = {("1a6e", "089a"): "Google Coral Edge TPU", ("18d1", "9302"): "Google Coral Edge TPU"}


def read_npus(source: Source, compatible: str) -> tuple[str, ...]:
    """The names of the NPUs of a machine, sorted; ``compatible`` are the device tree's strings."""
    found = {f"{_ROCKCHIP[chip]} NPU" for chip in compatible.split() if chip in _ROCKCHIP}
    if source.exists("dev/hailo0"):
        found.add("Hailo accelerator")
    if source.exists("dev/apex_0"):
        found.add("Google Coral Edge TPU")
    for device in source.names("sys/bus/pci/devices"):
        place = f"sys/bus/pci/devices/{device}"
        vendor, product = source.text(f"{place}/vendor") or "", source.text(f"{place}/device") or ""
        if name := _PCI.get((vendor, product)) or _PCI.get((vendor, "")):
            found.add(name)
        elif vendor == _INTEL and (source.text(f"{place}/class") or "").startswith(_NPU_CLASS):
            found.add("Intel NPU")
    for device in source.names("sys/bus/usb/devices"):
        place = f"sys/bus/usb/devices/{device}"
        ids = (source.text(f"{place}/idVendor") or "", source.text(f"{place}/idProduct") or "")
        if ids in _USB:
            found.add(_USB[ids])
    return tuple(sorted(found))
