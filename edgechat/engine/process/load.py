"""Loads a chosen model and makes its loop: one pair of classes for models that write text, one for embedding models."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from edgechat.engine.child.background import BackgroundCall
from edgechat.engine.decoding.loaded_model import LoadedModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.engine.decoding.embedding import EmbeddingLoop, LoadedEmbeddingModel
    from edgechat.engine.decoding.loop import DecodeLoop
    from edgechat.engine.decoding.request_loop import LoopServices
    from edgechat.engine.selection.model_choice import Choice
    from edgechat.paths import Paths

    AnyModel = LoadedModel | LoadedEmbeddingModel
    Loop = DecodeLoop | EmbeddingLoop


def load_model(choice: Choice, paths: Paths, *, on_progress: Callable[[float], bool], is_constrained: bool) -> AnyModel:
    """Load the chosen model.

    Raises:
        EngineError: llama.cpp could not load it.
        InvalidModelFileError: it is no embedding model, and cannot hold a conversation either.
    """
    if choice.pooling is not None:
        from edgechat.engine.decoding.embedding import LoadedEmbeddingModel  # noqa: PLC0415 - few load such a model

        return LoadedEmbeddingModel(choice, on_progress=on_progress)
    # llama.cpp does not hold the interpreter lock while it loads, so the loop's modules are imported meanwhile.
    BackgroundCall(importlib.import_module, "edgechat.engine.decoding.loop")
    return LoadedModel(choice, paths, on_progress=on_progress, is_constrained=is_constrained)


def make_loop(model: AnyModel, services: LoopServices) -> Loop:
    """The loop that works on the requests for a loaded model."""
    if isinstance(model, LoadedModel):
        from edgechat.engine.decoding.loop import DecodeLoop  # noqa: PLC0415 - was imported while the model was loaded

        return DecodeLoop(model, services)
    from edgechat.engine.decoding.embedding import EmbeddingLoop  # noqa: PLC0415

    return EmbeddingLoop(model, services)
