"""The engine's parent process: waits until the engine ends, records why, and which plans are not to be tried again.

It loads no native code and needs little memory, so the OOM killer chooses the engine first.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from edgechat.engine.state import exit_reason, log, oom_history
from edgechat.engine.throttle import memory_pressure
from edgechat.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.engine.state.shared_status import SharedStatus
    from edgechat.paths import Paths


def watch(
    child: int, engine: str, paths: Paths, shared_status: SharedStatus, *, log_start: int, kills_before: int
) -> NoReturn:
    """Wait for the engine to end; record the exit reason unless its status is 0. Does not return.

    Args:
        child: process id of the engine, a child of this process.
        engine: the identity that the engine sends to its clients.
        paths: the state directory and the log.
        shared_status: the engine's stage and facts.
        log_start: offset in bytes at which its part of the log begins.
        kills_before: :func:`memory_pressure.oom_kill_count` before the engine started.
    """
    _, status, usage = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        facts = shared_status.facts()
        note = exit_reason.classify(
            engine,
            status=code,
            log_tail=log.tail(paths.state, start=int(facts.get("log_start", log_start))),
            oom_kills=memory_pressure.oom_kill_count() - kills_before,
            stage=shared_status.stage,
            declared=facts.get("declared") or None,
        )
        # An idle engine was killed to free memory for another process: its plan was not too large.
        if note.cause == "oom" and note.stage != "idle" and "need" in facts:
            was_killed = code in {-signal.SIGKILL, memory_pressure.REREAD_EXIT_STATUS} and not facts.get("on_device")
            peak = usage.ru_maxrss * 1024 if was_killed else None
            note = replace(note, stepped_below=_step_down(paths.state, facts, peak))
        try:
            exit_reason.write(paths.state, replace(note, supervisor=os.getpid()))
        except StateError as error:
            print(error, file=sys.stderr)  # noqa: T201 - the log; clients then see the cause "unknown"
    os._exit(0)


def _step_down(state: Path, facts: dict[str, str], peak: int | None) -> int:
    """Record that a plan ran out of memory; return the need in bytes below which plans are still tried, or 0.

    Args:
        state: the state directory.
        facts: the engine's facts about its plan.
        peak: the engine's peak resident bytes, where it was killed because it needed more.
    """
    from edgechat.board.probe.probe import probe  # noqa: PLC0415 - needs memory that the engine has just given back
    from edgechat.models.planning.reserve import reserve, usable_memory  # noqa: PLC0415

    need = int(facts["need"])
    board = probe()
    # Where the machine still reports that the whole plan fits, an invisible limit applies: the peak.
    claimed = usable_memory(board) - reserve(board).size
    hidden = peak if peak is not None and peak < need <= claimed else None
    try:
        oom_history.record(state, facts["boot_id"], facts["label"], need, hidden_limit=hidden)
    except StateError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the log
        return 0  # the next plan would be the same one
    return need if hidden is None else hidden
