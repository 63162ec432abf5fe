"""The speed constants of one board: from the table, from the starter model measured on it, or assumed. Pure.

Each answer is two sets of constants. ``likely`` is what is shown. ``careful`` is what a recommendation may rely on: the
less is known of a board, the lower it is, so that an unknown board never gets a model that may be unreadably slow.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from edgechat.board.probe.recognised_boards import speeds_like
from edgechat.models.planning.calibration import best
from edgechat.models.planning.speed_model import SPREAD, Machine, decode_seconds, prefill_seconds, scaled
from edgechat.models.planning.speed_table import ARITHMETIC, BOARDS, MACHINES, machine
from edgechat.models.planning.starter_speed import STARTER, STARTER_PROMPT, infer
from edgechat.models.store.installed import STARTER_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgechat.board.board import Accelerator, Board, Cpu
    from edgechat.models.planning.calibration import Measurement

UNDISTURBED = 0.8
"""With a smaller share of the processor than this, other programs distorted a measurement."""
MEANINGLESS = 0.5
"""With a smaller share than this it says nothing: two threads wait for each other. An assumption is better."""

_CORES = {"i5-9500": 6, "cix-p1": 12, "dragon-q8b": 8}
_USUAL_CORES = 4
"""Cores that the rows of a board of the table were measured with."""

# Boards of which nothing is known. Of each kind the slowest board of the table, by core: Pi 5 (A76), Pi 4 (A72), N100.
_PER_CORE = {"dotprod": 2.4, "neon": 0.82, "avx2": 3.2, "scalar": 0.15}
"""GB/s that one core decodes."""
_MOST = {"dotprod": 9.8, "neon": 3.3, "avx2": 10.0, "scalar": 0.6}
"""GB/s that all cores together decode, unless a data sheet tells the memory's bandwidth."""
_REACHED = {"dotprod": 0.55, "neon": 0.25, "avx2": 0.5, "scalar": 0.01}
"""Share of a data sheet's bandwidth that decoding reaches on a narrow bus; on a wide one the cores are the limit."""
_FLOP_PER_CYCLE = {"dotprod": 12.0, "neon": 2.6, "avx2": 15.0, "scalar": 8.0}
_USUAL_MHZ = 1500
_DEVICE_REACHED, _DEVICE_GFLOPS_PER_GB = 0.5, 25.0
"""Share of a GPU's bandwidth that decoding reaches, and GFLOP/s of prefill for each GB/s of it: M1 29, Orin 76."""
_LEAST_DEVICE = 48.0
"""GB/s of the slowest card that llama.cpp's CUDA backend still serves (GT 1030, GDDR5)."""
_FITTED_ERROR = 0.10
"""Twice the median error of fitted boards: four of five rows are not slower than this."""
_UNKNOWN = 2.0
"""How much slower an unknown board may be than the slowest of its kind: an older core, memory in one channel."""
_TRUSTED = 1.15
"""A board's table scaled by the starter's speed on it."""


_MIXTURES, _MIXTURES_UNKNOWN = 1.2, 1.65
"""How much slower a mixture of experts may be than predicted: rows of a Pi 5 lie between 5 and 9 GB/s, and 8.2 is
predicted. A board that the table does not have counts with the least of them."""


class BoardSpeed(NamedTuple):
    """The constants of one board for one way to compute."""

    likely: Machine
    careful: Machine
    mixtures: float = _MIXTURES_UNKNOWN
    """Factor on the time of decoding a mixture of experts, for ``careful``."""


def with_starter_speed(board: Board, measured: Mapping[str, tuple[Measurement, ...]]) -> Board:
    """The board with the speed of the starter model on it, where the calibration has one worth using."""
    found = starter_measurement(measured)
    if found is None or found.cpu_share < (UNDISTURBED if is_known(board) else MEANINGLESS):
        return board
    return replace(board, starter_prefill_tps=found.prefill_tps, starter_decode_tps=found.decode_tps)


def starter_measurement(measured: Mapping[str, tuple[Measurement, ...]]) -> Measurement | None:
    """The best measurement of the starter on the processor, mapped as it was when the shares were chosen."""
    start = f"{STARTER_NAME}:"
    found = [item for key, items in measured.items() if key.startswith(start) for item in items]
    return best(item for item in found if item.n_gpu_layers == 0)


def cpu_speed(board: Board) -> BoardSpeed:
    """The constants of the processor.

    The table's, scaled by the starter where it was measured here; else the starter's alone; else assumed.
    """
    known = _from_table(board, "cpu")
    if board.starter_decode_tps and board.starter_prefill_tps:
        if known is not None:
            found = _scaled_by_starter(known, board.starter_decode_tps, board.starter_prefill_tps)
            return found._replace(mixtures=_MIXTURES)
        inferred = infer(board.starter_decode_tps, board.starter_prefill_tps, arithmetic=starter_arithmetic(board.cpu))
        return BoardSpeed(inferred.likely, inferred.careful)
    if known is not None:
        return _with_spread(known)._replace(mixtures=_MIXTURES)
    guess = _assumed(board)
    if board.memory.bandwidth:
        return _with_spread(guess)
    return BoardSpeed(guess, scaled(guess, 1 / _UNKNOWN, 1 / _UNKNOWN, guess.basis))


def device_speed(board: Board, device: Accelerator) -> BoardSpeed:
    """The constants of a GPU: the table's, else from its data sheet's bandwidth, else assumed."""
    known = _from_table(board, device.kind) if device.unified else None
    if known is not None:
        return _with_spread(known)._replace(mixtures=1.0)
    reached = (device.bandwidth / 1e9 if device.bandwidth else _LEAST_DEVICE) * _DEVICE_REACHED
    basis = "scaled: the data sheet's bandwidth" if device.bandwidth else "assumed: nothing tells this GPU's bandwidth"
    arithmetic = ARITHMETIC["metal" if device.kind == "metal" else "cuda"]
    guess = Machine(reached, 4.0, reached * _DEVICE_GFLOPS_PER_GB, arithmetic, basis)
    return _with_spread(guess)._replace(mixtures=1.0)


def is_known(board: Board) -> bool:
    """Whether the table has this board, so that a plan needs no measurement."""
    ways = {device.kind for device in board.accelerators} or {"cpu"}
    return any(_from_table(board, way) is not None for way in ways)


def starter_arithmetic(cpu: Cpu) -> str:
    """The kind of arithmetic that ``starter_speed.infer`` tells apart."""
    if any(feature.startswith("avx512") for feature in cpu.features):
        return "avx512"
    return _arithmetic(cpu)


def _arithmetic(cpu: Cpu) -> str:
    features = set(cpu.features)
    if features & {"dotprod", "i8mm"}:
        return "dotprod"
    if cpu.arch in {"aarch64", "arm64"} or "neon" in features:
        return "neon"
    return "avx2" if "avx2" in features else "scalar"


def _from_table(board: Board, way: str) -> Machine | None:
    mode = board.power_mode
    if board.name.startswith(tuple(BOARDS)):
        found, soc = machine(board.name, mode, way), board.name
    else:
        soc = speeds_like(board.model, board.cpu.model)
        found = MACHINES.get(f"{soc}/{way}")
    return _with_cores(found, soc, board.cpu) if found is not None and way == "cpu" else found


def _with_cores(on: Machine, soc: str, cpu: Cpu) -> Machine:
    """The constants with fewer cores than the rows were measured with: a container, a quota."""
    cores = next((count for name, count in _CORES.items() if soc.startswith(name)), _USUAL_CORES)
    usable = min(cpu.n_big_cores, cpu.quota or cpu.n_big_cores)
    if usable >= cores:
        return on
    share = usable / cores
    return scaled(on, share, share, f"scaled: {usable:g} of {cores} cores of such a board")


def _scaled_by_starter(known: Machine, decode_tps: float, prefill_tps: float) -> BoardSpeed:
    """A board of the table that is faster or slower than its rows: cooling, firmware, other programs."""
    decode = decode_tps * decode_seconds(STARTER, known)
    prefill = prefill_tps * prefill_seconds(STARTER, known, STARTER_PROMPT)
    likely = scaled(known, decode, prefill, "scaled: the board's table, by the starter measured here")
    likely = replace(likely, fixed_ms=known.fixed_ms / decode)
    return BoardSpeed(likely, scaled(likely, 1 / _TRUSTED, 1 / _TRUSTED, likely.basis))


def _assumed(board: Board) -> Machine:
    cpu, kind = board.cpu, _arithmetic(board.cpu)
    cores = min(cpu.n_big_cores, cpu.quota or cpu.n_big_cores)
    most, basis = _MOST[kind], "assumed: the slowest board of its kind, core by core"
    if board.memory.bandwidth:
        most, basis = board.memory.bandwidth / 1e9 * _REACHED[kind], "scaled: the data sheet's bandwidth"
    return Machine(
        bandwidth=min(most, _PER_CORE[kind] * cores),
        fixed_ms=1.0,
        gflops=cores * (cpu.max_mhz or _USUAL_MHZ) / 1e3 * _FLOP_PER_CYCLE[kind],
        arithmetic=ARITHMETIC[kind],
        basis=basis,
    )


def _with_spread(on: Machine) -> BoardSpeed:
    kind = on.basis.partition(":")[0]
    less = 1 / (1 + (_FITTED_ERROR if kind == "fitted" else SPREAD[kind]))
    return BoardSpeed(on, scaled(on, less, less, on.basis))
