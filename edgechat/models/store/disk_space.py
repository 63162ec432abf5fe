"""The check that a disk has space for what is about to be written to it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edgechat.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

SPACE_MARGIN = 64 << 20
"""Bytes that stay free on the store's disk, for logs and databases on the same disk."""


def require_space(
    folder: Path,
    size: int,
    label: str,
    *,
    margin: int = SPACE_MARGIN,
    hint: str = "Free some space (edgechat models rm MODEL), or move the models with EDGECHAT_MODELS.",
) -> None:
    """Refuse to begin a write of ``size`` bytes below ``folder`` that would leave less than ``margin`` bytes free.

    Raises:
        StateError: it would; the message begins with ``label`` and says how much is needed and free.
    """
    disk = os.statvfs(folder)
    free, need = disk.f_bavail * disk.f_frsize, size + margin
    if free < need:
        raise StateError(f"{label} needs {need:,} bytes on the disk of {folder}, which has {free:,} free.", hint=hint)
