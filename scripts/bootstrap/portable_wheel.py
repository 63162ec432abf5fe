"""The llama-cpp-python wheel for other machines: every processor of one kind, its kernels chosen when it is loaded.

ggml compiles its CPU backend once for each set of instructions and picks the best one that the processor has
(GGML_BACKEND_DL with GGML_CPU_ALL_VARIANTS). The build for aarch64 is a cross-build; the platform tag is that of the
newest glibc symbol that the libraries really need.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.bootstrap import elf
from scripts.bootstrap.build_machine import Cuda
from scripts.bootstrap.kit_wheels import PYTHONS, gather
from scripts.bootstrap.llama_wheel import NOT_PACKED, Recipe, WheelStore
from scripts.bootstrap.supervised import SetupError

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 1 << 20

# Raspberry Pi OS bookworm has 2.36, JetPack 6 (Ubuntu 22.04) 2.35: the older one decides.
NEWEST_GLIBC = (2, 35)
# GCC 12's C++ library, as in both of these systems.
NEWEST_GLIBCXX = (3, 4, 30)
# manylinux lets a wheel expect these of every system (PEP 600); anything else would have to be in the wheel.
SYSTEM_LIBRARIES = frozenset(
    {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libstdc++.so.6", "libgcc_s.so.1",
     "ld-linux-aarch64.so.1", "ld-linux-x86-64.so.2"}
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """One kind of machine: how its compiler is called, and which variants of ggml's CPU backend are built for it."""

    name: str
    compiler_prefix: str
    variants: tuple[str, ...]


TARGETS = {
    "aarch64": Target(
        "aarch64",
        "aarch64-linux-gnu-",
        # Not armv9.2_*: SME needs GCC 14, and no board with it runs Linux.
        ("armv8.0_1", "armv8.2_1", "armv8.2_2", "armv8.2_3", "armv8.6_1", "armv8.6_2"),
    ),
    "x86_64": Target(
        "x86_64",
        "x86_64-linux-gnu-",
        # Not sapphirerapids: ggml's AMX kernels end the process (see llama_wheel.cmake_arguments); such a processor
        # takes zen4's, which has all but AMX. The others left out are served by the next smaller one here.
        ("sse42", "sandybridge", "haswell", "alderlake", "skylakex", "cascadelake", "icelake", "zen4"),
    ),
}


def cmake_arguments(target: Target, host: str, include: Path, *, vision: bool) -> tuple[str, ...]:
    """CMake's arguments; `host` is the machine that builds."""
    args = [
        f"-DCMAKE_PROJECT_llama.cpp_INCLUDE={include}",
        f"-DLLAVA_BUILD={'ON' if vision else 'OFF'}",
        "-DGGML_NATIVE=OFF",
        "-DGGML_BACKEND_DL=ON",
        "-DGGML_CPU_ALL_VARIANTS=ON",
        "-DGGML_OPENMP=OFF",
        "-DCMAKE_PLATFORM_NO_VERSIONED_SONAME=ON",
        # The package installs the libraries it knows by name; the variants follow llama.cpp's programs.
        "-DCMAKE_INSTALL_BINDIR=llama_cpp/lib",
        "-DCMAKE_INSTALL_RPATH=$ORIGIN",
    ]
    if target.name != host:
        args += [
            "-DCMAKE_SYSTEM_NAME=Linux",
            f"-DCMAKE_SYSTEM_PROCESSOR={target.name}",
            f"-DCMAKE_C_COMPILER={target.compiler_prefix}gcc",
            f"-DCMAKE_CXX_COMPILER={target.compiler_prefix}g++",
            "-DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY",
            "-DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY",
        ]
    return tuple(args)


def choose_variants(text: str, target: Target) -> str:
    """ggml/src/CMakeLists.txt with the variants of `target` alone: the others become comments.

    Raises:
        SetupError: the file does not name each wanted variant once, so it is not the one this was written for.
    """
    call = re.compile(r"^(\s*)(ggml_add_cpu_backend_variant\((\S+?)(?:\s[^)]*)?\))", re.MULTILINE)
    found = [each[3] for each in call.finditer(text)]
    if missing := [name for name in target.variants if found.count(name) != 1]:
        raise SetupError(f"llama.cpp's source has no CPU variant {', '.join(missing)}: its list has changed.")
    return call.sub(lambda each: each[0] if each[3] in target.variants else f"{each[1]}# {each[2]}", text)


def glibc_needed(libraries: Mapping[str, elf.Library], target: Target) -> tuple[int, int]:
    """The glibc that all libraries of a wheel can be loaded with, for the platform tag.

    Raises:
        SetupError: a library is for another machine, or needs what boards do not have.
    """
    newest = (2, 17)  # what the oldest manylinux for aarch64 promises
    for name, library in libraries.items():
        if library.machine != target.name:
            raise SetupError(f"{name} is for {library.machine}, not for {target.name}.")
        for other in library.needed:
            if other not in SYSTEM_LIBRARIES and other not in libraries:
                raise SetupError(f"{name} needs {other}, which is neither in the wheel nor on every system.")
        for _, wanted in library.versions:
            kind, _, number = wanted.partition("_")
            if not re.fullmatch(r"[\d.]+", number):
                continue
            version = tuple(int(part) for part in number.split("."))
            if kind == "GLIBC" and len(version) >= 2:
                newest = max(newest, (version[0], version[1]))
            if kind == "GLIBCXX" and version > NEWEST_GLIBCXX:
                raise SetupError(f"{name} needs {wanted}: build with GCC 12, as in Debian 12.")
    if newest > NEWEST_GLIBC:
        raise SetupError(
            f"The libraries need glibc {newest[0]}.{newest[1]}, newer than JetPack 6 has "
            f"({NEWEST_GLIBC[0]}.{NEWEST_GLIBC[1]}). Build on Debian 12 or Ubuntu 22.04 (a container will do)."
        )
    return newest


def shared_libraries(wheel: Path) -> dict[str, elf.Library]:
    """The shared libraries in a wheel, by file name."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".so")]
        return {name.rpartition("/")[2]: elf.read(archive.read(name)) for name in names}


def retag(wheel: Path, platform_tag: str, folder: Path) -> Path:
    """Write the wheel with another platform tag into `folder`: its name, its WHEEL file, and RECORD's line for that."""
    name, version, _ = wheel.name.split("-", 2)
    made = folder / f"{name}-{version}-py3-none-{platform_tag}.whl"
    draft = made.with_suffix(".new")
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as sink:
        text = source.read(f"{info}/WHEEL").decode()
        described = re.sub(r"^Tag: .*$", f"Tag: py3-none-{platform_tag}", text, count=1, flags=re.MULTILINE).encode()
        for entry in source.infolist():
            data = source.read(entry)
            if entry.filename == f"{info}/WHEEL":
                data = described
            elif entry.filename == f"{info}/RECORD":
                data = _record(data.decode(), f"{info}/WHEEL", described)
            entry.compress_type = zipfile.ZIP_DEFLATED
            sink.writestr(entry, data)
    draft.replace(made)
    return made


def _record(text: str, changed: str, data: bytes) -> bytes:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    rows = [
        [name, f"sha256={digest}", str(len(data))] if name == changed else [name, *rest]
        for name, *rest in csv.reader(io.StringIO(text))
    ]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


def build(root: Path, target: Target, folder: Path, *, vision: bool) -> Path:
    """Build the wheel into `folder` and return it.

    Raises:
        SetupError: the cross-compiler is missing, a step failed, or the libraries would not load on the boards.
    """
    host = platform.machine()
    if target.name != host and shutil.which(f"{target.compiler_prefix}g++") is None:
        package = {"aarch64": "crossbuild-essential-arm64", "x86_64": "crossbuild-essential-amd64"}[target.name]
        raise SetupError(
            f"Building for {target.name} here needs a cross-compiler: `sudo apt-get install {package}`. "
            f"Or run this on a machine of that kind."
        )
    include = root / "scripts/bootstrap/llama-build.cmake"
    pinned = re.search(r"^llama-cpp-python==([^\s;]+)", (root / "constraints.txt").read_text(), re.MULTILINE)
    if pinned is None:
        raise SetupError("constraints.txt gives no version of llama-cpp-python: `git checkout constraints.txt`.")
    args = cmake_arguments(target, host, include, vision=vision)
    made_of = [pinned[1], args, target.variants, include.read_text(encoding="utf-8"), NOT_PACKED]
    key = "portable-" + hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]
    # Programs and scripts of llama.cpp go where the variants go, and are not wanted.
    wanted = Recipe(pinned[1], args, Cuda(None, ""), key, not_packed=("llama_cpp/lib/*.py",))
    environ = dict(os.environ)
    if target.name != host:
        environ["_PYTHON_HOST_PLATFORM"] = f"linux-{target.name}"  # the tag that the build backend gives

    def adapt(source: Path) -> None:
        file = source / "vendor/llama.cpp/ggml/src/CMakeLists.txt"
        before = file.read_text(encoding="utf-8")
        after = choose_variants(before, target)
        if after != before:
            file.write_text(after, encoding="utf-8")

    store = WheelStore(root, pip_python(root), environ)
    raw = store.find(wanted) or store.build(wanted, adapt)
    libraries = shared_libraries(raw)
    if absent := [name for name in target.variants if f"libggml-cpu-{name}.so" not in libraries]:
        raise SetupError(f"The build left out the CPU variants {', '.join(absent)}.")
    glibc = glibc_needed(libraries, target)
    folder.mkdir(parents=True, exist_ok=True)
    return retag(raw, f"manylinux_{glibc[0]}_{glibc[1]}_{target.name}", folder)


def pip_python(root: Path) -> Path:
    """A Python that has pip: .venv's, or that of an environment made for this."""
    for python in (root / ".venv/bin/python", root / ".build/pip/bin/python"):
        if python.exists():
            return python
    folder = root / ".build/pip"
    made = subprocess.run([sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise SetupError(f"Python's venv module does not work here: {made.stdout}{made.stderr}".rstrip())
    return folder / "bin/python"


def main() -> int:
    """`scripts/build-wheel`: parse, build, say what came out."""
    parser = argparse.ArgumentParser(
        prog="scripts/build-wheel",
        description="Build a llama-cpp-python wheel that runs on every processor of a kind.",
        epilog="Boards find it in the checkout's wheels/, beside the checkout, or in the folder EDGECHAT_WHEELS.",
    )
    parser.add_argument("--target", choices=sorted(TARGETS), default=platform.machine(), help="default: this machine's")
    parser.add_argument("--out", type=Path, default=Path("wheels"), metavar="DIR", help="default: wheels/")
    parser.add_argument(
        "--kit",
        action="store_true",
        help="add all that a board without a network needs: edgechat, its dependencies, pip",
    )
    parser.add_argument(
        "--python", action="append", metavar="3.N", help=f"with --kit, for this Python (default: {', '.join(PYTHONS)})"
    )
    parser.add_argument("--no-vision", action="store_true", help="leave image input out (1.8 MB less)")
    chosen = parser.parse_args()
    root = Path(__file__).resolve().parents[2]
    try:
        target = TARGETS[chosen.target]
        folder = root / chosen.out
        if chosen.kit:
            folder = folder / target.name
        wheel = build(root, target, folder, vision=not chosen.no_vision)
        if chosen.kit:
            gather(root, folder, target.name, chosen.python or PYTHONS, pip_python(root))
    except SetupError as failed:
        print(f"\n{failed}", file=sys.stderr)
        return failed.status
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command again: it goes on from here.", file=sys.stderr)
        return 130
    print(f"{wheel}  {wheel.stat().st_size / MIB:.1f} MiB")
    print(f"CPU variants: {' '.join(target.variants)}")
    print(f"Install it on a board with: EDGECHAT_WHEELS={shlex.quote(str(wheel.parent))} ./scripts/setup")
    if chosen.kit:
        wheels = list(wheel.parent.glob("*.whl"))
        size = sum(each.stat().st_size for each in wheels) / MIB
        print(f"Kit: {len(wheels)} wheels, {size:.0f} MiB. Put it on a stick with:")
        print(f"    edgechat models export MODEL /media/STICK --with-app --target {target.name}")
    return 0
