"""What the setup decides about a machine: compilers at once, CUDA or not, and which choices hold."""

from pathlib import Path

import pytest

from scripts.bootstrap.build_machine import (
    MIB,
    Cuda,
    CudaMissingError,
    Gpu,
    available_bytes,
    decide_cuda,
    find_gpu,
    find_nvcc,
    jobs,
    native_code,
)
from scripts.bootstrap.llama_wheel import Settings, cmake_arguments, recipe
from scripts.bootstrap.supervised import SetupError

ROOT = Path(__file__).resolve().parents[2]
GPU = Gpu(True, "/dev/nvidiactl")
NVCC = Path("/usr/local/cuda/bin/nvcc")


def put(root: Path, name: str, text: str = "") -> Path:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("cores", "available_mib", "expected"),
    [(4, 300, 1), (4, 700, 1), (4, 1600, 2), (4, 3400, 4), (16, 6000, 8), (1, 64000, 1), (4, 10, 1)],
)
def test_compilers_at_once_fit_cores_and_free_memory(cores, available_mib, expected):
    assert jobs(cores, available_mib * MIB, 640 * MIB) == expected


@pytest.mark.parametrize(
    "files",
    [
        {
            "proc/self/cgroup": "0::/user/app\n",
            "sys/fs/cgroup/user/memory.max": str(1000 * MIB),
            "sys/fs/cgroup/user/memory.current": str(700 * MIB),
            "sys/fs/cgroup/user/memory.stat": f"anon 1\nfile {200 * MIB}\n",
            "sys/fs/cgroup/user/app/memory.max": "max\n",
            "sys/fs/cgroup/user/app/memory.current": "5\n",
        },
        {
            "proc/self/cgroup": "11:cpu:/x\n4:memory:/app\n",
            "sys/fs/cgroup/memory/app/memory.limit_in_bytes": str(1000 * MIB),
            "sys/fs/cgroup/memory/app/memory.usage_in_bytes": str(700 * MIB),
            "sys/fs/cgroup/memory/app/memory.stat": f"total_cache {200 * MIB}\n",
        },
    ],
    ids=["v2, limit on the parent", "v1"],
)
def test_a_memory_limit_above_us_counts(tmp_path, files):
    put(tmp_path, "proc/meminfo", f"MemTotal: 9 kB\nMemAvailable:    {8000 * 1024} kB\n")
    assert available_bytes(tmp_path) == 8000 * MIB
    for name, text in files.items():
        put(tmp_path, name, text)
    assert available_bytes(tmp_path) == 500 * MIB


@pytest.mark.parametrize("node", ["dev/nvidiactl", "dev/nvhost-gpu", "dev/nvgpu"])
def test_a_gpu_is_known_by_its_device_node(tmp_path, node):
    assert find_gpu(tmp_path) is None
    put(tmp_path, node)
    assert find_gpu(tmp_path) == Gpu(True, f"/{node}")


def test_a_card_without_a_driver_is_seen_on_the_bus_and_its_sound_function_is_not(tmp_path):
    put(tmp_path, "sys/bus/pci/devices/0000:01:00.1/vendor", "0x10de\n")
    put(tmp_path, "sys/bus/pci/devices/0000:01:00.1/class", "0x040300\n")
    assert find_gpu(tmp_path) is None
    put(tmp_path, "sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n")
    put(tmp_path, "sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n")
    assert find_gpu(tmp_path) == Gpu(False, "PCI device 0000:01:00.0")


def test_nvcc_is_found_off_path_and_the_newest_toolkit_wins(tmp_path):
    nowhere = {"PATH": str(tmp_path / "bin")}
    assert find_nvcc(nowhere, tmp_path) is None
    for folder in ("usr/local/cuda-9.2", "usr/local/cuda-12.6", "home/toolkit"):
        put(tmp_path, f"{folder}/bin/nvcc").chmod(0o755)
    assert find_nvcc(nowhere, tmp_path) == tmp_path / "usr/local/cuda-12.6/bin/nvcc"
    for name in ("CUDA_HOME", "CUDA_PATH"):
        named = {**nowhere, name: str(tmp_path / "home/toolkit")}
        assert find_nvcc(named, tmp_path) == tmp_path / "home/toolkit/bin/nvcc"


@pytest.mark.parametrize(
    ("wanted", "gpu", "nvcc", "expected", "words"),
    [
        ("auto", GPU, NVCC, (NVCC, False), ["/dev/nvidiactl", str(NVCC)]),
        ("auto", GPU, None, (None, True), ["unused", "apt-get install nvidia-cuda-toolkit"]),
        ("auto", None, NVCC, (None, False), [str(NVCC), "no NVIDIA GPU"]),
        ("auto", None, None, (None, False), ["no NVIDIA GPU"]),
        ("auto", Gpu(False, "PCI device 1"), NVCC, (None, True), ["driver", "PCI device 1"]),
        ("1", None, NVCC, (NVCC, False), ["EDGECHAT_CUDA=1"]),
        ("0", GPU, NVCC, (None, False), ["EDGECHAT_CUDA=0"]),
    ],
)
def test_cuda_is_decided_with_its_reason(wanted, gpu, nvcc, expected, words):
    decision = decide_cuda(wanted, gpu, nvcc)
    assert (decision.nvcc, decision.warning) == expected
    assert [word for word in words if word not in decision.reason] == []


def test_demanded_cuda_without_a_compiler_fails_and_names_the_package():
    with pytest.raises(CudaMissingError, match="nvidia-cuda-toolkit"):
        decide_cuda("1", GPU, None)


def test_cuda_arguments_name_the_compiler_and_native_only_where_a_gpu_is():
    with_gpu = cmake_arguments(Settings(), Cuda(NVCC, ""), gpu=GPU)
    assert {"-DGGML_CUDA=ON", f"-DCMAKE_CUDA_COMPILER={NVCC}", "-DCMAKE_CUDA_ARCHITECTURES=native"} <= set(with_gpu)
    without_gpu = cmake_arguments(Settings(), Cuda(NVCC, ""), gpu=None)
    assert "-DCMAKE_CUDA_ARCHITECTURES=all-major" in without_gpu
    assert not any("CUDA" in argument for argument in cmake_arguments(Settings(), Cuda(None, ""), gpu=GPU))


def test_amx_is_switched_off_by_the_compilers_own_flags_where_the_processor_has_it():
    plain = cmake_arguments(Settings(), Cuda(None, ""), gpu=None)
    assert not any("amx" in argument for argument in plain)
    added = set(cmake_arguments(Settings(), Cuda(None, ""), gpu=None, has_amx=True)) - set(plain)
    assert {argument.partition("=")[0] for argument in added} == {
        "-DCMAKE_C_FLAGS_RELEASE",
        "-DCMAKE_CXX_FLAGS_RELEASE",
    }
    assert all(flag in argument for argument in added for flag in ("-O3", "-mno-amx-tile", "-mno-amx-int8"))


JETSON = Gpu(True, "/proc/device-tree/compatible", "87")


def test_a_jetson_is_known_by_its_chip_and_compiled_for_it_alone(tmp_path):
    put(tmp_path, "proc/device-tree/compatible", "nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0005\0nvidia,tegra234\0")
    assert find_gpu(tmp_path) == Gpu(False, "/proc/device-tree/compatible", "87")
    put(tmp_path, "dev/nvmap")
    assert find_gpu(tmp_path) == JETSON
    args = cmake_arguments(Settings(), Cuda(NVCC, ""), gpu=JETSON)
    assert {"-DCMAKE_CUDA_ARCHITECTURES=87", "-DGGML_CUDA_NO_VMM=ON"} <= set(args)
    assert not any("VMM" in argument for argument in cmake_arguments(Settings(), Cuda(NVCC, ""), gpu=GPU))


def test_a_jetson_whose_gpu_would_stay_unused_is_an_error_with_its_cure():
    with pytest.raises(CudaMissingError, match=r"/usr/local/cuda/bin/nvcc.*nvidia-jetpack.*EDGECHAT_CUDA=0"):
        decide_cuda("auto", JETSON, None)
    with pytest.raises(CudaMissingError, match=r"/dev/nvmap.*--runtime nvidia"):
        decide_cuda("auto", Gpu(False, "/proc/device-tree/compatible", "87"), NVCC)
    assert decide_cuda("0", JETSON, None).nvcc is None
    assert decide_cuda("auto", JETSON, NVCC).nvcc == NVCC


def test_the_users_cmake_arguments_come_last():
    args = cmake_arguments(Settings(cmake_args='-DGGML_NATIVE=OFF "-DA=b c"'), Cuda(None, ""), gpu=None)
    assert args[-2:] == ["-DGGML_NATIVE=OFF", "-DA=b c"]
    assert args.index("-DGGML_NATIVE=ON") < len(args) - 2


def test_a_choice_holds_until_another_one_is_made(tmp_path):
    file = tmp_path / "settings.json"
    assert Settings.load(file) == Settings()
    chosen = Settings.choose({"EDGECHAT_VISION": "1", "CMAKE_ARGS": "-DX=1"}, Settings.load(file))
    chosen.save(file)
    assert Settings.choose({}, Settings.load(file)) == Settings(vision=True, cmake_args="-DX=1")
    again = Settings.choose({"EDGECHAT_VISION": "0", "CMAKE_ARGS": ""}, Settings.load(file))
    assert again == Settings()


@pytest.mark.parametrize("name", ["EDGECHAT_VISION", "EDGECHAT_CUDA"])
def test_a_meaningless_choice_is_refused_by_name(name):
    with pytest.raises(SetupError, match=name) as refused:
        Settings.choose({name: "yes"}, Settings())
    assert refused.value.status == 2


@pytest.mark.process
def test_a_wheel_is_kept_by_all_that_decides_it(monkeypatch):
    environ = {"PATH": "/usr/bin:/bin"}

    def key(version: str = "1.0", settings: Settings = Settings(cuda="0"), **more: str) -> str:  # noqa: B008
        return recipe(ROOT, version, settings, {**environ, **more}).key

    assert key() == key()
    others = [key("1.1"), key(settings=Settings(vision=True, cuda="0")), key(CFLAGS="-O1"),
              key(settings=Settings(cmake_args="-DX=1", cuda="0"))]  # fmt: skip
    assert len({key(), *others}) == 5


@pytest.mark.process
def test_the_compiler_says_what_the_processor_offers():
    import os

    said = native_code(dict(os.environ))
    assert "__VERSION__" in said
    assert native_code({"PATH": "/nonexistent"}) == ""
