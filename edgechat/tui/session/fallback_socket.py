"""A place for the engine's socket and log while the state directory cannot be written: read-only, or its disk is full.

In memory where the machine offers that. The engine that is started there leaves with this process, and the place with
it. Knows no engine.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.errors import StateError
from edgechat.paths import private_directory

if TYPE_CHECKING:
    from edgechat.paths import Paths

_RAM = Path("/dev/shm")  # noqa: S108 - a private directory is made below it
_PROBE_BYTES = 4096


def usable(paths: Paths) -> tuple[Paths, Path | None]:
    """``paths``, with the state elsewhere when nothing can be written where it belongs; that place, to be removed.

    Raises:
        StateError: nothing can be written anywhere.
    """
    if is_writable(paths.state):
        return paths, None
    try:
        folder = Path(tempfile.mkdtemp(prefix="edgechat-", dir=_RAM if os.access(_RAM, os.W_OK) else None))
    except OSError as error:
        raise StateError(
            f"Neither {paths.state} nor a temporary directory can be written: {error.strerror}.",
            hint="Free some space, or set EDGECHAT_HOME to a directory that can be written.",
        ) from error
    # Nobody else will find an engine that was started there, so it has to leave with us.
    os.environ["EDGECHAT_KEEP_ALIVE"] = "0"
    return replace(paths, state=folder), folder


def is_writable(folder: Path) -> bool:
    """Whether a page can be written in ``folder``, which is made where it is not there."""
    try:
        private_directory(folder)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            return file.write(b"\0" * _PROBE_BYTES) == _PROBE_BYTES
    except (OSError, StateError):
        return False
