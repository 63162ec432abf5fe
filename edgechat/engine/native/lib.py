"""Loads llama.cpp's low-level bindings, and nothing of llama-cpp-python's high-level package.

``import llama_cpp`` also imports chat formats, numpy and jinja2 (0.5-0.75 s on a PC, three times that on a Pi). The
low-level module alone takes 0.08 s, so the package is first replaced by an empty module. Imported in the engine process
and its children only, because a bad model file can end the process.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

from edgechat.engine.native.backends import load_backends
from edgechat.errors import EngineError

PACKAGE = "llama_cpp"


def load() -> Any:
    """Return the low-level module ``llama_cpp.llama_cpp``.

    Raises:
        EngineError: llama-cpp-python is not installed, or its shared library cannot be loaded.
    """
    if PACKAGE not in sys.modules:
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or spec.submodule_search_locations is None:
            raise EngineError("llama-cpp-python is not installed.", cause="load", hint="Run scripts/setup.")
        empty = ModuleType(PACKAGE)
        empty.__path__ = list(spec.submodule_search_locations)
        empty.__spec__ = spec
        sys.modules[PACKAGE] = empty
    try:
        return importlib.import_module(f"{PACKAGE}.llama_cpp")
    except (RuntimeError, OSError) as error:
        raise EngineError(
            f"llama.cpp's library cannot be loaded: {error}",
            cause="load",
            hint="Run `edgechat doctor`, or rebuild it with scripts/setup.",
        ) from error


llama: Any = load()
"""The low-level API; ``Any`` because ctypes functions have no static types."""

_INFO, _CONTINUE = 2, 5  # enum ggml_log_level
_level = _INFO


def _write(level: int, text: bytes | None, _data: object) -> None:
    global _level  # noqa: PLW0603 - a continuation has the level of the message before it
    _level = _level if level == _CONTINUE else level
    if _level >= _INFO and text:
        os.write(2, text)


_write_reference = llama.llama_log_callback(_write)
# Without a callback llama.cpp also writes debug lines: 400 KB for one small model.
llama.llama_log_set(_write_reference, None)

load_backends(llama._lib)  # after the log's callback, which records what was loaded
