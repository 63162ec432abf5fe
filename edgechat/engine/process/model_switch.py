"""Whether the resident model satisfies a client's wish; if not, the ``switch`` frame for that client."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.errors import InvalidModelFileError

if TYPE_CHECKING:
    from edgechat.config import Config
    from edgechat.engine.protocol.framing import Frame
    from edgechat.engine.protocol.request import Wish
    from edgechat.engine.selection.model_choice import Choice
    from edgechat.paths import Paths


def switch_frame(wish: Wish, resident: Choice, *, paths: Paths, config: Config, others: int) -> Frame | None:
    """The frame that asks a client whether to replace the resident model; None where the model satisfies its wish.

    Raises:
        EdgechatError: the wished model does not exist.
    """
    from edgechat.engine.selection.model_choice import find_models  # noqa: PLC0415 - keeps the supervisor's memory small

    try:
        wanted = find_models(wish, paths=paths, config=config)
    except InvalidModelFileError as error:
        named = wish.model or config.model or ""
        if not (isinstance(error.__cause__, PermissionError) and os.access(named, os.R_OK)):
            raise
        # Its owner may read the file, and this engine may not: its sandbox holds the directories of its own model.
        return _frame(resident, Path(named).stem.lower(), wish.n_ctx or config.n_ctx, others)
    # A default model stays: choosing again would count the memory that it occupies itself.
    is_right = resident.is_default if wanted.is_default else any(each.path == resident.path for each in wanted.models)
    # Compared with the wished context: one that was reduced to fit the board would be reduced again.
    is_enough = wanted.n_ctx is None or wanted.n_ctx <= resident.wished_n_ctx
    # An exact wish is not satisfied by a plan that reduces what was pinned.
    is_kept = resident.is_whole or not (wish.exact and wanted.is_pinned)
    if is_right and is_enough and is_kept:
        return None
    label = "the default model" if wanted.is_default else wanted.models[0].label.lower()
    return _frame(resident, label, wanted.n_ctx, others)


def _frame(resident: Choice, wanted: str, n_ctx: int | None, others: int) -> Frame:
    return {
        "type": "switch",
        "resident": resident.label,
        "resident_n_ctx": resident.plan.settings.n_ctx,
        "wanted": wanted,
        "wanted_n_ctx": n_ctx,
        "others": others,
    }
