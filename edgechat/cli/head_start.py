"""Lets the engine start while the command line is still being imported: 40 ms of a cold `edgechat ask` on a PC.

Knows no command and judges no argument: an engine that is not needed after all leaves by itself.
"""

from __future__ import annotations

import contextlib

from edgechat.cli.process_exit import prepare
from edgechat.engine.client.launch import start_early
from edgechat.errors import EdgechatError
from edgechat.paths import Paths


def head_start() -> None:
    """Begin to start the engine, unless one is there. What stands in the way is left to the command, which meets it."""
    prepare()
    with contextlib.suppress(EdgechatError, OSError):
        start_early(Paths.from_env())
