"""The wheel for other machines: its variants, its platform tag, and what the tag promises."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import sysconfig
import zipfile
from pathlib import Path

import pytest

from scripts.bootstrap import elf
from scripts.bootstrap.portable_wheel import (
    TARGETS,
    choose_variants,
    cmake_arguments,
    glibc_needed,
    retag,
    shared_libraries,
)
from scripts.bootstrap.supervised import SetupError

ARM = TARGETS["aarch64"]
LISTED = """\
    elseif(GGML_SYSTEM_ARCH STREQUAL "ARM")
            ggml_add_cpu_backend_variant(armv8.0_1)
            ggml_add_cpu_backend_variant(armv8.2_1    DOTPROD)
            ggml_add_cpu_backend_variant(armv8.2_2    DOTPROD FP16_VECTOR_ARITHMETIC)
            ggml_add_cpu_backend_variant(armv8.2_3    DOTPROD FP16_VECTOR_ARITHMETIC SVE)
            ggml_add_cpu_backend_variant(armv8.6_1    DOTPROD FP16_VECTOR_ARITHMETIC SVE MATMUL_INT8)
            ggml_add_cpu_backend_variant(armv8.6_2    DOTPROD FP16_VECTOR_ARITHMETIC SVE MATMUL_INT8 SVE2)
            ggml_add_cpu_backend_variant(armv9.2_1    DOTPROD FP16_VECTOR_ARITHMETIC SVE MATMUL_INT8 SME)
"""


def needing(*versions: str, machine: str = "aarch64", needed: tuple[str, ...] = ("libc.so.6",)) -> elf.Library:
    return elf.Library(machine, needed, tuple(("libc.so.6", version) for version in versions))


def test_only_the_variants_of_the_target_are_compiled() -> None:
    chosen = choose_variants(LISTED, ARM)
    assert "# ggml_add_cpu_backend_variant(armv9.2_1 " in chosen
    assert chosen.count("# ") == 1
    assert choose_variants(chosen, ARM) == chosen
    with pytest.raises(SetupError, match=r"armv8\.2_1: its list has changed"):
        choose_variants(LISTED.replace("armv8.2_1", "armv8.2_9"), ARM)


def test_a_cross_build_names_its_compiler_and_a_native_one_does_not() -> None:
    across = cmake_arguments(ARM, "x86_64", Path("x.cmake"), vision=True)
    assert "-DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc" in across
    here = cmake_arguments(ARM, "aarch64", Path("x.cmake"), vision=True)
    assert not any("COMPILER" in argument for argument in here)
    assert {"-DGGML_BACKEND_DL=ON", "-DGGML_CPU_ALL_VARIANTS=ON", "-DGGML_NATIVE=OFF"} <= set(here)


def test_the_tag_is_the_newest_glibc_symbol_and_no_newer_than_jetpack_has() -> None:
    assert glibc_needed({"a.so": needing("GLIBC_2.17"), "b.so": needing("GLIBC_2.34", "CXXABI_1.3.13")}, ARM) == (2, 34)
    assert glibc_needed({"a.so": needing("GLIBC_2.3.4")}, ARM) == (2, 17)
    with pytest.raises(SetupError, match=r"glibc 2\.38"):
        glibc_needed({"a.so": needing("GLIBC_2.38")}, ARM)
    with pytest.raises(SetupError, match="GCC 12"):
        glibc_needed({"a.so": needing("GLIBCXX_3.4.32")}, ARM)
    with pytest.raises(SetupError, match="is for x86_64"):
        glibc_needed({"a.so": needing(machine="x86_64")}, ARM)
    with pytest.raises(SetupError, match=r"libgomp\.so\.1"):
        glibc_needed({"a.so": needing(needed=("libgomp.so.1",))}, ARM)
    assert glibc_needed({"a.so": needing(needed=("b.so",)), "b.so": needing()}, ARM) == (2, 17)


def test_a_real_shared_library_is_read() -> None:
    file = next(Path(sysconfig.get_path("purelib")).glob("llama_cpp/lib/libllama.so"))
    library = elf.read(file.read_bytes())
    assert library.machine in TARGETS
    assert {"libggml.so", "libc.so.6"} <= set(library.needed)
    assert any(version.startswith("GLIBC_2.") for _, version in library.versions)


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF\x02\x01" + bytes(20), b"\x7fELF\x01\x01" + bytes(99)])
def test_what_is_no_library_is_refused(data: bytes) -> None:
    with pytest.raises(elf.ElfError):
        elf.read(data)


def test_a_new_tag_changes_name_wheel_and_record_together(tmp_path: Path) -> None:
    info = "llama_cpp_python-0.3.36.dist-info"
    described = b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-linux_aarch64\n"
    raw = tmp_path / "llama_cpp_python-0.3.36-py3-none-linux_aarch64.whl"
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("llama_cpp/x.py", "x = 1\n")
        archive.writestr(f"{info}/WHEEL", described)
        archive.writestr(f"{info}/RECORD", f"llama_cpp/x.py,sha256=a,6\n{info}/WHEEL,sha256=b,1\n{info}/RECORD,,\n")
    made = retag(raw, "manylinux_2_34_aarch64", tmp_path)
    assert made.name == "llama_cpp_python-0.3.36-py3-none-manylinux_2_34_aarch64.whl"
    with zipfile.ZipFile(made) as archive:
        wheel = archive.read(f"{info}/WHEEL")
        rows = {name: rest for name, *rest in csv.reader(io.StringIO(archive.read(f"{info}/RECORD").decode()))}
    assert b"Tag: py3-none-manylinux_2_34_aarch64\n" in wheel
    digest = base64.urlsafe_b64encode(hashlib.sha256(wheel).digest()).rstrip(b"=").decode()
    assert rows[f"{info}/WHEEL"] == [f"sha256={digest}", str(len(wheel))]
    assert rows["llama_cpp/x.py"] == ["sha256=a", "6"]
    assert shared_libraries(made) == {}
