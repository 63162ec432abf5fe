"""The reasons of a plan as sentences with numbers, and why alternatives were not chosen. Decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.models.planning.context_length import DEFAULT_N_CTX, USABLE_N_CTX
from edgechat.models.planning.reserve import reserve, usable_memory
from edgechat.plaintext import megabytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.board.board import Board
    from edgechat.models.planning.candidate import Candidate
    from edgechat.models.planning.load_settings import SettingsStep
    from edgechat.models.planning.plan import Estimate, MemoryNeed, PlanRequest

_KEPT_QUANTS = ("Q4_K_M", "Q4_0", "Q4_1", "MXFP4")
_CLEARLY_FASTER = 1.2


def reasons(
    board: Board,
    candidate: Candidate,
    request: PlanRequest,
    step: SettingsStep,
    *,
    estimated: Estimate,
    largest: SettingsStep,
) -> Iterator[str]:
    """Why these settings for this file: memory first, then each setting that a user may ask about."""
    yield _memory(board, step)
    if not step.fits:
        return
    yield _context(board, candidate, request, step, largest)
    settings = step.settings
    if settings.kv_type == "q8_0" and request.kv_type is None:
        yield "The KV cache is q8_0, half the size of f16, because f16 would not fit at a usable context."
    if settings.n_ubatch < largest.settings.n_ubatch or settings.n_seq_max < largest.settings.n_seq_max:
        yield (
            f"Prompts are read {settings.n_ubatch} tokens at a time and {_count(settings.n_seq_max, 'conversation')} "
            "kept warm, to save memory; answers stay the same."
        )
    yield _loading(candidate, step)
    yield _threads(board, request, step)
    yield _speed(estimated)
    yield from candidate.shape.notes


def quantization(candidate: Candidate, preferred: tuple[Candidate, MemoryNeed] | None, budget: int) -> str:
    """Why this quantization; ``preferred`` is the preferred file and its least usable need, None when it was chosen."""
    if preferred is None:
        if candidate.is_quantization_aware:
            return f"{candidate.quant}: made by quantization-aware training, and read faster here than Q4_K_M."
        if candidate.quant in _KEPT_QUANTS:
            return f"{candidate.quant}: about 4 bits a weight, the smallest that costs little quality."
        return f"{candidate.quant}: the quantization that is there."
    other, need = preferred
    saved = 1 - candidate.weights.file / other.weights.file
    if need.host <= budget:
        return f"{candidate.quant}: {saved:.0%} smaller than {other.quant}, which the GPU has no room for."
    return (
        f"{candidate.quant}: {saved:.0%} smaller than {other.quant}, which would need {megabytes(need.host)} "
        f"at the least; {megabytes(max(0, budget))} may be used."
    )


def too_large(board: Board, step: SettingsStep) -> str:
    """Why the smallest step does not fit."""
    return f"{megabytes(step.need.host + reserve(board).size - usable_memory(board))} too much, even at this n_ctx"


def too_slow(estimated: Estimate, *, thinks: bool) -> str:
    """Why a plan that fits was not chosen."""
    how = "too slow"
    if estimated.decode_tps is not None and estimated.careful_tps is not None:
        range_ = f"{estimated.careful_tps:.2g} to {estimated.decode_tps:.2g}"
        how = f"about {estimated.decode_tps:.2g}" if estimated.careful_tps == estimated.decode_tps else range_
        how += " tok/s is too slow"
    return f"fits, but {how} for a model that thinks before it answers" if thinks else f"fits, but {how} to read along"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _memory(board: Board, step: SettingsStep) -> str:
    kept = reserve(board)
    free = usable_memory(board)
    if not step.fits:
        return (
            f"It does not fit: it needs {megabytes(step.need.host)} even with n_ctx {step.settings.n_ctx:,}; "
            f"{megabytes(free)} are free, and {megabytes(kept.size)} of them are kept back ({kept.why})."
        )
    text = (
        f"It fits: {megabytes(step.need.host)} of the {megabytes(free)} that are free, "
        f"with {megabytes(kept.size)} kept back ({kept.why})."
    )
    if board.memory.cgroup_limit is not None and board.memory.cgroup_limit < board.memory.total:
        text += f" A memory limit of {megabytes(board.memory.cgroup_limit)} counts here, not the machine's memory."
    if step.need.device:
        text += f" {megabytes(step.need.device)} more go to the GPU's own memory."
    return text


def _context(
    board: Board, candidate: Candidate, request: PlanRequest, step: SettingsStep, largest: SettingsStep
) -> str:
    n_ctx, top = step.settings.n_ctx, largest.settings.n_ctx
    if request.n_ctx is not None:
        if request.n_ctx > candidate.n_ctx_limit:
            return (
                f"n_ctx {n_ctx:,}: {request.n_ctx:,} asked for, but the model was trained on {candidate.n_ctx_limit:,}."
            )
        return f"n_ctx {n_ctx:,}: as asked for."
    if n_ctx < USABLE_N_CTX <= candidate.n_ctx_limit:
        return f"n_ctx {n_ctx:,}: enough for short questions; a usable {USABLE_N_CTX:,} would not fit."
    if n_ctx < top:
        return f"n_ctx {n_ctx:,}: {top:,} would not fit."
    if n_ctx > DEFAULT_N_CTX:
        share = step.need.host / max(1, usable_memory(board) - reserve(board).size)
        return f"n_ctx {n_ctx:,}: grown from {DEFAULT_N_CTX:,}, since all of it takes {share:.0%} of the room."
    if n_ctx >= candidate.n_ctx_limit:
        return f"n_ctx {n_ctx:,}: all that the model was trained on."
    return f"n_ctx {n_ctx:,}: the default; a larger one would take more than half of the room. Ask with --ctx."


def _loading(candidate: Candidate, step: SettingsStep) -> str:
    settings, method = step.settings, step.method
    if method.device is not None:
        every = candidate.shape.n_layer + 1
        where = f"{method.device.name or method.device.kind}"
        if settings.n_gpu_layers >= every:
            return f"All {candidate.shape.n_layer} layers and the output run on {where}."
        return f"{settings.n_gpu_layers} of {every} layers run on {where}: its memory holds no more."
    how = "mapped from the file" if settings.load_mode == "mmap" else "read into memory"
    repack = "repacked for the processor" if settings.repack else "not repacked"
    return f"Weights are {how}, {repack}: {method.why}."


def _threads(board: Board, request: PlanRequest, step: SettingsStep) -> str:
    n_threads = step.settings.n_threads
    if request.threads is not None:
        return f"{_count(n_threads, 'thread')}: as set."
    if board.cpu.n_threads > n_threads:
        return f"{_count(n_threads, 'thread')}: the fast cores; slower cores and hyper-threads hold decoding back."
    return f"{_count(n_threads, 'thread')}: one for each core."


def _speed(estimated: Estimate) -> str:
    decode, prefill = estimated.decode_tps, estimated.prefill_tps
    if decode is None or prefill is None:
        return "No speed is predicted for a model that does not fit."
    if estimated.basis == "calibrated":
        return f"Measured on this board: prefill {prefill:g}, decode {decode:g} tok/s."
    text = f"About {prefill:g} tokens a second read and {decode:g} written, {_basis(estimated)}"
    if estimated.careful_tps is not None and estimated.careful_tps < decode:
        text += f"; the choice relies on {estimated.careful_tps:.2g}"
    return f"{text}. `edgechat bench` measures it."


def _basis(estimated: Estimate) -> str:
    kind, _, rest = estimated.rests_on.partition(": ")
    if kind in ("fitted", "few"):
        return f"predicted from published measurements of such a board ({rest})"
    if estimated.basis == "starter":
        return "predicted from the starter model, which was measured here"
    return f"{'assumed' if kind == 'assumed' else 'scaled'}: {rest}"


def faster(other: Estimate, chosen: Estimate) -> str:
    """What a person gains with a model that was not chosen: words for the end of a sentence, or ``""``."""
    if not (other.decode_tps and chosen.decode_tps and other.page_s and chosen.page_s):
        return ""
    if other.decode_tps < chosen.decode_tps * _CLEARLY_FASTER:
        return ""
    return f": {other.decode_tps:g} tok/s, a page in {duration(other.page_s)}"


def smaller(label: str, estimated: Estimate) -> str:
    """What a person gains with a smaller model."""
    words, page = estimated.words_per_minute or 0.0, estimated.page_s or 0.0
    return (
        f"A smaller model would be faster: {label} gives about {words:.0f} words a minute, a page in {duration(page)}."
    )


def seconds(value: float | None) -> float | None:
    """Seconds with as many digits as a prediction is worth."""
    return None if value is None else float(f"{value:.2g}") if value < 100 else float(round(value))


def duration(value: float) -> str:
    """Seconds in words: ``0.8 s``, ``24 s``, ``3 min``."""
    if value < 90:
        return f"{seconds(value):g} s"
    return f"{value / 60:.0f} min"
