"""Which model answers next where none is named, and why: the same for all commands and the terminal UI."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edgechat.models.planning.calibration import read_calibration
from edgechat.models.planning.installed_choice import choose_installed
from edgechat.models.planning.plan import PlanRequest
from edgechat.models.store.installed import STARTER_NAME, find, installed
from edgechat.models.store.pin import read_pin

if TYPE_CHECKING:
    from edgechat.board.board import Board
    from edgechat.config import Config
    from edgechat.models.store.installed import InstalledModel
    from edgechat.paths import Paths


class NextModel(NamedTuple):
    """The model that the next unnamed request gets from a new engine."""

    model: InstalledModel
    reason: str
    """A clause: ``pinned by `edgechat models use```."""
    is_free: bool
    """No setting names it, so that a better model takes its place."""


def next_model(paths: Paths, config: Config, board: Board) -> NextModel | None:
    """Find the model that a new engine would load for a request that names none; None where nothing is installed.

    Raises:
        ModelNotFoundError: the named or pinned model is not installed.
        StateError: the store cannot be read.
        InvalidModelFileError: an installed file is damaged.
    """
    if config.model:
        return NextModel(find(paths, config.model), f"set as `model` in {config.origins['model']}", is_free=False)
    if pin := read_pin(paths):
        return NextModel(find(paths, pin.model, pin.quant), "pinned by `edgechat models use`", is_free=False)
    models = installed(paths)
    if not models:
        return None
    request = PlanRequest(n_ctx=config.n_ctx, threads=config.threads)
    chosen = choose_installed(board, models, request, read_calibration(paths, board)).model
    if len(models) == 1:
        reason = "the only one installed"
    elif chosen.name == STARTER_NAME:
        reason = "nothing else that is installed fits the memory that is free"
    else:
        reason = f"the best of {len(models)} installed that fits the memory that is free"
    return NextModel(chosen, reason, is_free=True)
