"""Which model answers the next question of the chat, why, and whether a better one is installed.

Reads file headers: call it in a worker thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.board.probe.probe import probe
from edgechat.models.planning.next_model import next_model
from edgechat.models.store.installed import installed
from edgechat.tui.session.messages import NextAnswer

if TYPE_CHECKING:
    from edgechat.config import Config
    from edgechat.paths import Paths

CHOSEN = "chosen with F3"
_SHORT = {"pinned": "pinned", "set as": "config.toml", "the only": "the only one", "the best": "best that fits"}
"""Beginnings of reasons, and how the title line says them."""


def next_answer(paths: Paths, config: Config, chosen: str | None, answered: str | None) -> NextAnswer:
    """Find the model of the next question.

    Args:
        paths: whose models and engine.
        config: settings.
        chosen: the model that the user chose for this session; None for none.
        answered: the model of the last answer in this session: it stays loaded when another one is installed.

    Raises:
        EdgechatError: the store or a file cannot be read.
    """
    if chosen is not None and chosen != config.model:
        return NextAnswer(chosen.lower(), CHOSEN)
    following = next_model(paths, config, probe())
    if following is None:
        return NextAnswer("", "no model is installed: F3")
    label = following.model.label.lower()
    known = {model.label.lower() for model in installed(paths)}
    if following.is_free and answered is not None and answered != label and answered in known:
        return NextAnswer(answered, "loaded now", better=label)
    return NextAnswer(label, _short(following.reason))


def _short(reason: str) -> str:
    """A reason that fits the title line; F1 and ``edgechat models list`` have it whole."""
    return next((short for begin, short in _SHORT.items() if reason.startswith(begin)), reason)
