"""Loads llama.cpp's low-level bindings, and nothing of llama-cpp-python's high-level package.

``import llama_cpp`` runs a package initialiser that pulls in chat formats, numpy and jinja2 (0.5-0.75 s here, three
times that on a Pi). The low-level module alone takes 0.08 s, so the package is registered as an empty shell first.
This must run in the engine process only: a bad model file may take the whole process down with it.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

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
        shell = ModuleType(PACKAGE)
        shell.__path__ = list(spec.submodule_search_locations)
        shell.__spec__ = spec
        sys.modules[PACKAGE] = shell
    try:
        return importlib.import_module(f"{PACKAGE}.llama_cpp")
    except (RuntimeError, OSError) as error:
        raise EngineError(
            f"llama.cpp's library cannot be loaded: {error}",
            cause="load",
            hint="Run `edgechat doctor`, or rebuild it with scripts/setup.",
        ) from error


llama: Any = load()
"""The low-level API. Typed ``Any``: ctypes functions carry no types that a checker could use."""

_INFO, _CONTINUE = 2, 5  # enum ggml_log_level
_level = _INFO


def _write(level: int, text: bytes | None, _data: object) -> None:
    global _level  # noqa: PLW0603 - llama.cpp's own notion: a continuation has the level of what it continues
    _level = _level if level == _CONTINUE else level
    if _level >= _INFO and text:
        os.write(2, text)


_write_reference = llama.llama_log_callback(_write)
# Without a callback llama.cpp writes its debug lines too: 400 KB for one small model.
llama.llama_log_set(_write_reference, None)
