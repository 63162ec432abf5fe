"""Running a program of ``edgechat.engine.native`` in a child process, where llama.cpp may abort or be killed.

The request goes in as JSON on standard input; the answer comes back on standard output. Also says in words how a child
process ended.
"""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

from edgechat.engine.child.environment import native_environment
from edgechat.engine.child.interpreter import WORKING_DIRECTORY, python_command

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

LONGEST_REASON = 300
"""Characters quoted of a line that a process wrote."""


def run_child(program: str, request: Mapping[str, object], *, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Start a program, give it its request and wait until it ends, in whatever way.

    Args:
        program: the module's name in ``edgechat.engine.native``.
        request: sent as JSON.
        timeout_s: seconds after which the program is killed.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    import subprocess  # noqa: PLC0415 - 10 ms that an engine without a GPU need not pay

    return subprocess.run(
        python_command(f"edgechat.engine.native.{program}"),
        input=json.dumps(request),
        # Kept out of the engine's log: an error there would be taken for the cause of this engine's own death.
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        cwd=WORKING_DIRECTORY,
        env=native_environment(),
        check=False,
    )


def signal_name(number: int) -> str:
    """``SIGSEGV`` for 11; ``signal 40`` for a number without a name (most real-time signals)."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_line(stderr: str) -> str:
    """The last line with text in it, cut to :data:`LONGEST_REASON` characters; ``""`` where there is none."""
    return next((line.strip()[:LONGEST_REASON] for line in reversed(stderr.splitlines()) if line.strip()), "")


def describe_exit(status: int, stderr: str) -> tuple[str, str]:
    """How a child process failed.

    Args:
        status: exit status as :mod:`subprocess` reports it: negative for a signal, never 0.
        stderr: what the process wrote to standard error.

    Returns:
        The cause as :class:`edgechat.errors.EngineError` names it (``oom``, ``signal`` or ``load``), and what happened,
        in words that follow the name of the process: "was killed by SIGILL".
    """
    if status == -signal.SIGKILL:
        return "oom", "was killed by the kernel, most likely because memory ran out"
    if status < 0:
        return "signal", f"was killed by {signal_name(-status)}"
    return "load", f"failed: {last_line(stderr) or f'exit status {status}'}"
