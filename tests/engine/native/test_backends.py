"""The CPU backend: loaded from where its variants lie, and asked for the functions that nothing links to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgechat.engine.native.backends import built_variants, chosen_variant, cpu_function, load_backends
from edgechat.errors import EngineError


class Library:
    """Stands for libllama: notes which folder is loaded, and has a CPU backend afterwards or not."""

    def __init__(self, folder: Path, *, serves: bool = True) -> None:
        self._name = str(folder / "libllama.so")
        self.loaded: list[bytes] = []
        self.serves = serves

    def __getattr__(self, name: str) -> Any:
        def call(argument: bytes) -> int | None:
            if name == "ggml_backend_load_all_from_path":
                self.loaded.append(argument)
                return None
            return 1 if self.serves and self.loaded else None

        return call


def variants(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / f"libggml-cpu-{name}.so").touch()
    (folder / "libggml-cpu.so").touch()
    (folder / "libggml-base.so").touch()
    return folder


def loaded(library: Library) -> list[bytes]:
    load_backends(library)  # type: ignore[arg-type]
    return library.loaded


def test_variants_are_loaded_from_beside_the_library(tmp_path: Path) -> None:
    folder = variants(tmp_path, "armv8.2_2", "armv8.0_1")
    assert built_variants(folder) == ["armv8.0_1", "armv8.2_2"]
    assert loaded(Library(folder)) == [bytes(folder)]


def test_a_build_for_one_processor_loads_nothing_more(tmp_path: Path) -> None:
    assert loaded(Library(variants(tmp_path))) == []


def test_a_processor_that_no_variant_serves_is_an_error_that_names_the_variants(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"haswell, zen4") as refused:
        loaded(Library(variants(tmp_path, "zen4", "haswell"), serves=False))
    assert "EDGECHAT_WHEELS=none" in refused.value.hint


@pytest.mark.engine
def test_the_installed_backend_gives_its_functions() -> None:
    from edgechat.engine.native.lib import llama

    assert cpu_function(llama._lib, "ggml_threadpool_new")
    with pytest.raises(EngineError, match="no_such_function"):
        cpu_function(llama._lib, "no_such_function")
    names = built_variants(Path(llama._lib._name).parent)
    assert chosen_variant(llama._lib) in (names or [""])
