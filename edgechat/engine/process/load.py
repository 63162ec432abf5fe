"""Loads a chosen model and makes its loop: one pair of classes for models that write text, one for embedding models."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from edgechat.engine.child.background import BackgroundCall
from edgechat.engine.decoding.loaded_model import Residence

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.engine.decoding.embedding import EmbeddingLoop, EmbeddingResidence
    from edgechat.engine.decoding.loop import DecodeLoop, Inbox
    from edgechat.engine.listener.connections import Connection
    from edgechat.engine.protocol.framing import Frame
    from edgechat.engine.protocol.request import Wish
    from edgechat.engine.selection.model_choice import Choice
    from edgechat.engine.state.metrics import Metrics
    from edgechat.engine.state.shared_status import SharedStatus
    from edgechat.engine.throttle.monitor import ThrottleMonitor
    from edgechat.engine.throttle.thread_governor import Governor
    from edgechat.paths import Paths

    AnyModel = Residence | EmbeddingResidence
    Loop = DecodeLoop | EmbeddingLoop


def load_model(choice: Choice, paths: Paths, *, on_progress: Callable[[float], bool], is_constrained: bool) -> AnyModel:
    """Load the chosen model.

    Raises:
        EngineError: llama.cpp could not load it.
        InvalidModelFileError: it is no embedding model, and cannot hold a conversation either.
    """
    if choice.pooling is not None:
        from edgechat.engine.decoding.embedding import EmbeddingResidence  # noqa: PLC0415 - few load such a model

        return EmbeddingResidence(choice, on_progress=on_progress)
    # llama.cpp does not hold the interpreter lock while it loads, so the loop's modules are imported meanwhile.
    BackgroundCall(importlib.import_module, "edgechat.engine.decoding.loop")
    return Residence(choice, paths, on_progress=on_progress, is_constrained=is_constrained)


def make_loop(
    model: AnyModel,
    inbox: Inbox,
    governor: Governor,
    shared_status: SharedStatus,
    *,
    mismatch: Callable[[Wish, Connection], Frame | None],
    monitor: ThrottleMonitor,
    metrics: Metrics,
) -> Loop:
    """The loop that answers requests with this model."""
    if isinstance(model, Residence):
        from edgechat.engine.decoding.loop import DecodeLoop  # noqa: PLC0415 - was imported while the model was loaded

        return DecodeLoop(model, inbox, governor, shared_status, mismatch=mismatch, monitor=monitor, metrics=metrics)
    from edgechat.engine.decoding.embedding import EmbeddingLoop  # noqa: PLC0415

    return EmbeddingLoop(model, inbox, governor, shared_status, mismatch=mismatch, monitor=monitor, metrics=metrics)
