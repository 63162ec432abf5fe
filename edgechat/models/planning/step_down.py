"""The ladder of settings for one model on one board, largest first, and the ways to load it. Pure.

A step down gives up, in this order: ubatch and sequences (all the more where each costs a window or a state), context,
KV type. Quantization and model are given up by ``fit.py``. Every step needs less memory than the one before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgechat.models.planning.calibration import best
from edgechat.models.planning.memory_need import memory_need, tensor_total
from edgechat.models.planning.plan import LoadSettings
from edgechat.models.planning.reserve import device_room, reserve, room

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.board.board import Accelerator, Board
    from edgechat.models.planning.calibration import Measurement
    from edgechat.models.planning.candidate import Candidate, FitWish
    from edgechat.models.planning.plan import MemoryNeed

DEFAULT_N_CTX = 4096
USABLE_N_CTX = 2048
"""Below this a system prompt, a document and an answer do not fit together."""
_LARGEST_ON_CPU, _LARGEST_ON_DEVICE = 16384, 32768
"""Contexts grow by themselves up to these; a CPU that prefills 50 tokens a second reads 16384 for five minutes. Ask
for more with --ctx."""
_TIGHT = (1024, 512)
"""Contexts that still answer a short question, where nothing usable fits."""
_CELLS_STEP = 256
_N_BATCH = 512
# Qwen2.5-1.5B on 2 AVX2 cores: ubatch 128 reads 59 tok/s, 512 reads 54 and takes 30 MB more.
_CPU_UBATCHES, _GPU_UBATCHES = (128, 64, 32), (512, 256, 128)
_WORTH_REPACKING = 0.25
"""Share of the weights that must gain from repacking before it is worth the slower load."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to bring the weights in."""

    load_mode: str
    repack: bool
    device: Accelerator | None
    why: str


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder."""

    settings: LoadSettings
    need: MemoryNeed
    way: Way
    fits: bool
    is_usable: bool
    measured: Measurement | None


def ladder(board: Board, candidate: Candidate, wish: FitWish) -> tuple[Rung, ...]:
    """Every rung for one file, each needing less RAM than the one before."""
    rungs: list[Rung] = []
    known = ways(board, candidate, wish)
    # On the CPU the way of loading gives way before anything that a person would notice does.
    groups = [tuple(way for way in known if (way.device is not None) == on_device) for on_device in (True, False)]
    for group in groups:
        for settings, is_usable in _settings(board, candidate, wish, group[0]) if group else ():
            for way in group:
                how = replace(settings, load_mode=way.load_mode, repack=way.repack)
                rung = _rung(board, candidate, how, way, is_usable=is_usable)
                if rung is not None and (not rungs or rung.need.host < rungs[-1].need.host):
                    rungs.append(rung)
    return tuple(rungs)


def ways(board: Board, candidate: Candidate, wish: FitWish) -> tuple[Way, ...]:
    """How this file may be loaded on this board, best first: on a device before the CPU alone."""
    found = []
    device = main_device(board) if wish.offload else None
    if device is not None:
        found.append(Way("mmap", repack=False, device=device, why=f"its layers go to {device.name or device.kind}"))
    measured = best(item for item in candidate.measured if item.n_gpu_layers == 0)
    if measured is not None:
        why = f"measured here: the fastest, or as fast and smaller (peak {measured.peak_rss_bytes / 1e6:,.0f} MB)"
        found.append(Way(measured.load_mode, measured.repack, None, why))
        return tuple(found)
    features = set(board.cpu.features)
    total = tensor_total(candidate.shape, candidate.weights)
    share = candidate.weights.repackable / total if total else 0
    lookup = candidate.weights.per_layer_embedding / total if total else 0
    # Tables of which a token reads one row must not be read whole into memory (Gemma 4: 1.3 to 1.6 GB).
    if features & {"dotprod", "i8mm"} and share >= _WORTH_REPACKING > lookup:
        # Published for a Pi 5: 3B Q4_0 prefill 28.9 tok/s repacked, 10.8 as Q4_K_M without. Mapping would keep a
        # second copy of every repacked tensor; reading does not.
        why = f"{share:.0%} of the weights gain from the processor's dot products, and reading keeps one copy of them"
        found.append(Way("read", repack=True, device=None, why=why))
    # 1.5B on AVX2: repacked 55 tok/s prefill and 20.0 decode, not repacked 59 and 19.6, in 1,765 and 1,158 MB.
    found.append(
        Way("mmap", repack=False, device=None, why="mapped pages load at once and can be given back; no second copy")
    )
    return tuple(found)


def main_device(board: Board) -> Accelerator | None:
    """The device that layers go to: the one with the most memory."""
    return max(board.accelerators, key=lambda device: device.total, default=None)


def contexts(board: Board, candidate: Candidate, wish: FitWish, way: Way) -> tuple[int, ...]:
    """Contexts to try, largest first, down to the smallest usable one.

    Without a wish it starts at 4096 and doubles while all of it takes at most half of the room: the other half is
    worth more to the rest of the machine. Never beyond what the model was trained for.
    """
    limit = max(candidate.n_ctx_limit, 1)
    if wish.n_ctx is not None:
        return (_padded(min(wish.n_ctx, limit)),)
    most = min(DEFAULT_N_CTX, limit)
    largest = _LARGEST_ON_DEVICE if way.device else _LARGEST_ON_CPU
    while most * 2 <= min(limit, largest) and not wish.exact:
        rung = _rung(board, candidate, _base(board, candidate, wish, way, n_ctx=_padded(most * 2)), way, is_usable=True)
        if rung is None or not rung.fits or 2 * rung.need.host > room(board) - reserve(board).size:
            break
        most *= 2
    found = [most]
    while found[-1] // 2 >= USABLE_N_CTX:
        found.append(found[-1] // 2)
    return tuple(_padded(n_ctx) for n_ctx in found)


def _settings(board: Board, candidate: Candidate, wish: FitWish, way: Way) -> Iterator[tuple[LoadSettings, bool]]:
    """Settings in the order in which they are given up, and whether each is usable."""
    if candidate.purpose == "embedding":
        yield from _embedding_settings(board, candidate, wish, way)
        return
    ubatches = _GPU_UBATCHES if way.device else _CPU_UBATCHES
    tries = contexts(board, candidate, wish, way)
    kv = wish.kv_type or "f16"
    first = _base(board, candidate, wish, way, n_ctx=tries[0], kv_type=kv)
    measured = best(item for item in candidate.measured if item.n_gpu_layers == 0) if not way.device else None
    sizes = [measured.n_ubatch] if measured else []
    sizes += [size for size in ubatches if not sizes or size < sizes[0]]
    costly = _is_costly(candidate)
    small = first
    for step, size in enumerate(sizes):
        sequences = max(1, first.n_seq_max >> (step if costly else min(step, 1)))
        rows = first.n_outputs_max if not step else sequences
        small = replace(first, n_ubatch=size, n_seq_max=sequences, n_outputs_max=rows)
        yield small, True
    if wish.exact:
        return
    for n_ctx in tries[1:]:
        small = replace(small, n_ctx=n_ctx)
        yield small, True
    if wish.kv_type is None:
        # Both halves at once: llama.cpp needs flash attention for a quantized V, and has it on every backend here.
        small = replace(small, kv_type="q8_0")
        yield small, True
    if wish.n_ctx is None:
        for n_ctx in _TIGHT:
            if n_ctx < small.n_ctx:
                yield replace(small, n_ctx=n_ctx), False


def _embedding_settings(
    board: Board, candidate: Candidate, wish: FitWish, way: Way
) -> Iterator[tuple[LoadSettings, bool]]:
    """Settings for a model that makes vectors: every token is an output, and so the ubatch costs more than the context.

    Where a text may be read in pieces they get smaller first; where not, texts have to be shorter.
    """
    limit = max(candidate.n_ctx_limit, 1)
    longest = DEFAULT_N_CTX if candidate.in_pieces else USABLE_N_CTX
    n_ctx = _padded(min(wish.n_ctx or longest, limit))
    # 512 is llama-server's: the same text gets the same vector from both.
    sizes = [_N_BATCH, _CPU_UBATCHES[0]] if candidate.in_pieces else [n_ctx]
    base = _base(board, candidate, wish, way, n_ctx=n_ctx)
    for size in sizes:
        small = min(size, n_ctx)
        base = replace(base, n_batch=small, n_ubatch=small, n_seq_max=1, n_outputs_max=small)
        yield base, True
    if wish.n_ctx is not None or wish.exact:
        return
    while (n_ctx := _padded(n_ctx // 2)) >= _TIGHT[-1]:
        small = min(sizes[-1], n_ctx)
        yield replace(base, n_ctx=n_ctx, n_batch=small, n_ubatch=small, n_outputs_max=small), True


def _is_costly(candidate: Candidate) -> bool:
    """Whether each sequence takes a window or a state: these also cannot take back a draft that was wrong."""
    return bool(candidate.shape.sliding_window or candidate.shape.recurrent_bytes)


def _base(
    board: Board, candidate: Candidate, wish: FitWish, way: Way, *, n_ctx: int, kv_type: str = "f16"
) -> LoadSettings:
    measured = best(item for item in candidate.measured if item.n_gpu_layers == 0) if not way.device else None
    threads = wish.threads or (measured.n_threads if measured else board.cpu.n_big_cores)
    if _is_costly(candidate):
        sequences = rows = max(1, wish.parallel // 4)
    else:
        sequences, rows = wish.parallel, wish.output_rows
    return LoadSettings(
        n_ctx=n_ctx,
        kv_type=kv_type,
        n_batch=min(_N_BATCH, n_ctx),
        n_ubatch=(_GPU_UBATCHES if way.device else _CPU_UBATCHES)[0],
        n_seq_max=sequences,
        n_outputs_max=rows,
        load_mode=way.load_mode,
        repack=way.repack,
        n_threads=threads,
        n_threads_batch=threads,
    )


def _rung(board: Board, candidate: Candidate, settings: LoadSettings, way: Way, *, is_usable: bool) -> Rung | None:
    """The rung with as many layers on the device as it takes; None where the device takes none."""
    budget = room(board) - reserve(board).size
    device = way.device
    if device is not None:
        layers = _offloadable(candidate, settings, device)
        if not layers:
            return None
        settings = replace(settings, n_gpu_layers=layers)
    need = _need(candidate, settings, device)
    like = [item for item in candidate.measured if item.is_like(settings)]
    measured = max(like, key=lambda item: item.n_ubatch == settings.n_ubatch, default=None)
    return Rung(settings, need, way, need.host <= budget, is_usable, measured)


def _offloadable(candidate: Candidate, settings: LoadSettings, device: Accelerator) -> int:
    """How many layers (the output counts as one more) the device has room for; a shared pool takes all or none."""
    every = candidate.shape.n_layer + 1
    if device.unified:
        need = _need(candidate, replace(settings, n_gpu_layers=every), device)
        # CUDA's figure of free memory leaves out what the page cache would give back; Metal's is a limit it keeps.
        return every if device.kind == "cuda" or need.weights + need.kv + need.compute <= device.free else 0
    limit = device_room(device)
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


def _padded(n_ctx: int) -> int:
    return -(-n_ctx // _CELLS_STEP) * _CELLS_STEP
