"""Constants of the known boards: bandwidth, fixed time and arithmetic rate by board, way and power mode.

What stands between the markers is written by ``scripts/speed_model/fit_speed.py`` from two thirds of the usable rows of
``tests/models/planning/published/board_speeds.tsv``.
"""

from __future__ import annotations

import math

from edgechat.models.planning.speed_model import Arithmetic, Machine, scaled

# >>> fitted by scripts/speed_model/fit_speed.py
# fmt: off
ARITHMETIC: dict[str, Arithmetic] = {
    "avx2": Arithmetic(
        kinds={"moe": 1.53},
        slower={"moe": 1.19},
        attention=1.99,
    ),
    "blas": Arithmetic(
        kinds={"moe": 1.53},
        slower={"moe": 1.19},
        attention=2.00,
    ),
    "cuda": Arithmetic(
        types={"q5_0": 0.97, "q5_1": 0.97, "q8_0": 1.06},
        slower={"q5_0": 1.28, "q8_0": 0.79},
        attention=0.86, setup=0.29,
    ),
    "dotprod": Arithmetic(
        types={"iq3": 0.53, "iq4_nl": 1.35, "iq4_xs": 0.53, "mxfp4": 1.35, "q3_k": 0.53, "q4_0": 1.35,
            "q4_1": 0.53, "q4_k": 1.00, "q5_0": 0.53, "q5_1": 0.53, "q5_k": 0.94, "q6_k": 1.11, "q8_0": 0.80},
        kinds={"deltanet": 1.23, "moe": 1.53},
        slower={"moe": 1.19},
        plain=0.53, attention=1.87,
    ),
    "maxwell": Arithmetic(
        attention=1.00,
    ),
    "metal": Arithmetic(
        types={"iq3": 0.99, "q8_0": 1.00},
        kinds={"deltanet": 1.02},
        slower={"iq3": 1.21},
        attention=1.02, setup=0.34,
    ),
    "mlc": Arithmetic(
        slower={"gemma2": 1.59},
        attention=1.00,
    ),
    "neon": Arithmetic(
        types={"iq3": 0.65, "iq4_nl": 1.02, "iq4_xs": 1.17, "mxfp4": 1.17, "q3_k": 0.99, "q4_0": 1.17,
            "q4_1": 1.17, "q5_0": 0.99, "q5_1": 0.96, "q5_k": 0.97, "q6_k": 0.95, "q8_0": 1.22},
        kinds={"moe": 1.53},
        slower={"iq3": 1.37, "moe": 1.19},
        attention=3.85,
    ),
    "npu": Arithmetic(
        types={"w4a16": 0.78},
        kinds={"deltanet": 1.00, "gemma3n": 1.00, "ple": 1.04},
        attention=2.02, setup=0.28,
    ),
    "scalar": Arithmetic(
        kinds={"moe": 1.53},
        slower={"moe": 1.19},
        attention=2.00,
    ),
}
ENGINES: dict[str, tuple[float, float]] = {
    "": (1.0, 1.0),
    "ollama": (0.99, 1.00),
    "ollama-gpu": (1.05, 1.00),
    "ik_llama": (0.92, 0.46),
    "mnn": (0.99, 1.50),
    "litert": (1.03, 3.31),
    "vllm.cpp": (0.67, 0.48),
    "rustllm": (0.83, 1.00),
    "llamafile": (1.00, 1.63),
}
"""Decode and prefill relative to llama.cpp, by engine."""
_FITTED: dict[str, Machine] = {
    "a18-pro/metal": Machine(43.1, 3.0, 1326, ARITHMETIC["metal"], "few: 1 decode, 0 prefill"),
    "agx-orin-64gb/cuda@MAXN": Machine(118., 2.7, 9772, ARITHMETIC["cuda"], "fitted: 3 decode, 0 prefill"),
    "agx-orin-64gb/mlc@MAXN": Machine(162., 3.1, 10650, ARITHMETIC["mlc"], "few: 1 decode, 0 prefill"),
    "cix-p1/cpu": Machine(30.2, 1.0, 450, ARITHMETIC["dotprod"], "fitted: 6 decode, 1 prefill"),
    "dragon-q6a/cpu": Machine(16.6, 1.0, 141, ARITHMETIC["dotprod"], "scaled: data sheet, its kind"),
    "dragon-q8b/cpu": Machine(22.1, 1.0, 380, ARITHMETIC["dotprod"], "few: 0 decode, 1 prefill"),
    "i5-1135g7/cpu": Machine(26.8, 1.0, 239, ARITHMETIC["avx2"], "scaled: data sheet, its kind"),
    "i5-9500/cpu": Machine(22.4, 1.0, 368, ARITHMETIC["avx2"], "scaled: data sheet, its kind"),
    "i7-8550u/cpu": Machine(20.9, 1.0, 194, ARITHMETIC["avx2"], "few: 2 decode, 2 prefill"),
    "jetson-nano-4gb/cpu": Machine(3.45, 1.0, 12, ARITHMETIC["neon"], "few: 1 decode, 1 prefill"),
    "jetson-nano-4gb/cuda": Machine(4.78, 3.0, 166, ARITHMETIC["maxwell"], "few: 1 decode, 1 prefill"),
    "m1/metal": Machine(47.4, 3.1, 1355, ARITHMETIC["metal"], "few: 1 decode, 1 prefill"),
    "m2/blas": Machine(57.8, 1.0, 634, ARITHMETIC["blas"], "few: 1 decode, 1 prefill"),
    "m4/metal": Machine(94.7, 4.2, 3005, ARITHMETIC["metal"], "fitted: 6 decode, 5 prefill"),
    "n100/cpu": Machine(12.7, 1.0, 92, ARITHMETIC["avx2"], "few: 2 decode, 1 prefill"),
    "n150/cpu": Machine(13.4, 1.0, 91, ARITHMETIC["avx2"], "scaled: data sheet, its kind"),
    "orin-nano-8gb/cuda@15W": Machine(35.0, 3.4, 2686, ARITHMETIC["cuda"], "fitted: 5 decode, 4 prefill"),
    "orin-nano-8gb/cuda@25W": Machine(52.6, 2.7, 3861, ARITHMETIC["cuda"], "fitted: 4 decode, 4 prefill"),
    "orin-nano-8gb/cuda@7W": Machine(13.4, 3.6, 1126, ARITHMETIC["cuda"], "fitted: 4 decode, 4 prefill"),
    "orin-nano-8gb/cuda@MAXN": Machine(52.0, 3.0, 3973, ARITHMETIC["cuda"], "fitted: 4 decode, 4 prefill"),
    "orin-nano-8gb/mlc@15W": Machine(60.1, 2.9, 2506, ARITHMETIC["mlc"], "few: 2 decode, 0 prefill"),
    "orin-nano-8gb/mlc@25W": Machine(82.2, 2.9, 3760, ARITHMETIC["mlc"], "few: 2 decode, 0 prefill"),
    "p550/cpu": Machine(0.577, 1.0, 45, ARITHMETIC["scalar"], "few: 2 decode, 0 prefill"),
    "pi-zero-2w/cpu": Machine(0.665, 1.0, 10, ARITHMETIC["neon"], "assumed: one row, of another engine"),
    "pi4/cpu": Machine(3.29, 1.0, 19, ARITHMETIC["neon"], "fitted: 28 decode, 24 prefill"),
    "pi5/cpu": Machine(9.83, 0.9, 118, ARITHMETIC["dotprod"], "fitted: 30 decode, 14 prefill"),
    "rk3562/npu": Machine(6.85, 2.9, 177, ARITHMETIC["npu"], "few: 2 decode, 2 prefill"),
    "rk3576/npu": Machine(12.5, 4.1, 667, ARITHMETIC["npu"], "few: 2 decode, 2 prefill"),
    "rk3588/cpu": Machine(10.7, 1.0, 118, ARITHMETIC["dotprod"], "fitted: 5 decode, 5 prefill"),
    "rk3588/npu": Machine(15.2, 3.0, 862, ARITHMETIC["npu"], "few: 2 decode, 0 prefill"),
    "rk3588/npu@max": Machine(27.6, 3.0, 925, ARITHMETIC["npu"], "fitted: 3 decode, 3 prefill"),
}
# fmt: on
# <<< fitted by scripts/speed_model/fit_speed.py

# Board, way and mode nobody published -> the fitted one, its bandwidth and arithmetic relative to that, basis.
_SCALED: dict[str, tuple[str, float, float, str]] = {
    "orin-nano-4gb/cuda@7W": ("orin-nano-8gb/cuda@7W", 0.5, 0.5, "scaled: half the memory and cores of the 8 GB"),
    "orin-nano-4gb/cuda@10W": ("orin-nano-8gb/cuda@15W", 0.5, 0.5, "scaled: half the memory and cores of the 8 GB"),
    "orin-nano-4gb/cuda@25W": ("orin-nano-8gb/cuda@25W", 0.5, 0.5, "scaled: half the memory and cores of the 8 GB"),
    "orin-nano-4gb/cuda@MAXN": ("orin-nano-8gb/cuda@MAXN", 0.5, 0.5, "scaled: half the memory and cores of the 8 GB"),
    "orin-nx-16gb/cuda@15W": ("orin-nano-8gb/cuda@15W", 1.0, 1.0, "scaled: the Orin Nano's GPU; sources contradict"),
    "orin-nx-16gb/cuda@25W": (
        "orin-nano-8gb/cuda@15W",
        0.6,
        0.6,
        "assumed: sources contradict (15 to 28 GB/s reached)",
    ),
    "orin-nx-16gb/cuda@MAXN": ("orin-nano-8gb/cuda@25W", 1.0, 1.0, "scaled: the Orin Nano's GPU and bandwidth"),
    "agx-orin-64gb/cuda@15W": ("agx-orin-64gb/cuda@MAXN", 0.15, 0.15, "assumed: less than the untold low mode"),
    "agx-orin-64gb/cuda@30W": ("agx-orin-64gb/cuda@MAXN", 0.22, 0.35, "assumed: six rows in an untold low mode"),
    "agx-orin-64gb/cuda@50W": ("agx-orin-64gb/cuda@MAXN", 0.5, 0.6, "assumed: between 30W and MAXN"),
    "agx-orin-32gb/cuda@15W": ("agx-orin-64gb/cuda@MAXN", 0.13, 0.1, "assumed: as the 64 GB, fewer cores"),
    "agx-orin-32gb/cuda@30W": ("agx-orin-64gb/cuda@MAXN", 0.2, 0.25, "assumed: as the 64 GB, fewer cores"),
    "agx-orin-32gb/cuda@MAXN": ("agx-orin-64gb/cuda@MAXN", 0.9, 0.62, "scaled: 1792 cores at 0.93 GHz"),
    "m2/metal": ("m4/metal", 100 / 120, 0.80, "scaled: data sheet bandwidth, Apple's TFLOPS"),
    "m3/metal": ("m4/metal", 100 / 120, 0.85, "scaled: data sheet bandwidth, Apple's TFLOPS"),
}
MACHINES: dict[str, Machine] = _FITTED | {
    key: scaled(_FITTED[like], bandwidth, rate, basis) for key, (like, bandwidth, rate, basis) in _SCALED.items()
}

# Board names of ``--board`` -> key of MACHINES, by the longest prefix; the mode is appended.
BOARDS: dict[str, tuple[str, str]] = {
    "pi-zero-2w": ("pi-zero-2w/cpu", ""),
    "pi4": ("pi4/cpu", ""),
    "pi400": ("pi4/cpu", ""),
    "pi5": ("pi5/cpu", ""),
    "pi500": ("pi5/cpu", ""),
    "rk3588": ("rk3588/cpu", ""),
    "rock-5b-plus": ("rk3588/cpu", ""),
    "orange-pi-5": ("rk3588/cpu", ""),
    "n100": ("n100/cpu", ""),
    "n150": ("n150/cpu", ""),
    "jetson-nano-4gb": ("jetson-nano-4gb/cpu", ""),
    "orin-nano-4gb": ("orin-nano-4gb/cuda", "10W"),
    "orin-nano-8gb": ("orin-nano-8gb/cuda", "15W"),
    "orin-nx-8gb": ("orin-nx-16gb/cuda", "15W"),
    "orin-nx-16gb": ("orin-nx-16gb/cuda", "15W"),
    "agx-orin-32gb": ("agx-orin-32gb/cuda", "30W"),
    "agx-orin-64gb": ("agx-orin-64gb/cuda", "30W"),
    "mac-m1": ("m1/metal", ""),
    "mac-m2": ("m2/metal", ""),
    "mac-m3": ("m3/metal", ""),
    "mac-m4": ("m4/metal", ""),
}
"""With the power mode that is assumed where none is told: the module's default, never the fastest."""


def machine(board: str, mode: str = "", way: str = "") -> Machine | None:
    """The constants of a known board, or None.

    Args:
        board: as ``--board`` names it; a memory size at its end does not matter.
        mode: the power mode, ``15W`` or ``MAXN``; ``""`` for the module's default. One that the table lacks counts as
            the next weaker one.
        way: ``cpu``, ``cuda`` or ``metal`` where it is not the board's usual one.
    """
    prefix = max((name for name in BOARDS if board.startswith(name)), key=len, default="")
    if not prefix:
        return None
    key, default = BOARDS[prefix]
    key = f"{key.partition('/')[0]}/{way}" if way else key
    modes = sorted((_watts(name), name) for name in MACHINES if name.startswith(f"{key}@"))
    if not modes:
        return MACHINES.get(key)
    weaker = [name for watts, name in modes if watts <= _watts(f"@{mode or default}")]
    return MACHINES[weaker[-1] if weaker else modes[0][1]]


def _watts(key: str) -> float:
    watts = key.partition("@")[2].removesuffix("W")
    return float(watts) if watts.isdigit() else math.inf
