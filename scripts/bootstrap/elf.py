"""What a shared library asks of the system it is loaded on: its machine, its libraries, the symbol versions it needs.

Read from the ELF file itself, so that a wheel for another processor can be checked here. Little-endian 64-bit files
only (x86-64 and aarch64); the layout is that of the System V ABI and of the LSB's symbol versioning.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MACHINES = {62: "x86_64", 183: "aarch64"}
_NEEDED, _STRTAB, _VERNEED, _VERNEEDNUM = 1, 5, 0x6FFFFFFE, 0x6FFFFFFF


class ElfError(Exception):
    """The file is no ELF file of a kind that is read here."""


@dataclass(frozen=True)
class Library:
    """One shared library: `versions` holds what it needs, such as ("libc.so.6", "GLIBC_2.34")."""

    machine: str
    needed: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]


def read(data: bytes) -> Library:
    """Read the dynamic section of a shared library.

    Raises:
        ElfError: not a little-endian 64-bit ELF file for a known machine, or cut short.
    """
    try:
        return _read(data)
    except (struct.error, IndexError, ValueError) as error:
        raise ElfError(f"damaged: {error}") from error


def _read(data: bytes) -> Library:
    if data[:6] != b"\x7fELF\x02\x01":
        raise ElfError("no little-endian 64-bit ELF file")
    (machine,) = struct.unpack_from("<H", data, 18)
    if machine not in MACHINES:
        raise ElfError(f"machine {machine} is neither x86-64 nor aarch64")
    (header_at,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    segments = [struct.unpack_from("<IIQQQQ", data, header_at + size * index) for index in range(count)]

    def place(address: int) -> int:
        """The offset in the file of a virtual address."""
        for kind, _flags, offset, start, _physical, length in segments:
            if kind == 1 and start <= address < start + length:  # PT_LOAD
                return int(address - start + offset)
        raise ElfError(f"address {address:#x} lies in no segment")

    dynamic: list[tuple[int, int]] = []
    for kind, _flags, offset, _start, _physical, length in segments:
        if kind == 2:  # PT_DYNAMIC
            dynamic = [struct.unpack_from("<qQ", data, at) for at in range(offset, offset + length, 16)]
    first = dict(reversed(dynamic))
    if _STRTAB not in first:
        raise ElfError("no dynamic section: not a shared library")
    strings = place(first[_STRTAB])

    def text(offset: int) -> str:
        start = strings + offset
        return data[start : data.index(b"\0", start)].decode("ascii")

    versions = []
    at = place(first[_VERNEED]) if _VERNEED in first else 0
    for _ in range(first.get(_VERNEEDNUM, 0)):
        _version, entries, name, entry_at, next_at = struct.unpack_from("<HHIII", data, at)
        entry = at + entry_at
        for _ in range(entries):
            _hash, _flags, _other, wanted, following = struct.unpack_from("<IHHII", data, entry)
            versions.append((text(name), text(wanted)))
            entry += following
        at += next_at
    return Library(MACHINES[machine], tuple(text(value) for tag, value in dynamic if tag == _NEEDED), tuple(versions))
