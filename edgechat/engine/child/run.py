"""Runs a native program (``edgechat.engine.native.*``) in a child process: llama.cpp may abort or be killed there.

Knows how a request goes in and an answer comes out, and nothing of what is asked.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from edgechat.engine.child.environment import native_environment

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping


def run_apart(program: str, request: Mapping[str, object], *, patience_s: float) -> subprocess.CompletedProcess[str]:
    """Give a program its request as JSON on standard input and wait for its end, whatever that is.

    Args:
        program: the module's name in ``edgechat.engine.native``.
        request: what it is asked.
        patience_s: seconds after which it is killed.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    import subprocess  # noqa: PLC0415 - an engine that asks nobody is spared it

    return subprocess.run(
        [sys.executable, "-m", f"edgechat.engine.native.{program}"],
        input=json.dumps(request),
        # Not into the engine's log: what goes wrong there must not be taken for the cause of a death here.
        capture_output=True,
        text=True,
        errors="replace",
        timeout=patience_s,
        env=native_environment(),
        check=False,
    )
