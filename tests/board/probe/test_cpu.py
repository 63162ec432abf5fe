"""Cores, big cores, hyper-threads and SIMD features, read from recorded machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgechat.board.probe.cpu import features, parse_cpu_list, parse_cpuinfo, read_cpu
from edgechat.board.source import Source
from tests.board.trees import BOARDS, cpus, write

if TYPE_CHECKING:
    from pathlib import Path

A76 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"


def test_rk3588_has_four_big_cores(tmp_path: Path) -> None:
    # Its A76 clusters are binned apart: 1024 and 1010 are the same kind, the A55's 530 is not.
    source = write(tmp_path, cpus(A76, {0: 530, 1: 530, 2: 530, 3: 530, 4: 1010, 5: 1010, 6: 1024, 7: 1024}))
    cpu = read_cpu(source, None, [])
    assert (cpu.n_cores, cpu.n_threads, cpu.n_big_cores) == (8, 8, 4)
    assert cpu.features == ("dotprod", "fp16", "neon")


def test_intel_hybrid_counts_p_cores_once_though_they_have_two_threads(tmp_path: Path) -> None:
    # 2 P-cores with hyper-threads (0-3) and 4 E-cores (4-7); turbo clocks of the P-cores differ by 200 MHz.
    files = {
        "commands/uname": "Linux 6.8.0 x86_64\n",
        "proc/cpuinfo": "".join(f"processor\t: {n}\nflags\t: sse2 avx avx2 fma f16c\n\n" for n in range(8)),
        "proc/self/status": "Cpus_allowed_list:\t0-7\n",
        "sys/devices/system/cpu/online": "0-7\n",
        "sys/devices/cpu_core/cpus": "0-3\n",
        "sys/devices/cpu_atom/cpus": "4-7\n",
    }
    for n in range(8):
        pair = f"{n // 2 * 2}-{n // 2 * 2 + 1}" if n < 4 else str(n)
        files[f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list"] = pair
        files[f"sys/devices/system/cpu/cpu{n}/cpufreq/cpuinfo_max_freq"] = "4700000" if n < 2 else "4900000"
    cpu = read_cpu(write(tmp_path, files), None, [])
    assert (cpu.n_cores, cpu.n_threads, cpu.n_big_cores) == (6, 8, 2)
    assert cpu.max_mhz == 4900


def test_turbo_bins_do_not_make_small_cores(tmp_path: Path) -> None:
    files = cpus(A76, dict.fromkeys(range(4), 0))
    for n, khz in enumerate((5_200_000, 5_200_000, 5_000_000, 5_000_000)):
        files[f"sys/devices/system/cpu/cpu{n}/cpufreq/cpuinfo_max_freq"] = str(khz)
    assert read_cpu(write(tmp_path, files), None, []).n_big_cores == 4


def test_cores_that_a_power_mode_switched_off_are_not_counted(tmp_path: Path) -> None:
    files = cpus(A76, dict.fromkeys(range(8), 1024))
    files["sys/devices/system/cpu/online"] = "0-3\n"
    assert read_cpu(write(tmp_path, files), None, []).n_threads == 4


def test_affinity_to_small_cores_makes_those_the_big_ones(tmp_path: Path) -> None:
    files = cpus(A76, {0: 530, 1: 530, 4: 1024, 5: 1024})
    files["proc/self/status"] = "Cpus_allowed_list:\t0-1\n"
    cpu = read_cpu(write(tmp_path, files), None, [])
    assert (cpu.n_cores, cpu.n_big_cores) == (2, 2)


@pytest.mark.parametrize(("quota", "threads"), [(0.5, 1), (1.0, 1), (1.5, 2), (2.0, 2), (2.0000000001, 2), (64.0, 4)])
def test_a_cpu_quota_lowers_the_counts_rounded_up(tmp_path: Path, quota: float, threads: int) -> None:
    cpu = read_cpu(write(tmp_path, cpus(A76, dict.fromkeys(range(4), 1024))), quota, [])
    assert (cpu.n_threads, cpu.n_cores, cpu.n_big_cores) == (threads, threads, threads)
    assert cpu.quota == quota


def test_a_feature_that_one_core_lacks_is_not_a_feature() -> None:
    big = {"Features": "asimd asimddp i8mm sve"}
    small = {"Features": "asimd asimddp"}
    assert features([big, small]) == ("dotprod", "neon")
    assert features([]) == ()


def test_avx512_and_amx_are_named_as_the_kernel_names_them() -> None:
    assert features([{"flags": "fpu sse2 avx512f avx512vl avx_vnni amx_tile amx_int8 avx512_vp2intersect"}]) == (
        "amx_int8",
        "amx_tile",
        "avx512f",
        "avx512vl",
        "avx_vnni",
    )


def test_32_bit_arm_prints_shared_fields_once() -> None:
    text = "Processor\t: ARMv7\nprocessor\t: 0\n\nprocessor\t: 1\n\nFeatures\t: neon vfpv4\nHardware\t: BCM2709\n"
    assert features(parse_cpuinfo(text).values()) == ("neon",)


def test_an_unreadable_machine_still_has_one_core_and_says_what_is_missing(tmp_path: Path) -> None:
    notes: list[str] = []
    cpu = read_cpu(Source(tmp_path / "nothing"), None, notes)
    assert (cpu.n_cores, cpu.n_threads, cpu.n_big_cores) == (1, 1, 1)
    assert len(notes) == 3


@given(st.frozensets(st.integers(0, 300)))
def test_cpu_lists_round_trip(numbers: frozenset[int]) -> None:
    assert parse_cpu_list(",".join(map(str, sorted(numbers)))) == numbers


@given(st.text(alphabet="0123456789,- \nab\u00b9\u0663", max_size=24))
@example("0-99999999999999")
def test_cpu_lists_of_any_text_are_survived(text: str) -> None:
    assert len(parse_cpu_list(text)) <= 1 << 17


def test_models_are_named_for_people() -> None:
    assert read_cpu(Source(BOARDS / "pi4-4gb"), None, []).model == "Cortex-A72"
    assert read_cpu(Source(BOARDS / "ipc-8gb"), None, []).model == "Intel(R) N100"
