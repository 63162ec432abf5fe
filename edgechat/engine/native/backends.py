"""The CPU backend of a llama.cpp build with one library for each set of instructions (``GGML_CPU_ALL_VARIANTS``).

Such a build runs on every processor of its kind: ggml asks each variant whether this processor has its instructions and
takes the best one. llama-cpp-python has no call for it, and without it there is no backend to load a model with. A
build for one processor has its CPU backend linked in, and nothing is done.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

from edgechat.errors import EngineError

_PREFIX = "libggml-cpu-"


def load_backends(library: ctypes.CDLL) -> None:
    """Load the backends that lie beside libllama, if it is such a build.

    Args:
        library: libllama; ggml's functions are found through it.

    Raises:
        EngineError: no variant runs on this processor.
    """
    folder = Path(library._name).parent
    if not built_variants(folder):
        return
    load = library.ggml_backend_load_all_from_path
    load.argtypes, load.restype = [ctypes.c_char_p], None
    load(os.fsencode(folder))
    if cpu_backend(library) is None:
        raise EngineError(
            f"This llama.cpp has no variant for this processor (it has {', '.join(built_variants(folder))}).",
            cause="load",
            hint="Build it on this machine: EDGECHAT_WHEELS=none scripts/setup",
        )


def built_variants(folder: Path) -> list[str]:
    """The variants of the CPU backend in the folder of the libraries, sorted; none in a build for one processor."""
    return sorted(file.stem.removeprefix(_PREFIX) for file in folder.glob(f"{_PREFIX}*.so"))


def cpu_backend(library: ctypes.CDLL) -> int | None:
    """The handle of the CPU backend in ggml's registry."""
    find = library.ggml_backend_reg_by_name
    find.argtypes, find.restype = [ctypes.c_char_p], ctypes.c_void_p
    handle: int | None = find(b"CPU")
    return handle


def cpu_function(library: ctypes.CDLL, name: str) -> int:
    """The address of a function of the CPU backend, which a build with variants does not link to.

    Raises:
        EngineError: the backend has no such function.
    """
    find = library.ggml_backend_reg_get_proc_address
    find.argtypes, find.restype = [ctypes.c_void_p, ctypes.c_char_p], ctypes.c_void_p
    address: int | None = find(cpu_backend(library), name.encode())
    if not address:
        raise EngineError(f"llama.cpp's CPU backend has no {name}.", cause="load", hint="Run scripts/setup.")
    return address


def chosen_variant(library: ctypes.CDLL) -> str:
    """The variant that runs here, such as ``armv8.2_2`` or ``haswell``; ``""`` in a build for one processor."""
    info = _DlInfo()
    look_up: Any = ctypes.CDLL(None).dladdr
    look_up.argtypes, look_up.restype = [ctypes.c_void_p, ctypes.POINTER(_DlInfo)], ctypes.c_int
    if not look_up(cpu_function(library, "ggml_backend_get_features"), ctypes.byref(info)):
        return ""
    stem = Path(os.fsdecode(info.file_name)).stem
    return stem.removeprefix(_PREFIX) if stem.startswith(_PREFIX) else ""


class _DlInfo(ctypes.Structure):
    """Dl_info of dlfcn.h."""

    _fields_ = (
        ("file_name", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol_name", ctypes.c_char_p),
        ("symbol", ctypes.c_void_p),
    )
