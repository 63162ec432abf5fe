"""Findings about llama.cpp as it is built here: does it load, has it this machine's kernels, how do its threads wait.

Pure: the build, the board and the compiler's abilities are handed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.doctor.finding import Finding, advice, ok, problem
from edgechat.doctor.installation import LLAMA
from edgechat.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.board.board import Board
    from edgechat.doctor.installation import Installation
    from edgechat.engine.selection.build_info import Build, Kernels
    from edgechat.errors import EngineError

_WORDS = {"cuda": "NVIDIA GPU", "metal": "Apple GPU"}
_MATRIX = frozenset(("dotprod", "i8mm"))


def broken(error: EngineError, installation: Installation) -> list[Finding]:
    """The library does not load, or ended its process."""
    return [problem("llama-library", str(error.message), installation.rebuild(), ExitCode.ENGINE)]


def versions(installation: Installation) -> list[Finding]:
    """The packages that edgechat pins exactly, against what is installed."""
    found = []
    for name, wanted, present in installation.pins:
        if present == wanted:
            continue
        if name == LLAMA:
            if present is None:
                continue  # said by the library's own finding
            # Its low-level bindings are C structures: another version may read them wrongly.
            message = f"{LLAMA} is {present}; this edgechat is made for {wanted}, and another version may crash it."
            found.append(problem("llama-version", message, installation.rebuild(), ExitCode.ENGINE))
        else:
            message = f"{name} is {present or 'not installed'}; this edgechat is made for {wanted}."
            found.append(advice("package-version", message, installation.install(name, wanted)))
    if found:
        return found
    names = ", ".join(f"{name} {wanted}" for name, wanted, _ in installation.pins)
    return [ok("llama-version", f"{names or 'The packages'}: as this edgechat asks.")]


def kernels(
    found: Kernels, build: Build, board: Board, native: frozenset[str] | None, installation: Installation
) -> list[Finding]:
    """The CPU's instruction sets and the GPU's backend.

    Args:
        found: the build held against the machine.
        build: what llama.cpp reported.
        board: the machine.
        native: the features that this machine's compiler would build for it, or None when that is not known.
        installation: which commands mend it.
    """
    return [*_processor(found, native, installation), *_accelerators(found, build, board, installation)]


def _processor(found: Kernels, native: frozenset[str] | None, installation: Installation) -> Iterator[Finding]:
    if found.foreign:
        names = ", ".join(found.foreign)
        message = (
            f"llama.cpp is built for {names}, which this processor does not have: "
            "an answer may end with an illegal instruction (SIGILL)."
        )
        yield problem("cpu-kernels-foreign", message, installation.rebuild(), ExitCode.ENGINE)
    lacking = [name for name in found.missing if name not in _WORDS]
    within_reach = [name for name in lacking if native is None or name in native]
    if within_reach:
        message = f"llama.cpp is built without {', '.join(within_reach)}, which this processor has. "
        if _MATRIX.intersection(within_reach):
            message += "Published figures put such kernels at up to 2.7 times the prefill speed. "
        message += "A build made on this machine has them."
        yield advice("cpu-kernels", message, installation.rebuild())
    elif lacking:
        names = ", ".join(lacking)
        message = f"llama.cpp has every kernel that this machine's compiler can build; a newer one adds {names}."
        yield ok("cpu-kernels", message)
    else:
        yield ok("cpu-kernels", "llama.cpp has a kernel for each of this processor's instruction sets.")


def _accelerators(found: Kernels, build: Build, board: Board, installation: Installation) -> Iterator[Finding]:
    for kind in dict.fromkeys(accelerator.kind for accelerator in board.accelerators):
        name = next(accelerator.name for accelerator in board.accelerators if accelerator.kind == kind)
        what = f"The {_WORDS[kind]} ({name})"
        if kind in found.missing:
            message = f"{what} stays unused: llama.cpp is built without {kind.upper()}."
            yield advice("gpu", message, installation.rebuild_for(kind))
        elif not build.has_gpu:
            # The engine then runs on the processor alone. Whatever CUDA says about it, it says when it starts.
            message = f"{what} stays unused: llama.cpp has {kind.upper()} built in, and finds no device it can use."
            command = "nvidia-smi" if kind == "cuda" and board.kind != "jetson" else None
            yield advice("gpu", message, command)
        else:
            yield ok("gpu", f"{what} is used.")


def flags(build: Build, board: Board, installation: Installation, *, wants_vision: bool) -> list[Finding]:
    """Build options that cost or lack something.

    Args:
        build: what llama.cpp reported.
        board: the machine.
        installation: which commands mend it.
        wants_vision: a model with image input is installed.
    """
    found = []
    if build.has("OPENMP"):
        # Measured on two cores, decode beside one busy process: SmolLM2-135M 36 against 47 tokens/s, a 1.5B Q4_K_M
        # 5.2 against 7.8; alone on the machine both are as fast.
        message = (
            "llama.cpp is built with OpenMP, whose threads spin while they wait: as fast alone, but beside one busy "
            "process it was measured at three quarters (135M model) and two thirds (1.5B) of the speed of "
            "ggml's own threads."
        )
        found.append(advice("openmp", message, installation.rebuild()))
    else:
        found.append(ok("openmp", "llama.cpp waits in ggml's own threads, without OpenMP."))
    if board.cpu.arch == "aarch64" and not build.has("REPACK"):
        message = "llama.cpp is built without repacking (GGML_CPU_REPACK), which ARM's matrix kernels need."
        found.append(advice("repack", message, installation.rebuild()))
    if not build.supports.get("mmap", True):
        message = "llama.cpp is built without mmap: every start of the engine copies the model into memory."
        found.append(advice("mmap", message, installation.rebuild()))
    if wants_vision and not build.vision:
        message = "A model that sees images is installed, and llama.cpp is built without image input."
        found.append(advice("vision", message, installation.add_vision()))
    return found
