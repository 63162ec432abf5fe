"""Fits models to a board: a pure function from facts to a plan with its numbers, reasons and alternatives.

Knows no files and no llama.cpp: a board, candidates and a wish go in. Memory comes from ``need.py``, the settings of
one file from ``rungs.py``; here the model and its quantization are chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgechat.models.planning import explain
from edgechat.models.planning.candidate import Candidate, FitWish
from edgechat.models.planning.memory_need import memory_need
from edgechat.models.planning.plan import Alternative, Estimate, Plan
from edgechat.models.planning.reserve import reserve, room
from edgechat.models.planning.speed import ASSUMED_BANDWIDTH, estimate
from edgechat.models.planning.step_down import Rung, main_device
from edgechat.models.planning.step_down import ladder as settings_ladder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgechat.board.board import Board

__all__ = ["Candidate", "FitWish", "choose", "ladder", "memory_need"]

QUANT_ORDER = ("Q4_K_M", "MXFP4", "Q4_0", "Q4_1", "Q5_K_M", "Q6_K", "Q8_0", "F16", "BF16", "F32")
"""Quantizations by preference; what is not named here comes before the last resort."""
LAST_RESORT = ("Q3_K_M", "Q3_K_L", "Q3_K_S", "IQ3_M", "Q2_K")
"""Taken only where nothing above fits, and only where it really saves. Never for speed: cores that are too slow are
bound by unpacking, and 3 bits unpack no faster."""
LEAST_SAVING = 0.08
"""A last resort must be smaller by this share: Q3_K_M of gemma-3-270m saves 4 %, of most models 16 to 19 %."""
COARSE_PENALTY = 3
"""Points of quality that a last resort costs. The catalog calls a few points between two models meaningless."""
_THINKING_PACE = 3
"""Times the pace that a model needs which reasons before every answer: most of its tokens are not the answer."""
_BETTER_SHOWN, _WORSE_SHOWN = 5, 3


@dataclass(frozen=True, slots=True)
class _Option:
    """One file at the best rung that fits, or at its smallest usable one."""

    candidate: Candidate
    rung: Rung
    largest: Rung
    estimated: Estimate
    is_fast: bool
    is_sound: bool
    """It fits, at a usable context, and on the board's GPU where there is one."""
    score: int

    @property
    def is_comfortable(self) -> bool:
        """Sound, and fast enough to read along."""
        return self.is_sound and self.is_fast

    @property
    def rank(self) -> tuple[bool, bool, int, int]:
        """Larger is better."""
        return (self.is_comfortable, self.rung.fits and self.rung.is_usable, self.score, -self.candidate.weights.file)


def ladder(board: Board, candidate: Candidate, wish: FitWish) -> tuple[Plan, ...]:
    """Every plan for one file, largest first, each smaller than the one before; those that do not fit say so.

    Quantization and model are not given up here: the caller goes on with another file.
    """
    rungs = settings_ladder(board, candidate, wish)
    return tuple(_plan(board, candidate, wish, rung, rungs[0]) for rung in rungs)


def choose(board: Board, candidates: Iterable[Candidate], wish: FitWish) -> Plan:
    """The best model that fits, with what it was chosen over.

    A model is comfortable when it fits at a usable context, on the GPU where the board has one, and decodes at least as
    fast as people read. The best-ranked comfortable model wins; failing that, the best that fits at all; failing that,
    the smallest plan is returned with ``fits`` False.

    Args:
        board: the machine.
        candidates: files that are here or could be fetched, in any order; at least one.
        wish: what was asked for.

    Raises:
        ValueError: there is no candidate.
    """
    known = list(candidates)
    if not known:
        raise ValueError("choose() needs a candidate")
    suitable = [item for item in known if item.purpose == wish.purpose] or known
    allowed = [item for item in suitable if item.is_free or item.is_installed or wish.any_licence]
    models = _by_model(allowed or suitable)
    options = {name: _options(board, files, wish) for name, files in models.items()}
    every = [option for found in options.values() for option in found]
    fitting = [option for option in every if option.rung.fits]
    if fitting:
        chosen = max(fitting, key=lambda option: option.rank)
    else:
        chosen = min(every, key=lambda option: option.rung.need.host)
    reasons = [_why_quant(board, chosen, options[chosen.candidate.name])] if chosen.rung.fits else []
    if len(models) > 1 and chosen.rung.fits:
        reasons.insert(0, _why_model(chosen, len(models)))
    refused = [item for item in suitable if item not in allowed] if allowed else []
    return _plan(
        board,
        chosen.candidate,
        wish,
        chosen.rung,
        chosen.largest,
        before=tuple(reasons),
        alternatives=tuple(_alternatives(board, wish, chosen, options, refused)),
    )


def _options(board: Board, files: Sequence[Candidate], wish: FitWish) -> list[_Option]:
    """The files of one model worth considering: the preferred one, and smaller ones where that does not fit."""
    first = _option(board, files[0], wish)
    found = [first]
    for file in files[1:]:
        saves = file.weights.file <= files[0].weights.file * (1 - LEAST_SAVING)
        if not first.is_sound and saves:
            found.append(_option(board, file, wish))
    return found


def _option(board: Board, candidate: Candidate, wish: FitWish) -> _Option:
    rungs = settings_ladder(board, candidate, wish)
    usable = [rung for rung in rungs if rung.is_usable]
    fitting = [rung for rung in usable if rung.fits] or [rung for rung in rungs if rung.fits]
    rung = fitting[0] if fitting else rungs[-1]
    estimated = _estimate(board, candidate, rung)
    floor = wish.min_decode_tps * (_THINKING_PACE if candidate.always_thinks else 1)
    is_fast = _supposed_tps(board, candidate, rung, estimated) >= floor
    has_device = wish.offload and main_device(board) is not None
    on_device = not has_device or rung.settings.n_gpu_layers > 0
    return _Option(
        candidate=candidate,
        rung=rung,
        largest=rungs[0],
        estimated=estimated,
        is_fast=is_fast,
        is_sound=rung.fits and rung.is_usable and on_device,
        score=candidate.quality - (COARSE_PENALTY if candidate.quant in LAST_RESORT else 0),
    )


def _plan(
    board: Board,
    candidate: Candidate,
    wish: FitWish,
    rung: Rung,
    largest: Rung,
    *,
    before: tuple[str, ...] = (),
    alternatives: tuple[Alternative, ...] = (),
) -> Plan:
    estimated = _estimate(board, candidate, rung)
    return Plan(
        model=candidate.name,
        quant=candidate.quant,
        file_bytes=candidate.weights.file,
        settings=rung.settings,
        memory=rung.need,
        available=room(board),
        reserve=reserve(board).size,
        fits=rung.fits,
        estimated=estimated,
        reasons=before + tuple(explain.reasons(board, candidate, wish, rung, estimated=estimated, largest=largest)),
        alternatives=alternatives,
    )


def _estimate(board: Board, candidate: Candidate, rung: Rung) -> Estimate:
    device = rung.way.device
    return estimate(board, candidate.shape, candidate.weights, rung.settings, measured=rung.measured, device=device)


def _supposed_tps(board: Board, candidate: Candidate, rung: Rung, estimated: Estimate) -> float:
    """Decode speed to judge by: the estimate, or what the least memory bandwidth would give where it is unknown."""
    if estimated.decode_tps is not None:
        return estimated.decode_tps
    device = rung.way.device
    supposed = replace(board, memory=replace(board.memory, bandwidth=board.memory.bandwidth or ASSUMED_BANDWIDTH))
    if device is not None:
        device = replace(device, bandwidth=device.bandwidth or ASSUMED_BANDWIDTH)
    return estimate(supposed, candidate.shape, candidate.weights, rung.settings, device=device).decode_tps or 0.0


def _by_model(candidates: Iterable[Candidate]) -> dict[str, list[Candidate]]:
    """Files by model, the preferred quantization first."""
    models: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        models.setdefault(candidate.name, []).append(candidate)
    return {name: sorted(files, key=_preference) for name, files in models.items()}


def _preference(candidate: Candidate) -> tuple[int, int]:
    quant = candidate.quant.upper()
    if quant in LAST_RESORT:
        return (len(QUANT_ORDER) + 1 + LAST_RESORT.index(quant), candidate.weights.file)
    return (QUANT_ORDER.index(quant) if quant in QUANT_ORDER else len(QUANT_ORDER), candidate.weights.file)


def _why_model(chosen: _Option, count: int) -> str:
    candidate = chosen.candidate
    enough = " and is fast enough" if chosen.is_comfortable else ""
    free = f", free to use ({candidate.licence})" if candidate.licence and candidate.is_free else ""
    return f"{candidate.name} is the best of {count} models that fits{enough} here{free}."


def _why_quant(board: Board, chosen: _Option, options: list[_Option]) -> str:
    first = options[0]
    if first is chosen:
        return explain.quantization(chosen.candidate, None, 0)
    budget = room(board) - reserve(board).size
    return explain.quantization(chosen.candidate, (first.candidate, first.rung.need), budget)


def _alternatives(
    board: Board,
    wish: FitWish,
    chosen: _Option,
    options: dict[str, list[_Option]],
    refused: list[Candidate],
) -> Iterable[Alternative]:
    """Other quantizations of the chosen model, then the nearest models above it and below it, with why not."""
    yield from (
        _alternative(option, _why_not(board, wish, chosen, option))
        for option in options[chosen.candidate.name]
        if option is not chosen
    )
    others = [
        max(found, key=lambda option: option.rank) for name, found in options.items() if name != chosen.candidate.name
    ]
    for files in _by_model(refused).values():
        option = _option(board, files[0], wish)
        if option.rung.fits:
            others.append(option)
    others.sort(key=lambda option: (option.score, option.candidate.name))
    better = [option for option in others if option.score > chosen.score][:_BETTER_SHOWN]
    worse = [option for option in others if option.score <= chosen.score][-_WORSE_SHOWN:]
    for option in reversed(worse + better):
        yield _alternative(option, _why_not(board, wish, chosen, option))


def _why_not(board: Board, wish: FitWish, chosen: _Option, option: _Option) -> str:
    candidate, rung = option.candidate, option.rung
    if not rung.fits:
        return explain.too_large(board, rung)
    if not (candidate.is_free or candidate.is_installed or wish.any_licence):
        return f"fits, but its licence ({candidate.licence}) must be accepted first"
    if not rung.is_usable:
        return f"fits only with n_ctx {rung.settings.n_ctx}"
    if not option.is_fast:
        return explain.too_slow(option.estimated, thinks=candidate.always_thinks)
    if chosen.is_comfortable and not option.is_comfortable:
        return "fits only without the GPU"
    if candidate.name == chosen.candidate.name:
        return f"coarser, and {1 - candidate.weights.file / chosen.candidate.weights.file:.0%} smaller for it"
    return "fits, and is ranked lower" if option.score < chosen.score else "fits, and is larger for the same rank"


def _alternative(option: _Option, why_not: str) -> Alternative:
    settings = option.rung.settings
    return Alternative(
        model=option.candidate.name,
        quant=option.candidate.quant,
        n_ctx=settings.n_ctx,
        kv_type=settings.kv_type,
        total=option.rung.need.total,
        fits=option.rung.fits,
        why_not=why_not,
    )
