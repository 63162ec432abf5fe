"""How the engine behind a broken connection ended, found and said: waits for the note that its warden writes.

Clients only, and light as they are. Knows neither requests nor what is done about a death.
"""

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

WATCHED_PATIENCE_S = 10.0
"""For a warden that is seen to be at work: it writes to a worn SD card, or counts memory first."""

UNWATCHED_PATIENCE_S = 3.0
"""For one that cannot be seen (another operating system, another container)."""

_LOOK_S = 0.01


def find(state: Path, engine: str, warden: int | None) -> exit_reason.Death | None:
    """The note on an engine that hung up; None when its warden is gone, or too slow, and there is none.

    Args:
        state: where the note is written.
        engine: the engine's identity, or ``""`` where it hung up before it told it.
        warden: the process that writes the note, as :func:`edgechat.engine.protocol.unix_socket.warden` tells.
    """
    with _watched(warden) as watch:
        until = time.monotonic() + (UNWATCHED_PATIENCE_S if watch is None else WATCHED_PATIENCE_S)
        while True:
            # The look at the warden comes first: what it wrote before it went is there then.
            is_gone = _is_gone(watch)
            if note := exit_reason.read(state, engine, warden or 0):
                return note
            if is_gone or time.monotonic() >= until:
                return None


def said(note: exit_reason.Death, *, again: bool = False) -> str:
    """The death in a sentence for a person."""
    words = note.words
    if note.cause == "stopped":
        return f"The engine {words}."
    return f"The engine {words}{' again' if again else ''} ({note.stage})."


@contextlib.contextmanager
def _watched(warden: int | None) -> Iterator[int | None]:
    """A descriptor that becomes readable when the process ends; None where there is no such thing."""
    if warden is None or warden == os.getpid() or not hasattr(os, "pidfd_open"):
        yield None
        return
    try:
        watch = os.pidfd_open(warden)
    except ProcessLookupError:
        watch, end = os.pipe()  # its reading end is readable once the other is closed
        os.close(end)
    except OSError:
        yield None  # a sandbox forbids it
        return
    try:
        yield watch
    finally:
        os.close(watch)


def _is_gone(watch: int | None) -> bool:
    """Whether the watched process has ended; waits a moment for it."""
    if watch is None:
        time.sleep(_LOOK_S)
        return False
    poll = select.poll()  # unlike select(), for any number of open files
    poll.register(watch, select.POLLIN | select.POLLHUP)
    return bool(poll.poll(_LOOK_S * 1000))
