"""Tells which model answers next where none is named, after the set of installed models has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.cli.output.terminal import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.models.planning.next_model import NextModel
    from edgechat.models.store.installed import InstalledModel
    from edgechat.paths import Paths


def find_next(paths: Paths) -> NextModel | None:
    """The model that answers next on this machine; see :func:`edgechat.models.planning.next_model.next_model`."""
    from edgechat.board.probe.probe import probe  # noqa: PLC0415
    from edgechat.config import load  # noqa: PLC0415
    from edgechat.models.planning.next_model import next_model  # noqa: PLC0415

    return next_model(paths, load(paths.config), probe())


def announce(paths: Paths, added: Sequence[InstalledModel]) -> None:
    """Say which model answers from now on, and let an idle engine go that holds another default model."""
    from edgechat.engine.client.client import status, stop  # noqa: PLC0415

    found = find_next(paths)
    if found is None or not added:
        return
    label = found.model.label
    if not found.is_free:
        if label not in {model.label for model in added}:
            say(f"{label} still answers: {found.reason}. To use the new one: edgechat models use {added[0].label}")
        return
    say(f"{label} answers from now on: {found.reason}.")
    for engine in status(paths):
        if not engine["model"] or f"{engine['model']}:{engine['quant']}".lower() == label.lower():
            continue
        if engine["clients"] or engine.get("running"):
            say(f"The running engine keeps {engine['model']} until its clients have left, or: edgechat stop")
        else:
            stop(paths)
