"""The expected speed of a plan: from a calibration of this board, else estimated from memory bandwidth. Pure.

Decoding one token reads every active weight once, so its speed is bandwidth over bytes read. The share of a data
sheet's bandwidth that is reached comes from published runs. Prefill is limited by arithmetic and is not estimated: it
is None until it has been measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.models.planning.memory_need import kv_by_layer
from edgechat.models.planning.plan import Estimate

if TYPE_CHECKING:
    from edgechat.board.board import Accelerator, Board, Cpu
    from edgechat.models.gguf.shape import ModelShape, WeightBytes
    from edgechat.models.planning.calibration import Measurement
    from edgechat.models.planning.plan import LoadSettings

FILLED_TOKENS = 512
"""Tokens in the context that estimates assume."""

# Share of the peak bandwidth that decoding reaches. Pi 5 (17.07 GB/s): 3B Q4_K_M 5.6 tok/s x 1.93 GB = 0.63, 8B 2.2 x
# 4.92 = 0.63, 1.5B Q8_0 5.8 x 1.65 = 0.56. Orin Nano Super (102.4 GB/s): 3B 30 x 2.02 = 0.59, 1B 62 x 0.81 = 0.49; AGX
# Orin (204.8 GB/s): 8B 25 x 4.92 = 0.60. Cores without dot products (Cortex-A53, A57, A72) do not keep up with their
# memory: pages about the Pi 4 (12.8 GB/s) report 5 to 7 GB/s, and contradict each other otherwise.
_CPU, _CPU_PLAIN, _GPU = 0.60, 0.45, 0.55
_PLAIN_BYTES_PER_CYCLE = 0.85
"""Weights that one core without dot products unpacks and multiplies in a cycle: the Pi 4's 6 GB/s by 4 x 1.8 GHz."""
_DOT_PRODUCTS = frozenset({"dotprod", "i8mm", "avx2"})


ASSUMED_BANDWIDTH = 19_200_000_000
"""Bandwidth that the choice of a model assumes where it is unknown: one channel of DDR4-2400, the least in industrial
PCs and mini PCs of the last ten years. It is never shown as an estimate."""


def estimate(
    board: Board,
    shape: ModelShape,
    weights: WeightBytes,
    settings: LoadSettings,
    *,
    measured: Measurement | None = None,
    device: Accelerator | None = None,
) -> Estimate:
    """Estimate the speed of one plan.

    Args:
        board: gives bandwidth and features.
        shape: the model.
        weights: its bytes.
        settings: its load settings.
        measured: the calibration of this model on this board, if any.
        device: the device of ``settings.n_gpu_layers``.
    """
    if measured is not None:
        return Estimate(measured.prefill_tps, measured.decode_tps, "calibrated")
    bandwidth = board.memory.bandwidth
    on_device, on_cpu = bytes_per_token(shape, weights, settings)
    if on_device and device is not None and device.bandwidth is None:
        return Estimate(None, None, "unknown")
    if on_cpu and not bandwidth:
        return Estimate(None, None, "unknown")
    seconds = on_cpu / _reached(board.cpu, bandwidth) if on_cpu and bandwidth else 0.0
    if on_device and device is not None and device.bandwidth:
        seconds += on_device / (device.bandwidth * _GPU)
    return Estimate(None, round(1 / seconds, 1) if seconds else None, "bandwidth" if seconds else "unknown")


def _reached(cpu: Cpu, bandwidth: int) -> float:
    """Bytes a second that this processor reaches in decoding, with memory of this bandwidth."""
    if _DOT_PRODUCTS & set(cpu.features):
        return bandwidth * _CPU
    plain = bandwidth * _CPU_PLAIN
    return min(plain, cpu.n_big_cores * cpu.max_mhz * 1e6 * _PLAIN_BYTES_PER_CYCLE) if cpu.max_mhz else plain


def bytes_per_token(shape: ModelShape, weights: WeightBytes, settings: LoadSettings) -> tuple[int, int]:
    """Bytes read to decode one token, on the device and on the CPU.

    One row of the embeddings is neglected; of a mixture's experts only the used ones count, and of the KV cache the
    cells of ``FILLED_TOKENS`` tokens.
    """
    used = shape.n_expert_used / shape.n_expert if shape.n_expert else 1.0
    layers = sum(weights.per_layer)
    idle = weights.experts * (1 - used) / layers if layers else 0.0
    filled = min(1.0, FILLED_TOKENS / settings.n_ctx)
    caches = kv_by_layer(shape, settings)
    first = max(0, shape.n_layer + 1 - settings.n_gpu_layers)
    read = [size * (1 - idle) + cache * filled for size, cache in zip(weights.per_layer, caches, strict=True)]
    on_device = sum(read[first:]) + (weights.output if settings.n_gpu_layers else 0)
    on_cpu = sum(read[:first]) + (0 if settings.n_gpu_layers else weights.output)
    on_cpu += weights.other - weights.per_layer_embedding if not settings.n_gpu_layers or first else 0
    return round(on_device), round(on_cpu)
