"""Which residence and which loop a model gets in the engine process: those that write text, or those that embed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from edgechat.engine.child.background import Beside
from edgechat.engine.decoding.loaded_model import Residence

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.engine.decoding.embedding import EmbeddingLoop, EmbeddingResidence
    from edgechat.engine.decoding.loop import DecodeLoop, Inbox
    from edgechat.engine.listener.connections import Connection
    from edgechat.engine.protocol.framing import Frame
    from edgechat.engine.protocol.request import Wish
    from edgechat.engine.selection.model_choice import Choice
    from edgechat.engine.state.metrics import Figures
    from edgechat.engine.state.shared_status import Vital
    from edgechat.engine.throttle.monitor import Carer
    from edgechat.engine.throttle.thread_governor import Governor
    from edgechat.paths import Paths

    Home = Residence | EmbeddingResidence
    Loop = DecodeLoop | EmbeddingLoop


def move_in(choice: Choice, paths: Paths, *, on_progress: Callable[[float], bool], is_constrained: bool) -> Home:
    """Load the chosen model.

    Raises:
        EngineError: llama.cpp could not load it.
        InvalidModelFileError: it is no embedding model, and cannot hold a conversation either.
    """
    if choice.pooling is not None:
        from edgechat.engine.decoding.embedding import EmbeddingResidence  # noqa: PLC0415 - few load such a model

        return EmbeddingResidence(choice, on_progress=on_progress)
    # llama.cpp needs no interpreter while it loads, so what comes after can be imported meanwhile.
    Beside(importlib.import_module, "edgechat.engine.decoding.loop")
    return Residence(choice, paths, on_progress=on_progress, is_constrained=is_constrained)


def loop_over(
    home: Home,
    inbox: Inbox,
    governor: Governor,
    vital: Vital,
    *,
    mismatch: Callable[[Wish, Connection], Frame | None],
    carer: Carer,
    figures: Figures,
) -> Loop:
    """The loop that takes a residence's requests."""
    if isinstance(home, Residence):
        from edgechat.engine.decoding.loop import DecodeLoop  # noqa: PLC0415 - was imported while the model was loaded

        return DecodeLoop(home, inbox, governor, vital, mismatch=mismatch, carer=carer, figures=figures)
    from edgechat.engine.decoding.embedding import EmbeddingLoop  # noqa: PLC0415

    return EmbeddingLoop(home, inbox, governor, vital, mismatch=mismatch, carer=carer, figures=figures)
