"""The choice of model and quantization for a board: a pure function from facts to a plan with reasons and alternatives.

Reads no files: takes a board, candidates and a request. ``load_settings.py`` supplies the settings for each file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.models.planning import explain
from edgechat.models.planning.load_settings import SettingsStep, main_device, settings_steps
from edgechat.models.planning.plan import Alternative, Estimate, Plan
from edgechat.models.planning.reserve import reserve, usable_memory
from edgechat.models.planning.speed import NOTHING_KNOWN, estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgechat.board.board import Board
    from edgechat.models.planning.candidate import Candidate
    from edgechat.models.planning.plan import PlanRequest

QUANT_ORDER = ("Q4_K_M", "MXFP4", "Q4_0", "Q4_1", "Q5_K_M", "Q6_K", "Q8_0", "F16", "BF16", "F32")
"""Quantizations by preference; others come after these and before ``LAST_RESORT``."""
LAST_RESORT = ("Q3_K_M", "Q3_K_L", "Q3_K_S", "IQ3_M", "Q2_K")
"""Chosen only where nothing above fits and the file is clearly smaller. Never for speed: slow cores are limited by
unpacking, and 3 bits unpack no faster; save for mixtures, which read little of what they hold."""
LEAST_SAVING = 0.08
"""A last resort must be smaller by this share: Q3_K_M of gemma-3-270m saves 4 %, of most models 16 to 19 %."""
COARSE_PENALTY = 3
"""Points of quality that a last resort costs. The catalog calls a few points between two models meaningless."""
_THINKING_PACE = 3
"""Factor on the required speed of a model that reasons before every answer: most of its tokens are not the answer."""
_BETTER_SHOWN, _WORSE_SHOWN = 5, 3
_CLEARLY_FASTER = 1.5
_ANSWER_TOKENS = 150
_AS_FAST = 1.05


@dataclass(frozen=True, slots=True)
class _Option:
    """One file with the largest settings that fit, or with its smallest ones."""

    candidate: Candidate
    step: SettingsStep
    largest: SettingsStep
    estimated: Estimate
    is_fast: bool
    is_bearable: bool
    """It decodes at half of the required pace or more."""
    is_sound: bool
    """It fits, at a usable context, and on the board's GPU where there is one."""
    score: int

    @property
    def is_comfortable(self) -> bool:
        """Sound, and at least as fast as people read."""
        return self.is_sound and self.is_fast

    @property
    def rank(self) -> tuple[bool, bool, bool, bool, int, float, int]:
        """Larger is better: of equally good models the faster one, of equally fast ones the smaller.

        Of models at less than half of the required pace the fastest is best, however good another one is.
        """
        return (
            self.is_comfortable,
            self.step.fits and self.step.is_usable,
            self.is_bearable,
            not self.candidate.superseded_by,
            self.score if self.is_bearable else 0,
            self.estimated.careful_tps or 0.0,
            -self.candidate.weights.file,
        )

    @property
    def exchange_s(self) -> float:
        """Seconds for a page and an answer of 150 tokens: what quantizations of equal quality are compared by."""
        page, tps = self.estimated.page_s, self.estimated.decode_tps
        return page + _ANSWER_TOKENS / tps if page is not None and tps else math.inf


def ladder(board: Board, candidate: Candidate, request: PlanRequest) -> tuple[Plan, ...]:
    """The ladder of plans for one file, largest first, each smaller than the one before, fitting or not.

    Quantization and model do not change in it: the caller continues with another file.
    """
    steps = settings_steps(board, candidate, request)
    return tuple(_plan(board, candidate, request, step, steps[0]) for step in steps)


def choose(board: Board, candidates: Iterable[Candidate], request: PlanRequest) -> Plan:
    """The plan for the best model that fits, with its alternatives.

    A model is comfortable when it fits at a usable context, on the GPU where the board has one, and decodes at least as
    fast as people read. The best-ranked comfortable model wins; failing that, the best that fits at all; failing that,
    the smallest plan is returned with ``fits`` False.

    Raises:
        ValueError: there is no candidate.
    """
    known = list(candidates)
    if not known:
        raise ValueError("choose() needs a candidate")
    suitable = [item for item in known if item.purpose == request.purpose] or known
    allowed: list[Candidate] = []
    refused: list[Candidate] = []
    for item in suitable:
        (allowed if item.is_free or item.is_installed or request.any_licence else refused).append(item)
    models = _by_model(allowed or suitable)
    options = {name: _options(board, files, request) for name, files in models.items()}
    every = [option for found in options.values() for option in found]
    fitting = [option for option in every if option.step.fits]
    if fitting:
        chosen = max(fitting, key=lambda option: option.rank)
    else:
        chosen = min(every, key=lambda option: option.step.need.host)
    reasons = [_why_quant(board, chosen, options[chosen.candidate.name])] if chosen.step.fits else []
    if len(models) > 1 and chosen.step.fits:
        reasons.insert(0, _why_model(chosen, len(models)))
    smaller = _smaller(chosen, every)
    if smaller is not None:
        reasons.append(explain.smaller(smaller.candidate.label, smaller.estimated))
    return _plan(
        board,
        chosen.candidate,
        request,
        chosen.step,
        chosen.largest,
        before=tuple(reasons),
        alternatives=tuple(
            _alternatives(board, request, chosen, options, refused=refused if allowed else [], smaller=smaller)
        ),
    )


def _smaller(chosen: _Option, every: Sequence[_Option]) -> _Option | None:
    """The best smaller model that reads and writes clearly faster, for somebody who would rather wait less."""
    pace, page = chosen.estimated.decode_tps, chosen.estimated.page_s
    if not chosen.is_comfortable or not pace or not page:
        return None
    found = [
        option
        for option in every
        if option.is_comfortable
        and option.candidate.weights.file < chosen.candidate.weights.file
        and (option.estimated.decode_tps or 0.0) >= _CLEARLY_FASTER * pace
        and (option.estimated.page_s or math.inf) * _CLEARLY_FASTER <= page
    ]
    return max(found, key=lambda option: option.rank, default=None)


def least_pace(candidate: Candidate, request: PlanRequest) -> float:
    """Tokens a second that a model must write to be recommended."""
    return request.min_decode_tps * (_THINKING_PACE if candidate.always_thinks else 1)


def _options(board: Board, files: Sequence[Candidate], request: PlanRequest) -> list[_Option]:
    """The files of one model to consider: the preferred one, and smaller ones where that does not fit."""
    equal = [file for file in files if _is_equal(file, files[0])]
    tried = [_option(board, file, request) for file in equal]
    sound = [option for option in tried if option.is_sound]
    first = min(sound, key=lambda option: option.exchange_s) if sound else tried[0]
    # The usual file is kept unless another one is clearly faster.
    if sound and first is not tried[0] and tried[0].is_sound and tried[0].exchange_s <= first.exchange_s * _AS_FAST:
        first = tried[0]
    found = [first]
    # A mixture's few active experts are limited by memory: with more bits it may be too slow where it fits.
    is_wanting = not first.is_sound or (bool(first.candidate.shape.n_expert) and not first.is_fast)
    for file in files:
        if file in equal:
            continue
        saves = file.weights.file <= files[0].weights.file * (1 - LEAST_SAVING)
        if is_wanting and saves:
            found.append(_option(board, file, request))
    return found


def _is_equal(one: Candidate, other: Candidate) -> bool:
    """Whether two files of a model answer equally well: 4 bits lose nothing in quantization-aware training."""
    return one is other or (one.is_quantization_aware and other.quant == QUANT_ORDER[0])


def _option(board: Board, candidate: Candidate, request: PlanRequest) -> _Option:
    steps = settings_steps(board, candidate, request)
    usable = [step for step in steps if step.is_usable]
    fitting = [step for step in usable if step.fits] or [step for step in steps if step.fits]
    step = fitting[0] if fitting else steps[-1]
    estimated = _estimate(board, candidate, step)
    pace, least = estimated.careful_tps or 0.0, least_pace(candidate, request)
    has_device = request.offload and main_device(board) is not None
    on_device = not has_device or step.settings.n_gpu_layers > 0
    return _Option(
        candidate=candidate,
        step=step,
        largest=steps[0],
        estimated=estimated,
        is_fast=pace >= least,
        is_bearable=pace >= least / 2,
        is_sound=step.fits and step.is_usable and on_device,
        score=candidate.quality - (COARSE_PENALTY if candidate.quant in LAST_RESORT else 0),
    )


def _plan(
    board: Board,
    candidate: Candidate,
    request: PlanRequest,
    step: SettingsStep,
    largest: SettingsStep,
    *,
    before: tuple[str, ...] = (),
    alternatives: tuple[Alternative, ...] = (),
) -> Plan:
    estimated = _estimate(board, candidate, step)
    return Plan(
        model=candidate.name,
        quant=candidate.quant,
        file_bytes=candidate.weights.file,
        settings=step.settings,
        memory=step.need,
        available=usable_memory(board),
        reserve=reserve(board).size,
        fits=step.fits,
        estimated=estimated,
        reasons=before + tuple(explain.reasons(board, candidate, request, step, estimated=estimated, largest=largest)),
        alternatives=alternatives,
    )


def _estimate(board: Board, candidate: Candidate, step: SettingsStep) -> Estimate:
    if not step.fits:
        return NOTHING_KNOWN
    device = step.method.device
    return estimate(board, candidate.shape, candidate.weights, step.settings, measured=step.measured, device=device)


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
    if first.is_sound:
        saved = 1 - chosen.candidate.weights.file / first.candidate.weights.file
        return f"{chosen.candidate.quant}: {saved:.0%} smaller than {first.candidate.quant}, which is too slow here."
    budget = usable_memory(board) - reserve(board).size
    return explain.quantization(chosen.candidate, (first.candidate, first.step.need), budget)


def _alternatives(
    board: Board,
    request: PlanRequest,
    chosen: _Option,
    options: dict[str, list[_Option]],
    *,
    refused: list[Candidate],
    smaller: _Option | None,
) -> Iterable[Alternative]:
    """What was not chosen, each with ``why_not``.

    Other quantizations of the chosen model, the nearest better and worse models, and a smaller one that is faster.
    """
    yield from (
        _alternative(option, _why_not(board, request, chosen, option))
        for option in options[chosen.candidate.name]
        if option is not chosen
    )
    others = [
        max(found, key=lambda option: option.rank) for name, found in options.items() if name != chosen.candidate.name
    ]
    for files in _by_model(refused).values():
        option = _option(board, files[0], request)
        if option.step.fits:
            others.append(option)
    others.sort(key=lambda option: (option.score, option.candidate.name))
    current = [option for option in others if option.candidate.superseded_by not in options]
    better = [option for option in current if option.score > chosen.score][:_BETTER_SHOWN]
    worse = [option for option in current if option.score <= chosen.score][-_WORSE_SHOWN:]
    last = [] if smaller is None or smaller in worse + better else [smaller]
    for option in [*reversed(worse + better), *last]:
        yield _alternative(option, _why_not(board, request, chosen, option))


def _why_not(board: Board, request: PlanRequest, chosen: _Option, option: _Option) -> str:
    candidate, step = option.candidate, option.step
    if not step.fits:
        return explain.too_large(board, step)
    if not (candidate.is_free or candidate.is_installed or request.any_licence):
        return f"fits, but its licence ({candidate.licence}) must be accepted first"
    if not step.is_usable:
        return f"fits only with n_ctx {step.settings.n_ctx}"
    if not option.is_fast:
        return explain.too_slow(option.estimated, thinks=candidate.always_thinks)
    if chosen.is_comfortable and not option.is_comfortable:
        return "fits only without the GPU"
    if candidate.name == chosen.candidate.name:
        return f"coarser, and {1 - candidate.weights.file / chosen.candidate.weights.file:.0%} smaller for it"
    if candidate.superseded_by:
        return f"fits; {candidate.superseded_by} supersedes it"
    faster = explain.faster(option.estimated, chosen.estimated)
    if option.score < chosen.score:
        return f"fits, and is ranked lower{faster}"
    return f"fits, and is {'larger' if faster else 'slower'} for the same rank"


def _alternative(option: _Option, why_not: str) -> Alternative:
    settings = option.step.settings
    return Alternative(
        model=option.candidate.name,
        quant=option.candidate.quant,
        n_ctx=settings.n_ctx,
        kv_type=settings.kv_type,
        total=option.step.need.total,
        fits=option.step.fits,
        why_not=why_not,
        decode_tps=option.estimated.decode_tps,
        page_s=explain.seconds(option.estimated.page_s),
    )
