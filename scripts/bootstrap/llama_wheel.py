"""The llama-cpp-python wheel for this machine: what is built into it, and the store that saves building it twice.

A wheel is kept under .build/wheels by all that decides its contents. An interrupted build goes on where it stopped,
since source and object files keep their place until the wheel is stored. It installs nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import sys
import tarfile
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from scripts.bootstrap import build_machine, prebuilt_wheel
from scripts.bootstrap.supervised import SetupError, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

KEPT_WHEELS = 3
# The package asks for 3.21; with CUDA, CMAKE_CUDA_ARCHITECTURES=native is known from 3.24 on.
CMAKE_MINIMUM = (3, 21)
CMAKE_MINIMUM_CUDA = (3, 24)
# Vocabularies and documents: 113 of the source's 176 MB, and nothing the compiler reads.
NOT_UNPACKED = ("vendor/llama.cpp/models/", "vendor/llama.cpp/docs/")
# llama.cpp installs a second copy of each library, its headers and CMake files outside the package. Nothing loads them.
NOT_PACKED = ("/lib/**", "/include/**", "/bin/**")


@dataclass(frozen=True)
class Settings:
    """What a person may choose about the build. A choice holds until another one is made."""

    vision: bool = False
    cuda: str = "auto"
    cmake_args: str = ""
    wheels: str = ""
    """``none``: build here even where a wheel lies ready. A folder is named for one run, and its wheel kept."""

    @classmethod
    def choose(cls, environ: Mapping[str, str], before: Settings) -> Settings:
        """The settings in force: what the environment names, and for the rest what was chosen before.

        Raises:
            SetupError: a variable has a value that means nothing.
        """
        vision = environ.get("EDGECHAT_VISION", "1" if before.vision else "0")
        cuda = environ.get("EDGECHAT_CUDA", before.cuda)
        if vision not in ("0", "1"):
            raise SetupError(f"EDGECHAT_VISION={vision}: use 1 to build image input, 0 to leave it out.", 2)
        if cuda not in ("0", "1", "auto"):
            raise SetupError(
                f"EDGECHAT_CUDA={cuda}: use 1 to demand CUDA, 0 to leave it out, auto to see what is here.", 2
            )
        named = environ.get("EDGECHAT_WHEELS", before.wheels)
        wheels = named if named == prebuilt_wheel.NONE else ""
        return cls(vision == "1", cuda, environ.get("CMAKE_ARGS", before.cmake_args), wheels)

    @classmethod
    def load(cls, file: Path) -> Settings:
        """The settings of the last build that came through; the defaults before the first."""
        if not file.exists():
            return cls()
        return cls(**json.loads(file.read_text(encoding="utf-8")))

    def save(self, file: Path) -> None:
        """Remember these settings, all or nothing."""
        draft = file.with_suffix(".new")
        draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
        draft.replace(file)


@dataclass(frozen=True)
class Recipe:
    """One wheel to be: the version, CMake's arguments, and everything else that makes it this wheel."""

    version: str
    cmake_args: tuple[str, ...]
    cuda: build_machine.Cuda
    key: str
    not_packed: tuple[str, ...] = ()


def recipe(root: Path, version: str, settings: Settings, environ: Mapping[str, str]) -> Recipe:
    """Decide what to build here.

    Raises:
        SetupError: CUDA was demanded and there is no compiler for it.
    """
    gpu = build_machine.find_gpu()
    try:
        cuda = build_machine.decide_cuda(settings.cuda, gpu, build_machine.find_nvcc(environ))
    except build_machine.CudaMissingError as error:
        raise SetupError(str(error)) from error
    native_code = build_machine.native_code(environ)
    has_amx = "__AMX_TILE__" in native_code
    args = cmake_arguments(settings, cuda, gpu=gpu, has_amx=has_amx)
    made_of = {
        "version": version,
        "args": args,
        "include": (root / "scripts/bootstrap/llama-build.cmake").read_text(encoding="utf-8"),
        "packing": NOT_PACKED,
        "native": native_code,
        "nvcc": str(cuda.nvcc and os.path.realpath(cuda.nvcc)),
        "flags": {name: environ.get(name, "") for name in ("CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "CUDAFLAGS")},
        "system": [sys.platform, sys.implementation.name],
    }
    key = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]
    include = f"-DCMAKE_PROJECT_llama.cpp_INCLUDE={root / 'scripts/bootstrap/llama-build.cmake'}"
    return Recipe(version, (include, *args), cuda, key)


def cmake_arguments(
    settings: Settings, cuda: build_machine.Cuda, *, gpu: build_machine.Gpu | None, has_amx: bool = False
) -> list[str]:
    """CMake's arguments; the user's own come last, so that they win."""
    args = [
        f"-DLLAVA_BUILD={'ON' if settings.vision else 'OFF'}",
        "-DGGML_NATIVE=ON",
        # ggml's own thread pool: as fast alone, and far better beside another busy process.
        "-DGGML_OPENMP=OFF",
        # A wheel holds no symbolic links: with versioned names it would hold every library three times.
        "-DCMAKE_PLATFORM_NO_VERSIONED_SONAME=ON",
    ]
    if has_amx:
        # llama.cpp's AMX kernels end the process with SIGILL (tilezero) as soon as weights are repacked for them. In a
        # native build the compiler's __AMX_INT8__ enables them, whatever GGML_AMX_INT8 says; without, AVX-512 is used.
        flags = "-O3 -DNDEBUG -mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
        args += [f"-DCMAKE_C_FLAGS_RELEASE={flags}", f"-DCMAKE_CXX_FLAGS_RELEASE={flags}"]
    if cuda.nvcc is not None:
        # NCCL serves several GPUs in one machine, which no board has; it would be one more library to find at run time.
        args += ["-DGGML_CUDA=ON", f"-DCMAKE_CUDA_COMPILER={cuda.nvcc}", "-DGGML_CUDA_NCCL=OFF"]
        if gpu is not None and gpu.architecture:
            args.append(f"-DCMAKE_CUDA_ARCHITECTURES={gpu.architecture}")
            # Jetson's unified memory: published experience is that CUDA's virtual memory pool fails there with
            # NvMap's error 12 where plain allocations succeed.
            args.append("-DGGML_CUDA_NO_VMM=ON")
        else:
            # Without a GPU to ask, llama.cpp's own default would fall back to whatever nvcc takes for its oldest.
            has_gpu = gpu is not None and gpu.usable
            args.append(f"-DCMAKE_CUDA_ARCHITECTURES={'native' if has_gpu else 'all-major'}")
    return args + shlex.split(settings.cmake_args)


class WheelStore:
    """The wheels built so far, and the way to one more. `pip` is a Python that has pip."""

    def __init__(self, root: Path, pip: Path, environ: Mapping[str, str]) -> None:
        self._root = root
        self._build = root / ".build"
        self._pip = pip
        self._environ = environ

    def find(self, wanted: Recipe) -> Path | None:
        """The stored wheel of this recipe, if there is one."""
        return next(iter(sorted((self._build / "wheels" / wanted.key).glob("*.whl"))), None)

    def build(self, wanted: Recipe, adapt: Callable[[Path], None] | None = None) -> Path:
        """Build and store the wheel, or go on with a build that was interrupted. `adapt` may change the source first.

        Raises:
            SetupError: a download or the compiler failed; the message carries the end of the log.
        """
        tools = self._tools(wanted)
        place = self._build / "llama" / wanted.key
        source = self._source(wanted, tools, place)
        if adapt is not None:
            adapt(source)
        per_job = build_machine.CUDA_JOB_BYTES if wanted.cuda.nvcc else build_machine.JOB_BYTES
        count = build_machine.jobs(build_machine.cores(), build_machine.available_bytes(), per_job)
        environ = {**self._tool_environ(tools), "CMAKE_ARGS": shlex.join(wanted.cmake_args)}
        environ.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(count))
        environ["SKBUILD_BUILD_DIR"] = str(place / "objects")
        environ["SKBUILD_WHEEL_EXCLUDE"] = ";".join([*NOT_PACKED, *wanted.not_packed])
        out = place / "out"
        shutil.rmtree(out, ignore_errors=True)
        run(
            f"Compiling llama.cpp ({environ['CMAKE_BUILD_PARALLEL_LEVEL']} at once)",
            [*self._pip_for(tools), "wheel", "--verbose", "--no-deps", "--no-build-isolation",
             "--wheel-dir", str(out), str(source)],
            log=self._build / "log/llama-build.log", env=environ, cwd=place,
        )  # fmt: skip
        (out / "cmake-args.txt").write_text("\n".join(wanted.cmake_args) + "\n", encoding="utf-8")
        stored = self._build / "wheels" / wanted.key
        stored.parent.mkdir(exist_ok=True)
        shutil.rmtree(stored, ignore_errors=True)
        os.sync()
        out.rename(stored)
        shutil.rmtree(self._build / "llama", ignore_errors=True)
        self._prune()
        return next(stored.glob("*.whl"))

    def _source(self, wanted: Recipe, tools: Path, place: Path) -> Path:
        """The unpacked source, from the package index on the first try."""
        source = place / "source"
        if source.exists():
            return source
        for other in (self._build / "llama").glob("*"):
            if other != place:
                shutil.rmtree(other)
        fetched = place / "fetched"
        run(
            "Downloading llama.cpp's source",
            [*self._pip_for(tools), "download", "--no-deps", "--no-build-isolation", "--progress-bar", "raw",
             "--dest", str(fetched), "--no-binary", "llama-cpp-python", f"llama-cpp-python=={wanted.version}"],
            log=self._build / "log/llama-source.log", env=self._tool_environ(tools), cwd=self._build,
        )  # fmt: skip
        draft = place / "unpacked"
        shutil.rmtree(draft, ignore_errors=True)
        with tarfile.open(next(fetched.glob("*.tar.gz"))) as archive:
            wanted_members = [m for m in archive.getmembers() if not m.name.partition("/")[2].startswith(NOT_UNPACKED)]
            if hasattr(tarfile, "data_filter"):  # 3.10.12 and 3.11.4 brought it; pip has checked the archive's hash
                archive.extractall(draft, wanted_members, filter="data")
            else:
                archive.extractall(draft, wanted_members)
        next(draft.iterdir()).rename(source)
        shutil.rmtree(fetched)
        return source

    def _tools(self, wanted: Recipe) -> Path:
        """A small environment with the build backend, and with cmake and ninja if the system has none that will do."""
        minimum = CMAKE_MINIMUM_CUDA if wanted.cuda.nvcc else CMAKE_MINIMUM
        needed = ["scikit-build-core[pyproject]"]
        if build_machine.cmake_version(self._environ) < minimum:
            needed.append("cmake")
        if not (shutil.which("ninja") or shutil.which("ninja-build")):
            needed.append("ninja")
        tools, stamp = self._build / "tools", self._build / "tools/ready"
        constraints = self._root / "constraints.txt"
        key = json.dumps([needed, str(tools), sys.version, hashlib.sha256(constraints.read_bytes()).hexdigest()])
        if stamp.exists() and stamp.read_text(encoding="utf-8") == key:
            return tools
        shutil.rmtree(tools, ignore_errors=True)
        log = self._build / "log/tools.log"
        run(
            "Preparing the build tools",
            [sys.executable, "-m", "venv", "--without-pip", str(tools)],
            log=log, env=self._environ, cwd=self._root,
        )  # fmt: skip
        run(
            f"Installing {', '.join(needed)}",
            [*self._pip_for(tools), "install", "--progress-bar", "raw", "--constraint", str(constraints), *needed],
            log=log, env=self._environ, cwd=self._root,
        )  # fmt: skip
        os.sync()
        stamp.write_text(key, encoding="utf-8")
        return tools

    def _pip_for(self, tools: Path) -> list[str]:
        return [str(self._pip), "-m", "pip", "--python", str(tools / "bin/python")]

    def _tool_environ(self, tools: Path) -> dict[str, str]:
        return {**self._environ, "PATH": f"{tools / 'bin'}{os.pathsep}{self._environ.get('PATH', os.defpath)}"}

    def _prune(self) -> None:
        """Keep the newest wheels only: one with CUDA takes hundreds of megabytes."""
        built = (folder for folder in (self._build / "wheels").iterdir() if folder.name != "prebuilt")
        stored = sorted(built, key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in stored[KEPT_WHEELS:]:
            shutil.rmtree(folder)
