"""What this machine offers a build: compilers, memory for how many jobs, a CUDA toolkit and a GPU to use it on.

Facts are read here and nowhere else; the decisions (`jobs`, `decide_cuda`) are pure. It knows nothing of llama.cpp
or pip.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 1 << 20

# Measured on x86-64, GCC 12, -O3: the largest unit takes 524 MB (clip.cpp, image input only), the next 458 MB.
JOB_BYTES = 640 * MIB
# A guess, not a measurement: units of the CUDA backend run nvcc's front end and ptxas beside the host compiler.
CUDA_JOB_BYTES = 1536 * MIB
SPARED_BYTES = 256 * MIB


def jobs(cores: int, available_bytes: int, per_job_bytes: int) -> int:
    """How many compilers may run at once: one per core, as many as free memory holds, never none."""
    return max(1, min(cores, (available_bytes - SPARED_BYTES) // per_job_bytes))


def cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_bytes(root: Path = Path("/")) -> int:
    """Memory that can be had without swapping: MemAvailable, or less where a cgroup of ours allows less."""
    meminfo = root / "proc/meminfo"
    if not meminfo.exists():  # macOS: half of what is built in, since nothing there says what is available
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)
    if found is None:
        return SPARED_BYTES
    return min([int(found[1]) * 1024, *_cgroup_rooms(root)])


def _cgroup_rooms(root: Path) -> list[int]:
    """The memory left under each limit above this process, cgroup v2 or v1. Page cache counts as free."""
    rooms = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, limit, usage, cache = root / "sys/fs/cgroup", "memory.max", "memory.current", "file"
        elif "memory" in controllers.split(","):
            base, limit, usage = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_cache"
        else:
            continue
        inner = base / path.lstrip("/")
        for group in (inner, *inner.parents):
            if not group.is_relative_to(base):
                break
            ceiling, used = _text(group / limit).strip(), _text(group / usage).strip()
            if ceiling.isdigit() and used.isdigit():
                kept = re.search(rf"^{cache} (\d+)$", _text(group / "memory.stat"), re.MULTILINE)
                rooms.append(int(ceiling) - int(used) + (int(kept[1]) if kept else 0))
    return rooms


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU as far as a build cares: usable, or seen without a driver; `evidence` says by what."""

    usable: bool
    evidence: str
    architecture: str = ""
    """A Jetson's compute capability as CMake writes it (``87``); "" for a card, whose driver is asked."""


# NVIDIA's table of compute capabilities (developer.nvidia.com/cuda-gpus), for the Jetsons that CUDA 11 and newer serve.
TEGRA = {"nvidia,tegra194": "72", "nvidia,tegra234": "87", "nvidia,tegra264": "110"}


def find_gpu(root: Path = Path("/")) -> Gpu | None:
    """The NVIDIA GPU of this machine, from device nodes (desktop, Jetson, WSL) and the PCI bus."""
    chips = _text(root / "proc/device-tree/compatible").split("\0")
    if jetson := next((TEGRA[chip] for chip in chips if chip in TEGRA), None):
        # Neither node is there in a container that was started without --runtime nvidia.
        usable = any((root / node).exists() for node in ("dev/nvmap", "dev/nvhost-gpu", "dev/nvgpu", "dev/nvidiactl"))
        return Gpu(usable, "/proc/device-tree/compatible", jetson)
    for node in ("dev/nvidiactl", "dev/nvhost-gpu", "dev/nvgpu", "proc/driver/nvidia/version"):
        if (root / node).exists():
            return Gpu(True, f"/{node}")
    if (root / "dev/dxg").exists() and (root / "usr/lib/wsl/lib/libcuda.so.1").exists():
        return Gpu(True, "/usr/lib/wsl/lib/libcuda.so.1")
    for device in sorted((root / "sys/bus/pci/devices").glob("*")):
        # PCI vendor 10de is NVIDIA; class 03 is a display controller (a card's sound function is 04).
        if _text(device / "vendor").strip() == "0x10de" and _text(device / "class").startswith("0x03"):
            return Gpu(False, f"PCI device {device.name}")
    return None


def find_nvcc(environ: Mapping[str, str], root: Path = Path("/")) -> Path | None:
    """The CUDA compiler, also where it is not on PATH: CUDACXX, CUDA_HOME, CUDA_PATH, /usr/local/cuda*, /opt/cuda."""
    named = [Path(environ[name]) for name in ("CUDACXX",) if environ.get(name)]
    named += [Path(environ[name], "bin/nvcc") for name in ("CUDA_HOME", "CUDA_PATH") if environ.get(name)]
    if on_path := shutil.which("nvcc", path=environ.get("PATH", "")):
        named.append(Path(on_path))
    local = root / "usr/local"
    versions = sorted(local.glob("cuda-*"), key=lambda folder: [int(n) for n in re.findall(r"\d+", folder.name)])
    for folder in (local / "cuda", *reversed(versions), root / "opt/cuda", root / "usr/lib/nvidia-cuda-toolkit"):
        named.append(folder / "bin/nvcc")
    return next((path for path in named if os.access(path, os.X_OK) and path.is_file()), None)


@dataclass(frozen=True)
class Cuda:
    """Whether to build for CUDA, with which compiler, and the reason in one plain sentence."""

    nvcc: Path | None
    reason: str
    warning: bool = False


class CudaMissingError(Exception):
    """CUDA was demanded, or its GPU is most of the machine, and it cannot be built for here."""


def decide_cuda(wanted: str, gpu: Gpu | None, nvcc: Path | None) -> Cuda:
    """Decide about CUDA from what was asked (`auto`, `1`, `0`) and what is there.

    Raises:
        CudaMissingError: there is no CUDA compiler, and `1` was asked for, or this is a Jetson, whose GPU is what it
            was bought for.
    """
    if wanted == "0":
        return Cuda(None, "CPU only, as EDGECHAT_CUDA=0 asks.")
    if wanted == "1":
        if nvcc is None:
            raise CudaMissingError(f"EDGECHAT_CUDA=1, but no CUDA compiler (nvcc) was found. {_GET_NVCC}")
        return Cuda(nvcc, f"for CUDA with {nvcc}, as EDGECHAT_CUDA=1 asks.")
    if gpu is None:
        if nvcc is None:
            return Cuda(None, "CPU only: this machine has no NVIDIA GPU.")
        return Cuda(None, f"CPU only: {nvcc} is here, but no NVIDIA GPU. EDGECHAT_CUDA=1 builds for CUDA all the same.")
    if gpu.architecture and not gpu.usable:
        raise CudaMissingError(
            "This is a Jetson, but its GPU cannot be reached from here (no /dev/nvmap). In a container, start it with "
            f"`--runtime nvidia`. {_CPU_ALONE}"
        )
    if gpu.architecture and nvcc is None:
        raise CudaMissingError(
            "This is a Jetson, but CUDA's compiler was not found, neither on PATH nor at /usr/local/cuda/bin/nvcc: its "
            f"GPU would stay unused. Install it with `sudo apt-get install nvidia-jetpack`. {_CPU_ALONE}"
        )
    if not gpu.usable:
        reason = f"CPU only: an NVIDIA GPU is built in ({gpu.evidence}), but its driver is not loaded."
        return Cuda(None, f"{reason} Install the driver, then run ./scripts/setup again.", warning=True)
    if nvcc is None:
        reason = f"CPU only: the NVIDIA GPU ({gpu.evidence}) stays unused, since no CUDA compiler (nvcc) was found."
        return Cuda(None, f"{reason} {_GET_NVCC}", warning=True)
    return Cuda(nvcc, f"for CUDA: NVIDIA GPU ({gpu.evidence}) and {nvcc}. EDGECHAT_CUDA=0 builds for the CPU alone.")


_CPU_ALONE = "For the CPU alone, run: EDGECHAT_CUDA=0 ./scripts/setup"
_GET_NVCC = (
    "Install it (Jetson: `sudo apt-get install nvidia-jetpack`; Debian and Ubuntu: `sudo apt-get install "
    "nvidia-cuda-toolkit`; "
    "Fedora: cuda-toolkit from NVIDIA's repository; Arch: `sudo pacman -S cuda`), then run ./scripts/setup again."
)


def native_code(environ: Mapping[str, str]) -> str:
    """All that the compiler predefines when it builds for this very processor: its version and the instruction set.

    Two machines that agree here can share a build; empty when there is no compiler. The flag is -march on x86 and
    -mcpu on ARM, where Clang knows only the latter.
    """
    compiler = shutil.which(environ.get("CXX", "c++").split()[0], path=environ.get("PATH", ""))
    if compiler is None:
        return ""
    for flag in ("-march=native", "-mcpu=native"):
        # The C locale, so that nothing but the compiler and the processor shows.
        asked = subprocess.run(
            [compiler, flag, "-dM", "-E", "-x", "c++", os.devnull],
            capture_output=True, text=True, env={**environ, "LC_ALL": "C"}, check=False,
        )  # fmt: skip
        if asked.returncode == 0:
            return f"{platform.machine()} {compiler}\n" + "\n".join(sorted(asked.stdout.splitlines()))
    return f"{platform.machine()} {compiler}"


def cmake_version(environ: Mapping[str, str]) -> tuple[int, int]:
    """The version of the cmake on PATH; (0, 0) without one."""
    cmake = shutil.which("cmake", path=environ.get("PATH", ""))
    said = subprocess.run([cmake, "--version"], capture_output=True, text=True, check=False).stdout if cmake else ""
    found = re.search(r"cmake version (\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
