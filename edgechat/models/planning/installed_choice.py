"""The choice among installed models for an engine that starts now: without the catalog, which is slow to import.

Reads the headers of the installed files. The size of a file stands for the quality that the catalog would give.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from edgechat.models.gguf import header as gguf
from edgechat.models.planning.board_speed import with_starter_speed
from edgechat.models.planning.candidate import from_installed
from edgechat.models.planning.fit import choose, ladder
from edgechat.models.store.installed import STARTER_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgechat.board.board import Board
    from edgechat.models.gguf.header import GgufHeader
    from edgechat.models.planning.calibration import Measurement
    from edgechat.models.planning.candidate import Candidate
    from edgechat.models.planning.plan import Plan, PlanRequest
    from edgechat.models.store.installed import InstalledModel


class InstalledChoice(NamedTuple):
    """An installed model, its header, and the ladder of plans for it, largest first."""

    model: InstalledModel
    header: GgufHeader
    ladder: tuple[Plan, ...]


def choose_installed(
    board: Board,
    models: Sequence[InstalledModel],
    request: PlanRequest,
    measured: Mapping[str, tuple[Measurement, ...]] | None = None,
) -> InstalledChoice:
    """The best installed model that fits this board now; where none fits, the one that needs least.

    The starter is chosen only where nothing else fits, a translation model only where nothing else is installed.

    ``measured`` is the calibration of this board, by ``file_key``.

    Raises:
        InvalidModelFileError: a file is damaged.
        ValueError: ``models`` is empty.
    """
    board = with_starter_speed(board, measured or {})
    headers = {(model.name, model.quant): gguf.read_header(model.path) for model in models}
    candidates = {
        (model.name, model.quant): _candidate(model, headers[model.name, model.quant], board, measured)
        for model in models
    }
    plan = choose(board, candidates.values(), request)
    chosen = next(model for model in models if (model.name, model.quant) == (plan.model, plan.quant))
    named = (chosen.name, chosen.quant)
    return InstalledChoice(chosen, headers[named], ladder(board, candidates[named], request))


def _candidate(
    model: InstalledModel, header: GgufHeader, board: Board, measured: Mapping[str, tuple[Measurement, ...]] | None
) -> Candidate:
    found = from_installed(model, header, board.cpu.features, measured=measured)
    if model.name == STARTER_NAME:
        return replace(found, quality=0)
    # A manifest has no purpose; only models trained for one task have a prompt for it.
    return replace(found, purpose="translation") if "translate" in model.prompts else found
