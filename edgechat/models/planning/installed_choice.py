"""Picks among what is installed, for an engine that starts now: light, so without the catalog and its quality ranks.

Reads the headers of the installed files. Where no editor's judgement is at hand the size of a file stands for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from edgechat.models.gguf import header as gguf
from edgechat.models.planning.calibration import file_key
from edgechat.models.planning.candidate_sources import from_installed
from edgechat.models.planning.fit import FitWish, choose, ladder
from edgechat.models.store.installed import STARTER_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgechat.board.board import Board
    from edgechat.models.gguf.header import GgufHeader
    from edgechat.models.planning.calibration import Measurement
    from edgechat.models.planning.candidate import Candidate
    from edgechat.models.planning.plan import Plan
    from edgechat.models.store.installed import InstalledModel


class Pick(NamedTuple):
    """An installed model, what its file's header says, and every plan for it, largest first."""

    model: InstalledModel
    header: GgufHeader
    ladder: tuple[Plan, ...]


def pick(
    board: Board,
    models: Sequence[InstalledModel],
    wish: FitWish,
    measured: Mapping[str, tuple[Measurement, ...]] | None = None,
) -> Pick:
    """The best installed model that fits this board now; where none fits, the one that comes nearest.

    The starter answers only where nothing else fits, and a translation model only where there is nothing else.

    Args:
        board: the machine.
        models: what is installed; at least one.
        wish: what was asked for.
        measured: :func:`~edgechat.models.planning.calibration.read_calibration`'s answer for this board.

    Raises:
        InvalidModelFileError: a file is damaged.
        ValueError: nothing is installed.
    """
    headers = {(model.name, model.quant): gguf.read_header(model.path) for model in models}
    candidates = {
        (model.name, model.quant): _candidate(model, headers[model.name, model.quant], board, measured or {})
        for model in models
    }
    plan = choose(board, candidates.values(), wish)
    chosen = next(model for model in models if (model.name, model.quant) == (plan.model, plan.quant))
    named = (chosen.name, chosen.quant)
    return Pick(chosen, headers[named], ladder(board, candidates[named], wish))


def candidate_of(
    model: InstalledModel, header: GgufHeader, board: Board, measured: Mapping[str, tuple[Measurement, ...]]
) -> Candidate:
    """One installed file as the fit sees it, with what was measured of it."""
    found = from_installed(model, header, board.cpu.features)
    return replace(found, measured=measured.get(file_key(model.name, model.quant, model.file_bytes), ()))


def _candidate(
    model: InstalledModel, header: GgufHeader, board: Board, measured: Mapping[str, tuple[Measurement, ...]]
) -> Candidate:
    found = candidate_of(model, header, board, measured)
    if model.name == STARTER_NAME:
        return replace(found, quality=0)
    # A manifest holds no purpose; only models trained for one job carry a prompt for it.
    return replace(found, purpose="translation") if "translate" in model.prompts else found
