"""Findings about models: whether one is installed, any is damaged, and the chosen one fits the free memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edgechat.doctor.finding import Finding, advice, ok, problem
from edgechat.doctor.installation import STARTER
from edgechat.engine.protocol.request import Wish
from edgechat.engine.selection.model_choice import choose
from edgechat.engine.state import oom_history, pressure_history
from edgechat.errors import EdgechatError, ExitCode, StateError
from edgechat.models.planning.next_model import next_model
from edgechat.models.store.installed import STARTER_NAME, InstalledModel, damaged, installed
from edgechat.models.store.unchanged import changed_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.board.board import Board
    from edgechat.config import Config
    from edgechat.doctor.installation import Installation
    from edgechat.models.store.installed import DamagedEntry
    from edgechat.paths import Paths


def findings(
    paths: Paths, config: Config, board: Board, installation: Installation, *, is_loaded: bool
) -> tuple[list[Finding], list[InstalledModel]]:
    """Check the store and the starter model.

    Args:
        paths: of the store.
        config: the settings.
        board: the machine, with its free memory.
        installation: for the commands that fix a finding.
        is_loaded: an engine has loaded a model, so the free memory does not show whether it fits.

    Returns:
        The findings, and the installed models.
    """
    try:
        models = installed(paths)
        broken = damaged(paths)
    except StateError as error:
        if not os.path.isdir(paths.models):  # noqa: PTH112 - False where pathlib's raises
            return [], []  # reported by directories.py
        return [problem("models", str(error), None, ExitCode.STATE)], []
    found = [*_damaged(broken, paths), *_changed(models), *_starter(models, installation)]
    if not models:
        message = "No model is installed, so nothing can be answered."
        return [*found, problem("model", message, "edgechat models pull", ExitCode.NO_MODEL)], models
    return [*found, _chosen_model(paths, config, board, is_loaded=is_loaded)], models


def _damaged(entries: Sequence[DamagedEntry], paths: Paths) -> list[Finding]:
    found = []
    for entry in entries:
        name, quant = entry.path.relative_to(paths.models).parts[:2]
        message = f"The installed model {name}:{quant} is damaged: {entry.reason}."
        found.append(advice("damaged-model", message, f"edgechat models pull {name}:{quant}"))
    return found


def _changed(models: Sequence[InstalledModel]) -> list[Finding]:
    """Files that were written or replaced since their installation; the next load hashes them."""
    found = []
    for model in models:
        if model.stamp is not None and (files := changed_files(model)):
            names = ", ".join(each.name for each in files)
            message = f"{names} of {model.label} was written or replaced since it was installed."
            found.append(advice("changed-model", message, f"edgechat models verify {model.label}"))
    return found


def _starter(models: Sequence[InstalledModel], installation: Installation) -> list[Finding]:
    if any(model.name == STARTER_NAME for model in models):
        if len(models) > 1:
            return [ok("starter", f"{len(models)} models are installed, with the starter.")]
        message = "Only the starter model is installed: 135M parameters, English only, often wrong."
        return [advice("starter", message, "edgechat models pull")]
    message = "The starter model is not installed; it could answer even when no other model fits."
    return [advice("starter", message, installation.install(STARTER))]


def _chosen_model(paths: Paths, config: Config, board: Board, *, is_loaded: bool) -> Finding:
    """Choose a model and plan it as the engine would, without loading it."""
    if is_loaded:
        following = next_model(paths, config, board)
        label = f" A new engine loads {following.model.label}: {following.reason}." if following is not None else ""
        return ok("model", f"A model is loaded.{label}")
    try:
        choice = choose(
            Wish(),
            paths=paths,
            config=config,
            board=board,
            offload=False,  # a plan that fits without a GPU fits with one
            oom_history=oom_history.read(paths.state, board.boot_id),
            pressure=pressure_history.read(paths.state),
        )
    except EdgechatError as error:
        command = "edgechat models plan" if error.exit_code == ExitCode.NO_MODEL else "edgechat models verify"
        return problem("model", str(error), command, error.exit_code)
    settings = choice.plan.settings
    following = next_model(paths, config, board)
    reason = f" ({following.reason})" if following is not None else ""
    return ok("model", f"{choice.label} answers next{reason}; it fits, with a context of {settings.n_ctx} tokens.")
