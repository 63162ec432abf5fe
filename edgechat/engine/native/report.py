"""llama.cpp's report on itself, as one JSON object: ``python -m edgechat.engine.native.report``.

Runs in a process of its own, because the library may be missing, built for another processor, or end the process while
it looks for a GPU. ``engine/selection/build_info.py`` starts it and reads its output.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path
from typing import Any

from edgechat.engine.native.backends import built_variants, chosen_variant
from edgechat.errors import EngineError

_DEVICE_TYPES = ("cpu", "gpu", "igpu", "accel", "meta")  # enum ggml_backend_dev_type in ggml-backend.h


def report(llama: Any) -> dict[str, Any]:
    """What the library says: system info, backends, devices (bytes) and supported features.

    Args:
        llama: the low-level module; its library handle also finds ggml's functions, for which it has no bindings.
    """
    ggml = llama._lib
    return {
        "system_info": llama.llama_print_system_info().decode("utf-8", "replace"),
        "ggml_version": _text(ggml, "ggml_version"),
        "ggml_commit": _text(ggml, "ggml_commit"),
        "backends": [
            _text(ggml, "ggml_backend_reg_name", _item(ggml, "ggml_backend_reg_get", index))
            for index in range(_count(ggml, "ggml_backend_reg_count"))
        ],
        "devices": [
            _device(ggml, _item(ggml, "ggml_backend_dev_get", index))
            for index in range(_count(ggml, "ggml_backend_dev_count"))
        ],
        "supports": {
            name: bool(getattr(llama, f"llama_supports_{name}")()) for name in ("gpu_offload", "mmap", "mlock", "rpc")
        },
        "variant": chosen_variant(ggml),
        "variants": built_variants(Path(ggml._name).parent),
        # Image input is a library of its own, left out of a lean build.
        "vision": any(Path(llama.__file__).parent.glob("lib/libmtmd.*")),
    }


def _device(ggml: Any, handle: int) -> dict[str, Any]:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    memory = ggml.ggml_backend_dev_memory
    memory.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t)]
    memory.restype = None
    memory(handle, ctypes.byref(free), ctypes.byref(total))
    kind = ggml.ggml_backend_dev_type
    kind.argtypes, kind.restype = [ctypes.c_void_p], ctypes.c_int
    number = kind(handle)
    return {
        "name": _text(ggml, "ggml_backend_dev_name", handle),
        "description": _text(ggml, "ggml_backend_dev_description", handle),
        "type": _DEVICE_TYPES[number] if 0 <= number < len(_DEVICE_TYPES) else str(number),
        "free": free.value,
        "total": total.value,
    }


def _text(ggml: Any, function: str, handle: int | None = None) -> str:
    call = getattr(ggml, function)
    call.restype = ctypes.c_char_p
    call.argtypes = [] if handle is None else [ctypes.c_void_p]
    value = call() if handle is None else call(handle)
    return value.decode("utf-8", "replace") if value else ""


def _count(ggml: Any, function: str) -> int:
    call = getattr(ggml, function)
    call.argtypes, call.restype = [], ctypes.c_size_t
    return int(call())


def _item(ggml: Any, function: str, index: int) -> int:
    call = getattr(ggml, function)
    call.argtypes, call.restype = [ctypes.c_size_t], ctypes.c_void_p
    return int(call(index))


def main() -> int:
    """Print the report; exit 1 with one line on standard error when the library cannot be loaded."""
    try:
        from edgechat.engine.native.lib import llama  # noqa: PLC0415 - loading it is what may fail
    except EngineError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    sys.stdout.write(json.dumps(report(llama)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
