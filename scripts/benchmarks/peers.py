#!/usr/bin/env python3
"""Build llama.cpp's own tools from the source that the pinned llama-cpp-python carries: the peers we compare with.

Everything lands outside the tree, in ``$EDGECHAT_BENCH_DIR`` or ``~/.cache/edgechat-bench``, and is built once per
version. This module builds and finds binaries; what they are asked to do is the benchmarks' affair.

    python scripts/benchmarks/peers.py            # both flavours; five minutes on two cores

Flavours: ``default`` is llama.cpp as it configures itself, with this machine's instruction set: what its users have.
``noomp`` differs in one thing, ggml's own thread pool instead of OpenMP, as our engine is built: same kernels, same
threads, so that a difference is the loop around them. Only ggml's base and CPU libraries know OpenMP, so the second
flavour is the first with those two exchanged.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from importlib.metadata import version
from pathlib import Path

TOOLS = ("llama-quantize", "llama-bench", "llama-completion", "llama-server", "llama-batched-bench")
FLAVOURS = ("default", "noomp")
_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DGGML_NATIVE=ON",
    # None of these changes a kernel or the server's loop; they leave out what would be built or downloaded for nothing.
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
    # The binaries find their libraries beside themselves, so that a flavour can be put together by copying.
    "-DCMAKE_BUILD_RPATH_USE_ORIGIN=ON",
)


def bench_dir() -> Path:
    """Where peers, shape models and results live: never inside the tree."""
    chosen = os.environ.get("EDGECHAT_BENCH_DIR", "")
    return Path(chosen).expanduser().absolute() if chosen else Path.home() / ".cache" / "edgechat-bench"


def llama_source(root: Path | None = None) -> Path:
    """The vendored llama.cpp of the llama-cpp-python that is installed here, fetched and unpacked when missing."""
    root = root or bench_dir()
    name = f"llama_cpp_python-{version('llama-cpp-python')}"
    source = root / "sdist" / name / "vendor" / "llama.cpp"
    if source.is_dir():
        return source
    print(f"Fetching the source of {name}", file=sys.stderr)
    pinned = f"llama-cpp-python=={version('llama-cpp-python')}"
    fetch = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"]
    archive = root / "sdist" / f"{name}.tar.gz"
    if not archive.exists():
        _run([*fetch, "-d", str(archive.parent), pinned])
    # Unpacked beside its place and renamed, so that an interruption leaves no half source behind.
    partial = root / "sdist" / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    with tarfile.open(archive) as packed:
        packed.extractall(partial, filter="data")
    (partial / name).rename(root / "sdist" / name)
    return source


def binary(tool: str, flavour: str = "default", root: Path | None = None) -> Path:
    """Path of one tool, built when missing."""
    root = root or bench_dir()
    path = root / "peers" / flavour / "bin" / tool
    if not path.exists():
        build(root)
    return path


def build(root: Path) -> None:
    """Build both flavours below ``root/peers``; what is there already is only brought up to date."""
    source, peers = llama_source(root), root / "peers"
    first, second = peers / "build-default", peers / "build-noomp"
    _configure(source, first)
    _make(first, TOOLS)
    _configure(source, second, "-DGGML_OPENMP=OFF")
    _make(second, ("ggml-cpu",))
    _assemble(peers / "default", first / "bin")
    _assemble(peers / "noomp", first / "bin", second / "bin")


def _configure(source: Path, build_dir: Path, *extra: str) -> None:
    generator = ["-G", "Ninja"] if _program("ninja") else []
    _run([_cmake(), *generator, "-S", str(source), "-B", str(build_dir), *_OPTIONS, *extra])


def _make(build_dir: Path, targets: tuple[str, ...]) -> None:
    jobs = str(os.cpu_count() or 1)
    _run([_cmake(), "--build", str(build_dir), "--config", "Release", "-j", jobs, "--target", *targets])


def _assemble(flavour: Path, *layers: Path) -> None:
    partial = flavour.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "bin").mkdir(parents=True)
    for layer in layers:
        for path in layer.iterdir():
            # A later layer's library takes the place of the earlier one's; the links beside it are links again.
            target = partial / "bin" / path.name
            target.unlink(missing_ok=True)
            shutil.copy2(path, target, follow_symlinks=False)
    shutil.rmtree(flavour, ignore_errors=True)
    partial.rename(flavour)


def _program(name: str) -> str | None:
    here = sysconfig.get_path("scripts")
    return shutil.which(name, path=os.pathsep.join([here, os.environ.get("PATH", os.defpath)]))


def _cmake() -> str:
    found = _program("cmake")
    if found is None:
        raise SystemExit("cmake is missing: install the `bench` dependency group of pyproject.toml.")
    return found


def _run(command: list[str]) -> None:
    print(" ".join(command), file=sys.stderr)
    # Progress belongs to the person waiting; stdout is left to whoever called us.
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with {done.returncode}.")


if __name__ == "__main__":
    build(bench_dir())
    for tool in TOOLS:
        print(binary(tool))
