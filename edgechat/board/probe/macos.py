"""The probe on macOS, which has no /proc: facts from ``sysctl``, and the memory's size from psutil.

Apple silicon's GPU shares the RAM. Intel Macs get no accelerator: llama.cpp's Metal backend is not made for their GPUs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.board.board import Accelerator, Board, Cpu, Memory
from edgechat.board.probe import recognised_boards

if TYPE_CHECKING:
    from edgechat.board.source import Source

_NAMES = (
    *("hw.model", "hw.memsize", "hw.physicalcpu", "hw.logicalcpu", "hw.perflevel0.physicalcpu", "iogpu.wired_limit_mb"),
    *("machdep.cpu.brand_string", "machdep.cpu.features", "machdep.cpu.leaf7_features"),
    *("kern.osproductversion", "kern.bootsessionuuid", "hw.optional.neon", "hw.optional.AdvSIMD"),
    *("hw.optional.arm.FEAT_FP16", "hw.optional.arm.FEAT_DotProd", "hw.optional.arm.FEAT_I8MM"),
    *("hw.optional.arm.FEAT_BF16", "hw.optional.arm.FEAT_SME", "hw.optional.neon_fp16"),
)
_ARM_FEATURES = {
    "hw.optional.neon": "neon",
    "hw.optional.AdvSIMD": "neon",
    "hw.optional.neon_fp16": "fp16",
    "hw.optional.arm.FEAT_FP16": "fp16",
    "hw.optional.arm.FEAT_DotProd": "dotprod",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_SME": "sme",
}
_X86_FEATURES = {"SSSE3": "ssse3", "AVX1.0": "avx", "AVX2": "avx2", "FMA": "fma", "F16C": "f16c", "BMI2": "bmi2"}
# Metal's recommendedMaxWorkingSetSize where iogpu.wired_limit_mb is 0, as llama.cpp prints it on these machines:
# 11453.25 MB of 16 GiB (two thirds), 28991.03 MB of 36 GiB and 51539.61 MB of 64 GiB (three quarters).
_THREE_QUARTERS_FROM = 36 * recognised_boards.GIB


def parse_sysctl(text: str) -> dict[str, str]:
    """Parse lines of the form ``name: value``."""
    return {name.strip(): value.strip() for name, colon, value in map(_split, text.splitlines()) if colon}


def probe_macos(source: Source) -> Board:
    """Probe a Mac."""
    notes: list[str] = []
    _, release, machine = source.uname()
    facts = parse_sysctl(source.command("sysctl", *_NAMES) or "")
    if not facts:
        notes.append("sysctl printed nothing: cores and features of this Mac are unknown.")
    chip = facts.get("machdep.cpu.brand_string", "")
    memory = _memory(source, chip, notes)
    cores = _integer(facts, "hw.physicalcpu") or 1
    cpu = Cpu(
        arch=machine,
        model=chip,
        n_cores=cores,
        n_threads=_integer(facts, "hw.logicalcpu") or cores,
        n_big_cores=min(_integer(facts, "hw.perflevel0.physicalcpu") or cores, cores),
        features=_features(facts),
    )
    accelerators = (_metal(facts, chip, memory),) if machine == "arm64" else ()
    version = facts.get("kern.osproductversion", "")
    return Board(
        name=facts.get("hw.model", "") or "mac",
        kind="mac",
        os=f"macOS {version}".rstrip(),
        kernel=release,
        cpu=cpu,
        memory=memory,
        accelerators=accelerators,
        boot_id=facts.get("kern.bootsessionuuid", ""),
        notes=tuple(notes),
        model=facts.get("hw.model", ""),
    )


def available_memory(source: Source) -> int:
    """Bytes of RAM that are available now."""
    return _ram(source)[1]


def _memory(source: Source, chip: str, notes: list[str]) -> Memory:
    bandwidth = recognised_boards.apple(chip)
    total, available, swap = _ram(source)
    if total == 0:
        notes.append("The size of this Mac's memory cannot be read.")
    return Memory(
        total=total,
        available=available,
        cgroup_supported=False,
        swap_total=swap,
        bandwidth=bandwidth,
        bandwidth_source="datasheet" if bandwidth else "",
    )


def _ram(source: Source) -> tuple[int, int, int]:
    """Bytes in all, bytes available, and bytes of swap."""
    if source.live:
        # Free and inactive pages come from a Mach call that no file or sysctl gives; Linux never gets here.
        import psutil  # noqa: PLC0415

        ram = psutil.virtual_memory()
        return int(ram.total), int(ram.available), int(psutil.swap_memory().total)
    recorded = parse_sysctl(source.text("commands/psutil") or "")
    return _integer(recorded, "total"), _integer(recorded, "available"), _integer(recorded, "swap_total")


def _metal(facts: dict[str, str], chip: str, memory: Memory) -> Accelerator:
    limit = _integer(facts, "iogpu.wired_limit_mb") << 20
    if not limit:
        limit = memory.total * 3 // 4 if memory.total >= _THREE_QUARTERS_FROM else memory.total * 2 // 3
    return Accelerator(
        kind="metal",
        name=chip,
        total=limit,
        free=min(limit, memory.available),
        unified=True,
        bandwidth=memory.bandwidth,
    )


def _features(facts: dict[str, str]) -> tuple[str, ...]:
    names = {feature for name, feature in _ARM_FEATURES.items() if facts.get(name) == "1"}
    words = f"{facts.get('machdep.cpu.features', '')} {facts.get('machdep.cpu.leaf7_features', '')}".split()
    names.update(feature for word, feature in _X86_FEATURES.items() if word in words)
    return tuple(sorted(names))


def _integer(facts: dict[str, str], name: str) -> int:
    value = facts.get(name, "")
    return int(value) if value.isdecimal() else 0


def _split(line: str) -> tuple[str, str, str]:
    return line.partition(":")
