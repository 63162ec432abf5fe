"""The ladder of load settings for one model on one board, largest first, and the methods to load it. Pure.

Steps reduce, in this order: ubatch and number of sequences (further where each needs a window or a recurrent state),
context, KV type. ``fit.py`` changes quantization and model. Every step needs less memory than the one before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgechat.models.planning.calibration import best
from edgechat.models.planning.context_length import DEFAULT_N_CTX, TIGHT_N_CTX, USABLE_N_CTX, contexts, padded
from edgechat.models.planning.kv_types import SMALLER_KV_TYPES
from edgechat.models.planning.memory_need import checkpoint_size, memory_need, tensor_total
from edgechat.models.planning.plan import LoadSettings
from edgechat.models.planning.reserve import reserve, usable_device_memory, usable_memory
from edgechat.plaintext import megabytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.board.board import Accelerator, Board
    from edgechat.models.planning.calibration import Measurement
    from edgechat.models.planning.candidate import Candidate
    from edgechat.models.planning.plan import MemoryNeed, PlanRequest

_N_BATCH = 512
# Qwen2.5-1.5B on 2 AVX2 cores: ubatch 128 reads 59 tok/s, 512 reads 54 and takes 30 MB more.
_CPU_UBATCHES, _GPU_UBATCHES = (128, 64, 32), (512, 256, 128)
_MOST_CHECKPOINTS, _CHECKPOINT_BYTES = 24, 256 * 1024 * 1024
"""Two for each of the last dozen turns, within a bound: a question further back is edited seldom."""
_FEWEST_CHECKPOINTS = 2
"""After the instructions, and before the last answer. A window needs none: its layers keep more cells than they see."""
LONGEST_DRAFT = 7
"""Tokens, for models with recurrent states or sliding windows."""
_ROLLBACK_BYTES = 16 * 1024 * 1024
"""Most memory for the states of drafted tokens (LFM2 1.2B: 5 MB). Where they are larger, the state is copied before a
draft (Qwen3.5 0.8B: 20 MB, once)."""
_WORTH_REPACKING = 0.25
"""Repack only when it speeds up at least this share of the weights: loading gets slower."""


@dataclass(frozen=True, slots=True)
class LoadMethod:
    """One method to load the weights, and the reason for it."""

    load_mode: str
    repack: bool
    device: Accelerator | None
    why: str


@dataclass(frozen=True, slots=True)
class SettingsStep:
    """One step of the ladder, with the memory it needs."""

    settings: LoadSettings
    need: MemoryNeed
    method: LoadMethod
    fits: bool
    is_usable: bool
    measured: Measurement | None


def settings_steps(board: Board, candidate: Candidate, request: PlanRequest) -> tuple[SettingsStep, ...]:
    """The ladder for one file: each step needs less RAM than the one before."""
    steps: list[SettingsStep] = []
    known = load_methods(board, candidate, request)
    # On the CPU the load method changes before any setting that the user notices.
    groups = [
        tuple(method for method in known if (method.device is not None) == on_device) for on_device in (True, False)
    ]
    for group in groups:
        for settings, is_usable in _settings(board, candidate, request, group[0]) if group else ():
            for method in group:
                how = replace(settings, load_mode=method.load_mode, repack=method.repack)
                step = _step(board, candidate, how, method, is_usable=is_usable)
                if step is not None and (not steps or step.need.host < steps[-1].need.host):
                    steps.append(step)
    return tuple(_with_unknown_size(steps, candidate.unknown_bytes, usable_memory(board) - reserve(board).size))


def _with_unknown_size(steps: list[SettingsStep], unknown: int, room: int) -> list[SettingsStep]:
    """The steps of a file whose size is known to ``unknown`` bytes: it must not fit by the rounding of its size.

    Where a usable step fits whatever the size is, the engine finds it once it reads the file; nothing changes then.
    """
    certain = [replace(step, fits=step.fits and step.need.host + unknown <= room) for step in steps]
    return steps if any(step.fits and step.is_usable for step in certain) else certain


def load_methods(board: Board, candidate: Candidate, request: PlanRequest) -> tuple[LoadMethod, ...]:
    """The methods to load this file on this board, best first: on a device before the CPU alone."""
    found = []
    device = main_device(board) if request.offload else None
    if device is not None:
        found.append(
            LoadMethod("mmap", repack=False, device=device, why=f"its layers go to {device.name or device.kind}")
        )
    measured = best(item for item in candidate.measured if item.n_gpu_layers == 0)
    if measured is not None:
        why = f"measured here: the fastest, or as fast and smaller (peak {megabytes(measured.peak_rss_bytes)})"
        found.append(LoadMethod(measured.load_mode, measured.repack, None, why))
        return tuple(found)
    features = set(board.cpu.features)
    total = tensor_total(candidate.shape, candidate.weights)
    share = candidate.weights.repackable / total if total else 0
    lookup = candidate.weights.per_layer_embedding / total if total else 0
    # Lookup tables, of which a token reads one row, should stay mapped (Gemma 4: 1.3 to 1.6 GB).
    if features & {"dotprod", "i8mm"} and share >= _WORTH_REPACKING > lookup:
        # Published for a Pi 5: 3B Q4_0 prefill 28.9 tok/s repacked, 10.8 as Q4_K_M without. Mapping would keep a
        # second copy of every repacked tensor; reading does not.
        why = f"{share:.0%} of the weights gain from the processor's dot products, and reading keeps one copy of them"
        found.append(LoadMethod("read", repack=True, device=None, why=why))
    elif features & {"dotprod", "i8mm"} and share >= _WORTH_REPACKING:
        why = f"{share:.0%} of the weights gain from dot products; the lookup tables stay in the mapped file"
        found.append(LoadMethod("mmap", repack=True, device=None, why=why))
    # 1.5B on AVX2: repacked 55 tok/s prefill and 20.0 decode, not repacked 59 and 19.6, in 1,765 and 1,158 MB.
    found.append(
        LoadMethod(
            "mmap", repack=False, device=None, why="mapped pages load at once and can be given back; no second copy"
        )
    )
    return tuple(found)


def main_device(board: Board) -> Accelerator | None:
    """The device that layers go to: the one with the most memory."""
    return max(board.accelerators, key=lambda device: device.total, default=None)


def _settings(
    board: Board, candidate: Candidate, request: PlanRequest, method: LoadMethod
) -> Iterator[tuple[LoadSettings, bool]]:
    """Settings from the largest to the smallest, and whether each has a usable context."""
    if candidate.purpose == "embedding":
        yield from _embedding_settings(board, candidate, request, method)
        return
    tries = _context_tries(board, candidate, request, method)
    first = _base(board, candidate, request, method, n_ctx=tries[0])
    if request.kv_type is not None:
        first = replace(first, kv_type=request.kv_type)
    sizes = _ubatch_sizes(candidate, method)
    costly = _is_costly(candidate)
    if first.checkpoint_bytes:
        yield first, True
        first = replace(first, checkpoint_bytes=_checkpoint_bytes(candidate, first, is_tight=True))
    small = first
    for index, size in enumerate(sizes):
        sequences = max(1, first.n_seq_max >> (index if costly else min(index, 1)))
        rows = first.n_outputs_max if not index else sequences
        rollback = first.n_rollback if rows > LONGEST_DRAFT else 0
        small = replace(first, n_ubatch=size, n_seq_max=sequences, n_outputs_max=rows, n_rollback=rollback)
        yield small, True
    if request.exact:
        return
    for fewer in _with_fewest_checkpoints(small):
        small = fewer
        yield small, True
    for n_ctx in tries[1:]:
        small = replace(small, n_ctx=n_ctx)
        yield small, True
    yield from _last_rungs(small, request)


def _last_rungs(small: LoadSettings, request: PlanRequest) -> Iterator[tuple[LoadSettings, bool]]:
    """Smaller KV types, and then contexts too short to be usable."""
    if request.kv_type is None:
        for kv_type in SMALLER_KV_TYPES:
            small = replace(small, kv_type=kv_type)
            yield small, True
    if request.n_ctx is None:
        for n_ctx in TIGHT_N_CTX:
            if n_ctx < small.n_ctx:
                yield replace(small, n_ctx=n_ctx), False


def _context_tries(board: Board, candidate: Candidate, request: PlanRequest, method: LoadMethod) -> tuple[int, ...]:
    """Context lengths from the largest down; above the default one only where half of the memory stays free."""

    def leaves_half(n_ctx: int) -> bool:
        settings = _base(board, candidate, request, method, n_ctx=n_ctx)
        step = _step(board, candidate, settings, method, is_usable=True)
        return step is not None and step.fits and 2 * step.need.host <= usable_memory(board) - reserve(board).size

    return contexts(candidate, request, on_device=method.device is not None, leaves_half=leaves_half)


def _ubatch_sizes(candidate: Candidate, method: LoadMethod) -> list[int]:
    """From the measured one or the usual largest down to the smallest."""
    usual = _GPU_UBATCHES if method.device else _CPU_UBATCHES
    measured = best(item for item in candidate.measured if item.n_gpu_layers == 0) if not method.device else None
    if measured is None:
        return list(usual)
    return [measured.n_ubatch, *(size for size in usual if size < measured.n_ubatch)]


def _with_fewest_checkpoints(settings: LoadSettings) -> Iterator[LoadSettings]:
    """Settings with one checkpoint, and with none, where a model has any; the last one has the least.

    The one is that before the last answer; instructions come back from disk. Without any, each turn reads all of the
    conversation behind the instructions, which is still better than a conversation half as long.
    """
    if settings.checkpoint_bytes:
        for count in (1, 0):
            yield replace(settings, checkpoint_bytes=settings.checkpoint_bytes // _FEWEST_CHECKPOINTS * count)


def _embedding_settings(
    board: Board, candidate: Candidate, request: PlanRequest, method: LoadMethod
) -> Iterator[tuple[LoadSettings, bool]]:
    """Settings for an embedding model: every token is an output, so the ubatch needs more memory than the context.

    The ubatch gets smaller first where a text may be read in several batches; otherwise the context does.
    """
    limit = max(candidate.n_ctx_limit, 1)
    longest = DEFAULT_N_CTX if candidate.in_pieces else USABLE_N_CTX
    n_ctx = padded(min(request.n_ctx or longest, limit))
    # 512 is llama-server's: the same text gets the same vector from both.
    sizes = [_N_BATCH, _CPU_UBATCHES[0]] if candidate.in_pieces else [n_ctx]
    base = _base(board, candidate, request, method, n_ctx=n_ctx)
    for size in sizes:
        small = min(size, n_ctx)
        base = replace(base, n_batch=small, n_ubatch=small, n_seq_max=1, n_outputs_max=small)
        yield base, True
    if request.n_ctx is not None or request.exact:
        return
    while (n_ctx := padded(n_ctx // 2)) >= TIGHT_N_CTX[-1]:
        small = min(sizes[-1], n_ctx)
        yield replace(base, n_ctx=n_ctx, n_batch=small, n_ubatch=small, n_outputs_max=small), True


def _is_costly(candidate: Candidate) -> bool:
    """Whether each sequence needs a window or a recurrent state, which also cannot undo rejected draft tokens."""
    return bool(candidate.shape.sliding_window or candidate.shape.recurrent_bytes)


def _base(board: Board, candidate: Candidate, request: PlanRequest, method: LoadMethod, *, n_ctx: int) -> LoadSettings:
    measured = best(item for item in candidate.measured if item.n_gpu_layers == 0) if not method.device else None
    threads = request.threads or (measured.n_threads if measured else board.cpu.n_big_cores)
    if _is_costly(candidate):
        sequences = max(1, request.parallel // 4)
        rows = max(sequences, min(1 + LONGEST_DRAFT, request.output_rows))
    else:
        sequences, rows = request.parallel, request.output_rows
    settings = LoadSettings(
        n_ctx=n_ctx,
        n_batch=min(_N_BATCH, n_ctx),
        n_ubatch=(_GPU_UBATCHES if method.device else _CPU_UBATCHES)[0],
        n_seq_max=sequences,
        n_outputs_max=rows,
        load_mode=method.load_mode,
        repack=method.repack,
        n_threads=threads,
        n_threads_batch=threads,
    )
    states = candidate.shape.recurrent_bytes * sequences
    rollback = LONGEST_DRAFT if 0 < states * LONGEST_DRAFT <= _ROLLBACK_BYTES and rows > LONGEST_DRAFT else 0
    checkpoints = _checkpoint_bytes(candidate, settings, is_tight=False)
    return replace(settings, n_rollback=rollback, checkpoint_bytes=checkpoints)


def _checkpoint_bytes(candidate: Candidate, settings: LoadSettings, *, is_tight: bool) -> int:
    """Bytes for checkpoints: for as many as are of use, or where memory is short for the fewest."""
    shape = candidate.shape
    size = checkpoint_size(shape, settings) if candidate.purpose != "embedding" else 0
    if is_tight:
        return _FEWEST_CHECKPOINTS * size if shape.recurrent_bytes else 0
    return max(min(_MOST_CHECKPOINTS * size, _CHECKPOINT_BYTES), _FEWEST_CHECKPOINTS * size)


def _step(
    board: Board, candidate: Candidate, settings: LoadSettings, method: LoadMethod, *, is_usable: bool
) -> SettingsStep | None:
    """The step with as many layers on the device as fit; None where none fits."""
    budget = usable_memory(board) - reserve(board).size
    device = method.device
    if device is not None:
        layers = _layers_that_fit(candidate, settings, device)
        if not layers:
            return None
        settings = replace(settings, n_gpu_layers=layers)
    need = _need(candidate, settings, device)
    like = [item for item in candidate.measured if item.is_like(settings)]
    measured = max(like, key=lambda item: item.n_ubatch == settings.n_ubatch, default=None)
    return SettingsStep(settings, need, method, need.host <= budget, is_usable, measured)


def _layers_that_fit(candidate: Candidate, settings: LoadSettings, device: Accelerator) -> int:
    """The number of layers, the output counting as one, that fit on the device; all or none where it shares the RAM."""
    every = candidate.shape.n_layer + 1
    if device.unified:
        need = _need(candidate, replace(settings, n_gpu_layers=every), device)
        # CUDA's figure of free memory leaves out reclaimable page cache; Metal's is a limit that it enforces.
        return every if device.kind == "cuda" or need.weights + need.kv + need.compute <= device.free else 0
    limit = usable_device_memory(device)
    low, high = 0, every
    while low < high:
        middle = (low + high + 1) // 2
        if _need(candidate, replace(settings, n_gpu_layers=middle), device).device <= limit:
            low = middle
        else:
            high = middle - 1
    return low


def _need(candidate: Candidate, settings: LoadSettings, device: Accelerator | None) -> MemoryNeed:
    return memory_need(
        candidate.shape,
        candidate.weights,
        settings,
        device=device.kind if device else "",
        unified=device.unified if device else False,
    )
