"""Which kernels llama.cpp was built with, and which of those that this machine could run are missing.

The library reports on itself in a child process (``native/report.py``), because one that was built for another
processor ends its process. ``edgechat doctor`` says what a missing kernel means and how to get it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from edgechat.engine.child.environment import native_environment
from edgechat.engine.child.interpreter import WORKING_DIRECTORY, python_command
from edgechat.engine.child.run import last_line, signal_name
from edgechat.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgechat.board.board import Accelerator, Cpu

_TIMEOUT_S = 120.0
"""The first start of CUDA on a Jetson compiles for a minute; nothing else takes more than a second or two."""


@dataclass(frozen=True, slots=True)
class CpuKernel:
    """One instruction set that llama.cpp has its own kernels for."""

    feature: str
    """As :class:`edgechat.board.board.Cpu` names it."""
    reported: str
    """As ``llama_print_system_info`` names it (ggml_backend_cpu_get_features in ggml-cpu.cpp)."""
    macro: str
    """What the compiler predefines when it can emit it, and what ggml-cpu.c asks for."""


CPU_KERNELS = (
    CpuKernel("ssse3", "SSSE3", "__SSSE3__"),
    CpuKernel("avx", "AVX", "__AVX__"),
    CpuKernel("avx2", "AVX2", "__AVX2__"),
    CpuKernel("fma", "FMA", "__FMA__"),
    CpuKernel("f16c", "F16C", "__F16C__"),
    CpuKernel("bmi2", "BMI2", "__BMI2__"),
    CpuKernel("avx_vnni", "AVX_VNNI", "__AVXVNNI__"),
    CpuKernel("avx512f", "AVX512", "__AVX512F__"),
    CpuKernel("avx512vbmi", "AVX512_VBMI", "__AVX512VBMI__"),
    CpuKernel("avx512_vnni", "AVX512_VNNI", "__AVX512VNNI__"),
    CpuKernel("avx512_bf16", "AVX512_BF16", "__AVX512BF16__"),
    CpuKernel("neon", "NEON", "__ARM_NEON"),
    CpuKernel("fp16", "FP16_VA", "__ARM_FEATURE_FP16_VECTOR_ARITHMETIC"),
    CpuKernel("dotprod", "DOTPROD", "__ARM_FEATURE_DOTPROD"),
    CpuKernel("i8mm", "MATMUL_INT8", "__ARM_FEATURE_MATMUL_INT8"),
    CpuKernel("sve", "SVE", "__ARM_FEATURE_SVE"),
    CpuKernel("sme", "SME", "__ARM_FEATURE_SME"),
)
_BACKENDS = {"cuda": "CUDA", "metal": "MTL"}
"""Kind of accelerator -> the name that llama.cpp's backend registers under."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device that llama.cpp sees; sizes are bytes."""

    name: str
    description: str
    type: str
    """``cpu``, ``gpu``, ``igpu``, ``accel`` or ``meta``."""
    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Build:
    """What llama.cpp says of itself."""

    features: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Backend -> what it was built with, by llama.cpp's own names."""
    backends: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    supports: Mapping[str, bool] = field(default_factory=dict)
    """``gpu_offload``, ``mmap``, ``mlock``, ``rpc``."""
    vision: bool = False
    """Whether image input (mtmd) is built."""
    variant: str = ""
    """The library of the CPU backend that was chosen for this processor (``armv8.2_2``); ``""`` where there is one."""
    variants: tuple[str, ...] = ()
    """All that the build has to choose from."""
    ggml_version: str = ""
    ggml_commit: str = ""

    def has(self, feature: str) -> bool:
        """Whether the CPU backend was built with one of llama.cpp's features (``OPENMP``, ``REPACK``, ``AVX2``)."""
        return self.features.get("CPU", {}).get(feature, "0") != "0"

    def has_backend(self, kind: str) -> bool:
        """Whether a kind of accelerator (``cuda``, ``metal``) is built in."""
        return _BACKENDS[kind] in self.backends

    @property
    def has_gpu(self) -> bool:
        """Whether llama.cpp itself finds a GPU to offload to."""
        return any(device.type in {"gpu", "igpu"} for device in self.devices)

    def to_json(self) -> dict[str, Any]:
        """Plain data for output."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Kernels:
    """A build compared with a machine. Names are the board's: ``avx2``, ``dotprod``, ``cuda``."""

    in_use: tuple[str, ...]
    missing: tuple[str, ...]
    """This machine could run them, and they are not built."""
    foreign: tuple[str, ...]
    """Built for, and this machine's processor lacks them: the process would end with an illegal instruction."""


def compare(cpu: Cpu, accelerators: Sequence[Accelerator], build: Build) -> Kernels:
    """Compare a build with the machine. Where the processor's features could not be read, it is taken to have all."""
    built = {kernel.feature for kernel in CPU_KERNELS if build.has(kernel.reported)}
    here = set(cpu.features) & {kernel.feature for kernel in CPU_KERNELS} or built
    kinds = dict.fromkeys(accelerator.kind for accelerator in accelerators)
    on_gpu = [kind for kind in kinds if build.has_backend(kind)]
    order = [kernel.feature for kernel in CPU_KERNELS]
    return Kernels(
        in_use=(*(name for name in order if name in built & here), *on_gpu),
        missing=(*(name for name in order if name in here - built), *(kind for kind in kinds if kind not in on_gpu)),
        foreign=tuple(name for name in order if name in built - here),
    )


def read_build(command: Sequence[str] = ()) -> Build:
    """Ask llama.cpp for its build, in a child process.

    Raises:
        EngineError: the library is missing or broken, or its process ended; the message says how.
    """
    import subprocess  # noqa: PLC0415 - 10 ms that only callers of this function pay

    try:
        done = subprocess.run(
            [*command] or python_command("edgechat.engine.native.report"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
            cwd=WORKING_DIRECTORY,
            env=native_environment(),
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"llama.cpp did not report within {_TIMEOUT_S:.0f} s.", cause="load") from error
    if done.returncode < 0:
        raise EngineError(f"llama.cpp was killed by {signal_name(-done.returncode)}.", cause="signal")
    if done.returncode:
        reason = last_line(done.stderr.decode("utf-8", "replace")) or f"exit status {done.returncode}"
        raise EngineError(f"llama.cpp does not work: {reason}", cause="load")
    try:
        return parse(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError("llama.cpp's report cannot be read.", cause="load") from error


def parse(report: Mapping[str, Any]) -> Build:
    """Read the report of ``edgechat.engine.native.report``.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it has another form.
    """
    return Build(
        features=parse_system_info(str(report["system_info"])),
        backends=tuple(map(str, report["backends"])),
        devices=tuple(Device(**device) for device in report["devices"]),
        supports={str(name): bool(value) for name, value in report["supports"].items()},
        vision=bool(report["vision"]),
        variant=str(report["variant"]),
        variants=tuple(map(str, report["variants"])),
        ggml_version=str(report["ggml_version"]),
        ggml_commit=str(report["ggml_commit"]),
    )


def parse_system_info(text: str) -> dict[str, dict[str, str]]:
    """Read ``CPU : AVX2 = 1 | OPENMP = 1 | CUDA : ARCHS = 870 | `` into features by backend.

    The form is ``llama_print_system_info``'s in llama.cpp: a backend's name opens its first entry only.
    """
    backends: dict[str, dict[str, str]] = {}
    features: dict[str, str] = {}
    for entry in text.split(" | "):
        backend, opens, rest = entry.partition(" : ")
        if opens:
            features = backends.setdefault(backend.strip(), {})
        name, equals, value = (rest if opens else entry).partition(" = ")
        if equals:
            features[name.strip()] = value.strip()
    return backends
