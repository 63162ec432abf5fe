"""Why an engine process ended: written by its warden, read by its clients.

The warden (``host.py``) outlives the engine by a moment, so the cause is known even when the engine was killed. Pure
classification here; the note itself is one small file in the state directory, replaced at each death.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from edgechat.files import reporting, write_atomically, write_json

if TYPE_CHECKING:
    from pathlib import Path

NOTE = "engine.death.json"
HISTORY = "engine.deaths.jsonl"
KEPT = 50
"""Deaths that are remembered: some 10 kB."""

_MEMORY_SIGNS = (
    "bad_alloc",
    "failed to allocate",
    "unable to allocate",
    "failed to reserve",
    "insufficient memory",
    "Cannot allocate memory",
    "failed to map segment",  # the dynamic linker, where a library does not fit the address space
    "out of memory",
    "cudaErrorMemoryAllocation",
    "MemoryError",
)
_WORDS = {
    "signal": "was killed by {}",
    "oom": "ran out of memory ({})",
    "assert": "stopped at an assertion in llama.cpp: {}",
    "template": "was replaced: {}",
    "load": "could not load the model: {}",
    "exit": "ended unexpectedly ({})",
    "stopped": "was stopped",
    "unknown": "vanished without a trace",
}
_ASSERT_SIGNS = ("GGML_ASSERT", "ggml_abort", "assertion failed", "Assertion")


@dataclass(frozen=True, slots=True)
class Death:
    """How one engine process ended."""

    engine: str
    """The identity that the engine told its clients."""
    cause: str
    """``signal``, ``oom``, ``assert``, ``load``, ``template``, ``exit`` or ``unknown``."""
    detail: str
    """One line for a person: the signal's name, or the last telling line of the log."""
    stage: str
    """``load``, ``prefill``, ``decode``, ``idle`` or ``start``."""
    at: float
    """Seconds since the epoch, for people; nothing is ordered by it, since a board's clock may be wrong."""
    stepped_below: int = 0
    """Bytes: after a death of memory only plans that need less than this are tried again; 0 where nothing changed."""
    warden: int = 0
    """Process id of who wrote this: by it a client knows an engine that had not told its identity yet."""

    @property
    def words(self) -> str:
        """What happened to the engine, to follow its name in a sentence."""
        return _WORDS.get(self.cause, _WORDS["unknown"]).format(self.detail)


def classify(
    engine: str, *, status: int, log_tail: str, oom_kills: int, stage: str, declared: str | None = None
) -> Death:
    """Name the cause of a death.

    Args:
        engine: the identity of the process that died.
        status: exit status as ``waitpid`` reports it through ``os.waitstatus_to_exitcode``: negative for a signal.
        log_tail: the end of what the engine and llama.cpp wrote.
        oom_kills: how many processes the kernel's OOM killer took while the engine lived, here or in its cgroup.
        stage: what the engine was doing.
        declared: a cause that the engine itself wrote down before it ended, or while it did what might end it.
    """
    cause, detail = "exit", f"exit status {status}"
    memory_line = _last_line_with(_MEMORY_SIGNS, log_tail)
    # What an engine declares concerns its own exit: a signal that came meanwhile has a cause of its own.
    if declared is not None and status >= 0 and not (memory_line and declared.startswith("exit:")):
        cause, _, detail = declared.partition(":")
    elif status < 0:
        if -status == signal.SIGKILL and oom_kills > 0:
            cause, detail = "oom", "the kernel ended it because memory ran out"
        elif memory_line:
            # Before the assertion: llama.cpp says that it got no memory, and then stumbles over the missing buffer.
            cause, detail = "oom", memory_line
        elif line := _last_line_with(_ASSERT_SIGNS, log_tail):
            cause, detail = "assert", line
        else:
            cause, detail = "signal", _signal_name(-status)
    elif memory_line:
        cause, detail = "oom", memory_line
    return Death(engine, cause, detail.strip(), stage, time.time())


def write(state: Path, death: Death) -> None:
    """Replace the note. A full disk costs the note, not the clients: they then see cause ``unknown``."""
    with reporting("write", state / NOTE):
        write_json(state / NOTE, asdict(death), sync=False)
    lines = [json.dumps(asdict(each)) for each in (*history(state)[1 - KEPT :], death)]
    with reporting("write", state / HISTORY):
        write_atomically(state / HISTORY, ("\n".join(lines) + "\n").encode(), sync=False)


def history(state: Path) -> list[Death]:
    """The last engines that died, oldest first; lines that a power cut damaged are passed over."""
    try:
        lines = (state / HISTORY).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    deaths = []
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):
            deaths.append(Death(**json.loads(line)))
    return deaths


def read(state: Path, engine: str, warden: int = 0) -> Death | None:
    """The note on one engine, or None while there is none.

    Args:
        state: where it is.
        engine: the engine's identity, or ``""`` where it died before it told it.
        warden: its warden's process id, by which the note is then known.
    """
    newest = last(state)
    if not engine:
        # An older note may be of another warden that had the same number.
        return newest if newest is not None and newest.warden == warden != 0 else None
    if newest is not None and newest.engine == engine:
        return newest
    # Another engine may have died since: the note is about that one then.
    return next((each for each in reversed(history(state)) if each.engine == engine), None)


def last(state: Path) -> Death | None:
    """The note on the last engine that died, or None when none has (or a power cut damaged the note)."""
    try:
        return Death(**json.loads((state / NOTE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def last_error_line(log_tail: str) -> str:
    """The line in which llama.cpp first says what went wrong, or ``""``."""
    lines = [line for line in log_tail.splitlines() if "error" in line.lower() or "failed" in line.lower()]
    # The first complaint names the cause; what follows only says that the caller gave up too.
    return lines[0].strip()[:300] if lines else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # most real-time signals have no name


def _last_line_with(signs: tuple[str, ...], text: str) -> str:
    lines = [line for line in text.splitlines() if any(sign in line for sign in signs)]
    return lines[-1][:300] if lines else ""
