"""The processor on Linux: the cores this process may use, which of them are big, and their SIMD features.

Reads /proc/cpuinfo, the CPU topology in /sys and this process's affinity.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgechat.board.board import Cpu

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgechat.board.source import Source

_X86_FEATURES = frozenset({
    *("ssse3", "avx", "avx2", "fma", "f16c", "bmi2", "avx_vnni"),
    *("avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"),
    *("avx512vbmi", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8"),
})  # fmt: skip
# The kernel's names for ARM features (Documentation/arch/arm64/elf_hwcaps.rst) and llama.cpp's.
_ARM_FEATURES = {
    "asimd": "neon",
    "neon": "neon",
    "asimdhp": "fp16",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "sve",
    "sve2": "sve2",
    "sme": "sme",
}
# Main ID Register parts of implementer 0x41 (Arm) and 0x4e (NVIDIA), from the cores' technical reference manuals.
_ARM_PARTS = {
    ("0x41", "0xd03"): "Cortex-A53",
    ("0x41", "0xd05"): "Cortex-A55",
    ("0x41", "0xd07"): "Cortex-A57",
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd09"): "Cortex-A73",
    ("0x41", "0xd0a"): "Cortex-A75",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd0c"): "Neoverse-N1",
    ("0x41", "0xd40"): "Neoverse-V1",
    ("0x41", "0xd41"): "Cortex-A78",
    ("0x41", "0xd42"): "Cortex-A78AE",
    ("0x41", "0xd44"): "Cortex-X1",
    ("0x41", "0xd46"): "Cortex-A510",
    ("0x41", "0xd47"): "Cortex-A710",
    ("0x41", "0xd49"): "Neoverse-N2",
    ("0x41", "0xd4b"): "Cortex-A78C",
    ("0x41", "0xd4f"): "Neoverse-V2",
    ("0x4e", "0x003"): "Denver 2",
    ("0x4e", "0x004"): "Carmel",
}
# Cores of one kind differ by a few percent in capacity (binning) or turbo clock; kinds differ by a quarter and more:
# RK3588's A55 has 0.52 of an A76's capacity, Alder Lake's E-cores 0.74 of a P-core's clock.
_SAME_KIND = 0.8
_MOST_CPUS = 1 << 16


def parse_cpu_list(text: str) -> frozenset[int]:
    """Parse a kernel CPU list (``0-3,8``); entries of another form, or beyond 65,536 CPUs, are skipped."""
    cpus: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if first.isdecimal() and (last.isdecimal() if dash else True):
            cpus.update(range(int(first), min(int(last or first), _MOST_CPUS) + 1))
    return frozenset(cpus)


def parse_cpuinfo(text: str) -> dict[int, dict[str, str]]:
    """Parse ``/proc/cpuinfo`` into one table of fields per processor number.

    A 32-bit ARM kernel may print fields of all cores once, before or after the list; they are added to each.
    """
    processors: dict[int, dict[str, str]] = {}
    shared: dict[str, str] = {}
    for block in text.split("\n\n"):
        fields = {}
        for line in block.splitlines():
            name, colon, value = line.partition(":")
            if colon:
                fields[name.strip()] = value.strip()
        number = fields.get("processor", "")
        if number.isdecimal():
            processors[int(number)] = fields
        else:
            shared.update(fields)
    return {number: {**shared, **fields} for number, fields in processors.items()}


def features(cpuinfo: Iterable[dict[str, str]]) -> tuple[str, ...]:
    """The SIMD features that every given processor has, sorted."""
    common: set[str] | None = None
    for fields in cpuinfo:
        if "flags" in fields:
            have = _X86_FEATURES.intersection(fields["flags"].split())
        else:
            words = fields.get("Features", "").split()
            have = frozenset(_ARM_FEATURES[word] for word in words if word in _ARM_FEATURES)
        common = set(have) if common is None else common & have
    return tuple(sorted(common or ()))


def model_name(cpuinfo: Iterable[dict[str, str]]) -> str:
    """The cores' names: the vendor's name on x86, ``4 x Cortex-A55 + 4 x Cortex-A76`` on ARM; ``""`` when unknown."""
    counts: dict[str, int] = {}
    for fields in cpuinfo:
        part = _ARM_PARTS.get((fields.get("CPU implementer", ""), fields.get("CPU part", "")))
        # "ARMv8 Processor rev 4 (v8l)" names no product; the part number does.
        name = part or fields.get("model name", "")
        counts[name] = counts.get(name, 0) + 1
    counts.pop("", None)
    if len(counts) == 1:
        return next(iter(counts))
    return " + ".join(f"{count} x {name}" for name, count in counts.items())


def big_cores(strength: dict[int, int]) -> frozenset[int]:
    """The cores of the fastest kind, given each core's strength (capacity, clock or type)."""
    most = max(strength.values(), default=0)
    return frozenset(cpu for cpu, value in strength.items() if value >= most * _SAME_KIND)


def read_cpu(source: Source, quota: float | None, notes: list[str]) -> Cpu:
    """Read the processor of a Linux machine.

    Args:
        source: the machine.
        quota: CPU time the cgroups allow, in cores, or None.
        notes: facts that cannot be read are added here.
    """
    _, _, arch = source.uname()
    if source.narrow and arch in {"aarch64", "x86_64"}:
        notes.append(f"This is a 32-bit system on a 64-bit {arch} kernel: a 64-bit system runs models much faster.")
        arch = {"aarch64": "armv7l", "x86_64": "i686"}[arch]
    processors = parse_cpuinfo(source.text("proc/cpuinfo") or "")
    usable = _usable_cpus(source, frozenset(processors), notes)
    cpuinfo = [processors[cpu] for cpu in sorted(usable) if cpu in processors]
    names = features(cpuinfo)
    if not names:
        notes.append("/proc/cpuinfo names no SIMD features for these cores.")
    cores = _physical_cores(source, usable, processors)
    big = len({core for cpu, core in cores.items() if cpu in big_cores(_strength(source, usable))})
    allowed = max(1, math.ceil(quota - 1e-6)) if quota is not None else len(usable)
    clocks = [_khz(source, cpu) for cpu in usable]
    return Cpu(
        arch=arch,
        model=model_name(cpuinfo),
        n_cores=min(len(set(cores.values())), allowed),
        n_threads=min(len(usable), allowed),
        n_big_cores=min(big, allowed),
        features=names,
        max_mhz=max(clocks) // 1000 or None,
        quota=quota,
    )


def _usable_cpus(source: Source, listed: frozenset[int], notes: list[str]) -> frozenset[int]:
    # Cpus_allowed is the affinity and the cpuset together, but keeps cores that are switched off (Jetson power modes).
    online = parse_cpu_list(source.text("sys/devices/system/cpu/online") or "") or listed
    allowed: frozenset[int] = frozenset()
    for line in (source.text("proc/self/status") or "").splitlines():
        if line.startswith("Cpus_allowed_list:"):
            allowed = parse_cpu_list(line.partition(":")[2])
    if not allowed:
        notes.append("/proc/self/status names no usable cores; all that are switched on are counted.")
    usable = (allowed & online) or online
    if not usable:
        notes.append("Neither /proc nor /sys lists a processor; one core is counted.")
    return usable or frozenset({0})


def _physical_cores(
    source: Source, usable: frozenset[int], processors: dict[int, dict[str, str]]
) -> dict[int, tuple[object, ...]]:
    """The physical core of each usable CPU: a key that hyper-threads of one core share."""
    cores: dict[int, tuple[object, ...]] = {}
    for cpu in usable:
        fields = processors.get(cpu, {})
        siblings = source.text(f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        if siblings:
            cores[cpu] = ("siblings", min(parse_cpu_list(siblings), default=cpu))
        elif "core id" in fields:
            cores[cpu] = ("core", fields.get("physical id", "0"), fields["core id"])
        else:
            cores[cpu] = ("cpu", cpu)
    return cores


def _strength(source: Source, usable: frozenset[int]) -> dict[int, int]:
    """The strength of each CPU, by the first measure that covers them all; equal when none does."""
    # Intel hybrids list the cores of each kind; their turbo clocks alone would mislead.
    fast = parse_cpu_list(source.text("sys/devices/cpu_core/cpus") or "")
    if fast & usable and source.exists("sys/devices/cpu_atom/cpus"):
        return {cpu: 2 if cpu in fast else 1 for cpu in usable}
    capacity = {cpu: source.integer(f"sys/devices/system/cpu/cpu{cpu}/cpu_capacity") or 0 for cpu in usable}
    if all(capacity.values()):
        return capacity
    clock = {cpu: _khz(source, cpu) for cpu in usable}
    return clock if all(clock.values()) else dict.fromkeys(usable, 1)


def _khz(source: Source, cpu: int) -> int:
    return source.integer(f"sys/devices/system/cpu/cpu{cpu}/cpufreq/cpuinfo_max_freq") or 0
