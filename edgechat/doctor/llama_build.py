"""Findings about the llama.cpp build: whether it loads, uses this machine's instructions and GPU, and its options.

Only :func:`native_features` runs a program, the compiler: a rebuild can use no feature that it does not support.
"""

from __future__ import annotations

import os
import shlex
import shutil
from typing import TYPE_CHECKING

from edgechat.doctor.finding import Finding, advice, ok, problem
from edgechat.doctor.installation import LLAMA
from edgechat.engine.selection.build_info import CPU_KERNELS
from edgechat.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgechat.board.board import Board
    from edgechat.doctor.installation import Installation
    from edgechat.engine.selection.build_info import Build, Kernels
    from edgechat.errors import EngineError

_ACCELERATOR_NAMES = {"cuda": "NVIDIA GPU", "metal": "Apple GPU"}
_MATRIX_FEATURES = frozenset(("dotprod", "i8mm"))


def broken(error: EngineError, installation: Installation) -> list[Finding]:
    """The finding for a library that does not load or that crashed."""
    return [problem("llama-library", str(error.message), installation.rebuild(), ExitCode.ENGINE)]


def versions(installation: Installation) -> list[Finding]:
    """Compare the packages whose exact version edgechat requires with what is installed."""
    found = []
    for name, wanted, present in installation.pins:
        if present == wanted:
            continue
        if name == LLAMA:
            if present is None:
                continue  # reported as llama-library
            # The low-level bindings mirror C structures, which differ between versions.
            message = f"{LLAMA} is {present}, but this edgechat requires {wanted}. Another version may crash."
            found.append(problem("llama-version", message, installation.rebuild(), ExitCode.ENGINE))
        else:
            message = f"{name} is {present or 'not installed'}, but this edgechat requires {wanted}."
            found.append(advice("package-version", message, installation.install(name, wanted)))
    if found:
        return found
    names = ", ".join(f"{name} {wanted}" for name, wanted, _ in installation.pins)
    return [ok("llama-version", f"{names or 'The packages'}: installed as required.")]


def kernels(
    found: Kernels, build: Build, board: Board, native: frozenset[str] | None, installation: Installation
) -> list[Finding]:
    """Findings about the CPU's instruction sets and the GPU's backend.

    Args:
        found: the build compared with the machine.
        build: what llama.cpp reports.
        board: the machine.
        native: the features that this machine's compiler supports, or None when that is not known.
        installation: for the commands that fix a finding.
    """
    processor = _variant(found, build, installation) if build.variants else _processor(found, native, installation)
    return [*processor, *_accelerators(found, build, board, installation)]


def _variant(found: Kernels, build: Build, installation: Installation) -> Iterator[Finding]:
    """A build with one library for each set of instructions: which one runs, and what it lacks of this processor's."""
    unused = [name for name in found.missing if name not in _ACCELERATOR_NAMES]
    message = f"llama.cpp runs its variant {build.variant}, chosen from {len(build.variants)} for this processor"
    if unused:
        names = ", ".join(unused)
        message += f". It leaves {names} unused, which this processor has. A build made on this machine may use it."
        yield advice("cpu-kernels", message, installation.rebuild())
    else:
        yield ok("cpu-kernels", f"{message}; it uses all instruction sets that llama.cpp has kernels for.")


def _processor(found: Kernels, native: frozenset[str] | None, installation: Installation) -> Iterator[Finding]:
    if found.foreign:
        names = ", ".join(found.foreign)
        message = (
            f"llama.cpp is built for {names}, which this processor does not have: "
            "an answer may end with an illegal instruction (SIGILL)."
        )
        yield problem("cpu-kernels-foreign", message, installation.rebuild(), ExitCode.ENGINE)
    unused = [name for name in found.missing if name not in _ACCELERATOR_NAMES]
    buildable = [name for name in unused if native is None or name in native]
    if buildable:
        message = f"llama.cpp is built without {', '.join(buildable)}, which this processor has. "
        if _MATRIX_FEATURES.intersection(buildable):
            message += "Published measurements show up to 2.7 times the prefill speed with them. "
        message += "A build made on this machine uses them."
        yield advice("cpu-kernels", message, installation.rebuild())
    elif unused:
        names = ", ".join(unused)
        message = f"llama.cpp uses all instruction sets that this compiler supports; a newer compiler adds {names}."
        yield ok("cpu-kernels", message)
    else:
        yield ok("cpu-kernels", "llama.cpp uses all instruction sets of this processor that it has kernels for.")


def _accelerators(found: Kernels, build: Build, board: Board, installation: Installation) -> Iterator[Finding]:
    for kind in dict.fromkeys(accelerator.kind for accelerator in board.accelerators):
        name = next(accelerator.name for accelerator in board.accelerators if accelerator.kind == kind)
        what = f"The {_ACCELERATOR_NAMES[kind]} ({name})"
        if kind in found.missing:
            message = f"{what} is not used: llama.cpp is built without {kind.upper()}."
            yield _unused_gpu(board, message, installation.rebuild_for(kind))
        elif not build.has_gpu:
            # The engine then runs on the CPU. CUDA's reason is in the engine's log.
            message = f"{what} is not used: llama.cpp is built with {kind.upper()}, but finds no device to use."
            command = "nvidia-smi" if kind == "cuda" and board.kind != "jetson" else None
            yield _unused_gpu(board, message, command)
        else:
            yield ok("gpu", f"{what} is used.")


def _unused_gpu(board: Board, message: str, command: str | None) -> Finding:
    # On a Jetson the GPU is most of the board's speed, and scripts/setup refuses such a build unless it is asked for.
    if board.kind == "jetson":
        return problem("gpu", message, command, ExitCode.ENGINE)
    return advice("gpu", message, command)


def flags(build: Build, board: Board, installation: Installation, *, wants_vision: bool) -> list[Finding]:
    """Findings about build options that are slow or missing.

    Args:
        build: what llama.cpp reports.
        board: the machine.
        installation: for the commands that fix a finding.
        wants_vision: a model with image input is installed.
    """
    found = []
    if build.has("OPENMP"):
        # Measured on two cores, decode beside one busy process: SmolLM2-135M 36 against 47 tokens/s, a 1.5B Q4_K_M
        # 5.2 against 7.8; alone on the machine both are as fast.
        message = (
            "llama.cpp is built with OpenMP, whose threads spin while they wait. Beside one busy process it was "
            "measured at three quarters (135M model) and two thirds (1.5B) of the speed of ggml's own threads. "
            "Alone both are equally fast."
        )
        found.append(advice("openmp", message, installation.rebuild()))
    else:
        found.append(ok("openmp", "llama.cpp uses ggml's own threads, not OpenMP."))
    if board.cpu.arch == "aarch64" and not build.has("REPACK"):
        message = "llama.cpp is built without repacking (GGML_CPU_REPACK), which ARM's matrix kernels need."
        found.append(advice("repack", message, installation.rebuild()))
    if not build.supports.get("mmap", True):
        message = "llama.cpp is built without mmap: every start of the engine copies the model into memory."
        found.append(advice("mmap", message, installation.rebuild()))
    if wants_vision and not build.vision:
        message = "A vision model is installed, but llama.cpp is built without image input."
        found.append(advice("vision", message, installation.add_vision()))
    return found


def native_features(env: Mapping[str, str] | None = None) -> frozenset[str] | None:
    """The features, named as in the board's, that a native build would use; None without a working compiler.

    Args:
        env: for ``CXX`` and ``PATH``; by default the process's environment.
    """
    import subprocess  # noqa: PLC0415

    env = os.environ if env is None else env
    words = shlex.split(env.get("CXX") or "c++")
    compiler = shutil.which(words[0], path=env.get("PATH"))
    if compiler is None:
        return None
    # The flag is -march on x86 and -mcpu on ARM, where Clang accepts only the latter.
    for flag in ("-mcpu=native", "-march=native"):
        try:
            result = subprocess.run(
                [compiler, *words[1:], flag, "-dM", "-E", "-x", "c++", os.devnull],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
                env={**env, "LC_ALL": "C"},
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        # GCC for x86 accepts -mcpu as a deprecated name of -mtune, with a warning.
        if result.returncode == 0 and "deprecated" not in result.stderr:
            macros = {line.split(maxsplit=2)[1] for line in result.stdout.splitlines() if line.startswith("#define ")}
            return frozenset(kernel.feature for kernel in CPU_KERNELS if kernel.macro in macros)
    return None
