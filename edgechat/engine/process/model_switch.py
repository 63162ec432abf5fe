"""Whether the resident model is the one that a client wished for, and what the client is asked where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgechat.config import Config
    from edgechat.engine.protocol.framing import Frame
    from edgechat.engine.protocol.request import Wish
    from edgechat.engine.selection.model_choice import Choice
    from edgechat.paths import Paths


def mismatch(wish: Wish, resident: Choice, *, paths: Paths, config: Config, others: int) -> Frame | None:
    """What the client must decide about; None where it gets what it wished for.

    Args:
        wish: the client's.
        resident: what is loaded.
        paths: where models and the pin are.
        config: settings that stand in for what the wish leaves open.
        others: clients beside the asking one that mean to keep the resident model.

    Raises:
        EdgechatError: the model wished for is not there at all.
    """
    from edgechat.engine.selection.model_choice import find_models  # noqa: PLC0415 - keeps the warden's memory small

    wanted = find_models(wish, paths=paths, config=config)
    # The best of what is installed was chosen when it was loaded; its own memory must not change the answer now.
    is_right = resident.is_default if wanted.is_default else any(each.path == resident.path for each in wanted.models)
    # A context that was cut to fit the board is all there is: loading again would give the same.
    is_enough = wanted.n_ctx is None or wanted.n_ctx <= resident.wished_n_ctx
    # Scripts get what was pinned, or the refusal of the engine that tries: a plan that gave way will not do.
    is_kept = resident.is_whole or not (wish.exact and wanted.is_pinned)
    if is_right and is_enough and is_kept:
        return None
    return {
        "type": "switch",
        "resident": resident.label,
        "resident_n_ctx": resident.plan.settings.n_ctx,
        "wanted": "the default model" if wanted.is_default else wanted.models[0].label.lower(),
        "wanted_n_ctx": wanted.n_ctx,
        "others": others,
    }
