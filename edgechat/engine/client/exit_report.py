"""Waits for the exit reason of an engine whose connection broke, and says it in a sentence. Used by clients only."""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import TYPE_CHECKING

from edgechat.engine.state import exit_reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WATCHED_TIMEOUT_S = 10.0
"""For a supervisor that is known to run: it may write to a slow SD card, or probe the memory first."""

UNWATCHED_TIMEOUT_S = 3.0
"""For one that cannot be watched (another operating system, another container)."""

_POLL_S = 0.01


def wait_for(state: Path, engine: str, supervisor: int | None) -> exit_reason.ExitReason | None:
    """The exit reason of an engine that disconnected; None when its supervisor has ended without one, or is too slow.

    Args:
        state: the state directory.
        engine: the engine's identity, or ``""`` where it disconnected before the handshake.
        supervisor: process id of the engine's supervisor (:func:`edgechat.engine.protocol.unix_socket.supervisor_pid`).
    """
    with _watched(supervisor) as watch:
        until = time.monotonic() + (UNWATCHED_TIMEOUT_S if watch is None else WATCHED_TIMEOUT_S)
        while True:
            # Checked before reading: what the supervisor wrote before it ended is there then.
            is_gone = _is_gone(watch)
            if note := exit_reason.read(state, engine, supervisor or 0):
                return note
            if is_gone or time.monotonic() >= until:
                return None


def sentence(reason: exit_reason.ExitReason, *, again: bool = False) -> str:
    """The exit reason in a sentence for the user."""
    if reason.cause == "stopped":
        return f"The engine {reason.description}."
    return f"The engine {reason.description}{' again' if again else ''} ({reason.stage})."


@contextlib.contextmanager
def _watched(supervisor: int | None) -> Iterator[int | None]:
    """A descriptor that becomes readable when the process ends; None where the system has none."""
    if supervisor is None or supervisor == os.getpid() or not hasattr(os, "pidfd_open"):
        yield None
        return
    try:
        watch = os.pidfd_open(supervisor)
    except ProcessLookupError:
        watch, end = os.pipe()  # readable, since the other end is closed at once
        os.close(end)
    except OSError:
        yield None  # forbidden by a sandbox
        return
    try:
        yield watch
    finally:
        os.close(watch)


def _is_gone(watch: int | None) -> bool:
    """Whether the watched process has ended; waits up to :data:`_POLL_S` for it."""
    if watch is None:
        time.sleep(_POLL_S)
        return False
    poll = select.poll()  # unlike select(), for any number of open files
    poll.register(watch, select.POLLIN | select.POLLHUP)
    return bool(poll.poll(_POLL_S * 1000))
