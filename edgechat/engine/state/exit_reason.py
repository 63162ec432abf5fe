"""Why an engine process ended: the supervisor writes it, clients read it.

The supervisor (``engine/process/supervisor.py``) outlives the engine, so the cause is known even when the engine was
killed. The newest exit reason is one small file in the state directory; the last 50 are in a second one.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from edgechat.engine.child.run import signal_name
from edgechat.files import reporting, write_atomically, write_json

if TYPE_CHECKING:
    from pathlib import Path

NOTE = "engine.death.json"
HISTORY = "engine.deaths.jsonl"
KEPT = 50
"""Exit reasons that are kept: about 10 kB."""

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
_DESCRIPTIONS = {
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
class ExitReason:
    """How one engine process ended."""

    engine: str
    """The identity that the engine sends to its clients."""
    cause: str
    """``signal``, ``oom``, ``assert``, ``load``, ``template``, ``exit`` or ``unknown``."""
    detail: str
    """One line for a person: the signal's name, or the line of the log that names the cause."""
    stage: str
    """``load``, ``prefill``, ``decode``, ``idle`` or ``start``."""
    at: float
    """Seconds since the epoch, shown to people only: a board's clock may be wrong."""
    stepped_below: int = 0
    """Bytes: after running out of memory, only plans that need less are tried; 0 where the next plan is the same."""
    supervisor: int = 0
    """Process id of the supervisor that wrote this (JSON key ``warden``): identifies an engine before its handshake."""

    @property
    def description(self) -> str:
        """What happened to the engine, as the predicate of a sentence: "was killed by SIGSEGV"."""
        return _DESCRIPTIONS.get(self.cause, _DESCRIPTIONS["unknown"]).format(self.detail)


def classify(
    engine: str, *, status: int, log_tail: str, oom_kills: int, stage: str, declared: str | None = None
) -> ExitReason:
    """Find the cause of an engine's end.

    Args:
        engine: the identity of the process that ended.
        status: exit status as ``waitpid`` reports it through ``os.waitstatus_to_exitcode``: negative for a signal.
        log_tail: the end of what the engine and llama.cpp wrote.
        oom_kills: processes that the kernel's OOM killer killed while the engine ran, here or in its cgroup.
        stage: what the engine was doing.
        declared: ``cause:detail`` that the engine recorded before it ended, or before a step that might end it.
    """
    cause, detail = "exit", f"exit status {status}"
    memory_line = _last_line_with(_MEMORY_SIGNS, log_tail)
    # A declared cause explains the engine's own exit only; a signal has another cause.
    if declared is not None and status >= 0 and not (memory_line and declared.startswith("exit:")):
        cause, _, detail = declared.partition(":")
    elif status < 0:
        if -status == signal.SIGKILL and oom_kills > 0:
            cause, detail = "oom", "the kernel ended it because memory ran out"
        elif memory_line:
            # Checked before assertions: llama.cpp reports the failed allocation, then asserts on the missing buffer.
            cause, detail = "oom", memory_line
        elif line := _last_line_with(_ASSERT_SIGNS, log_tail):
            cause, detail = "assert", line
        else:
            cause, detail = "signal", signal_name(-status)
    elif memory_line:
        cause, detail = "oom", memory_line
    return ExitReason(engine, cause, detail.strip(), stage, time.time())


def write(state: Path, reason: ExitReason) -> None:
    """Replace the newest exit reason and append it to the history.

    Raises:
        StateError: the disk is full or read-only; clients then see the cause ``unknown``.
    """
    with reporting("write", state / NOTE):
        write_json(state / NOTE, _to_json(reason), sync=False)
    lines = [json.dumps(_to_json(each)) for each in (*history(state)[1 - KEPT :], reason)]
    with reporting("write", state / HISTORY):
        write_atomically(state / HISTORY, ("\n".join(lines) + "\n").encode(), sync=False)


def history(state: Path) -> list[ExitReason]:
    """The last exit reasons, oldest first; lines that a power cut damaged are skipped."""
    try:
        lines = (state / HISTORY).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    reasons = []
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):
            reasons.append(_from_json(line))
    return reasons


def read(state: Path, engine: str, supervisor: int = 0) -> ExitReason | None:
    """The exit reason of one engine, or None while there is none.

    Args:
        state: the state directory.
        engine: the engine's identity, or ``""`` where it ended before the handshake.
        supervisor: its supervisor's process id, which identifies the engine in that case.
    """
    newest = last(state)
    if not engine:
        # An old exit reason may be of another supervisor that had the same process id; 0 identifies none.
        return newest if newest is not None and newest.supervisor == supervisor != 0 else None
    if newest is not None and newest.engine == engine:
        return newest
    # Another engine may have ended since.
    return next((each for each in reversed(history(state)) if each.engine == engine), None)


def last(state: Path) -> ExitReason | None:
    """The newest exit reason, or None when there is none (or a power cut damaged the file)."""
    try:
        return _from_json((state / NOTE).read_text())
    except (OSError, ValueError, TypeError):
        return None


def last_error_line(log_tail: str) -> str:
    """The line in which llama.cpp first says what went wrong, or ``""``."""
    lines = [line for line in log_tail.splitlines() if "error" in line.lower() or "failed" in line.lower()]
    # The first error names the cause; later ones are its consequences.
    return lines[0].strip()[:300] if lines else ""


def _to_json(reason: ExitReason) -> dict[str, Any]:
    data = asdict(reason)
    data["warden"] = data.pop("supervisor")  # the key on disk since the first version
    return data


def _from_json(text: str) -> ExitReason:
    data = dict(json.loads(text))
    return ExitReason(**{"supervisor" if key == "warden" else key: value for key, value in data.items()})


def _last_line_with(signs: tuple[str, ...], text: str) -> str:
    lines = [line for line in text.splitlines() if any(sign in line for sign in signs)]
    return lines[-1][:300] if lines else ""
