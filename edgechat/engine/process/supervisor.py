"""The engine's parent process: waits for its end, writes down why, and which plans are not to be tried again.

It holds no native code and next to no memory of its own, so the OOM killer passes it over for the engine.
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

    from edgechat.engine.state.shared_status import Vital
    from edgechat.paths import Paths


def watch(child: int, engine: str, paths: Paths, vital: Vital, *, log_start: int, kills_before: int) -> NoReturn:
    """Wait for the engine to end and write down why, if it did not leave of its own accord.

    Args:
        child: process id of the engine, a child of this process.
        engine: the identity that it tells its clients.
        paths: where the note and the log are.
        vital: what the engine tells of itself.
        log_start: where its part of the log begins, in bytes.
        kills_before: :func:`oom.kill_count` before it started.
    """
    _, status, usage = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        facts = vital.facts()
        note = exit_reason.classify(
            engine,
            status=code,
            log_tail=log.tail(paths.state, start=int(facts.get("log_start", log_start))),
            oom_kills=memory_pressure.kill_count() - kills_before,
            stage=vital.stage,
            declared=facts.get("declared") or None,
        )
        # An idle engine that is taken made room for somebody else: nothing was wrong with its plan.
        if note.cause == "oom" and note.stage != "idle" and "need" in facts:
            was_taken = code in {-signal.SIGKILL, memory_pressure.REREADING_EXIT} and not facts.get("on_device")
            peak = usage.ru_maxrss * 1024 if was_taken else None
            note = replace(note, stepped_below=_step_down(paths.state, facts, peak))
        exit_reason.write(paths.state, replace(note, warden=os.getpid()))
    os._exit(0)


def _step_down(state: Path, facts: dict[str, str], peak: int | None) -> int:
    """Write down that a plan died of memory, and return below which need, in bytes, plans are still tried.

    Args:
        state: the state directory.
        facts: the engine's own notes on its plan.
        peak: the most memory that the engine ever had, when it died for want of more.
    """
    from edgechat.board.probe.probe import probe  # noqa: PLC0415 - needs memory that the engine has just given back
    from edgechat.models.planning.reserve import reserve, room  # noqa: PLC0415

    need = int(facts["need"])
    board = probe()
    # Where the machine still claims that all of the plan fits, it cannot see what limits us: the peak is the limit.
    claimed = room(board) - reserve(board).size
    hidden = peak if peak is not None and peak < need <= claimed else None
    try:
        oom_history.record(state, facts["boot_id"], facts["label"], need, room=hidden)
    except StateError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the log
        return 0  # clients then know that the next try would be the same
    return need if hidden is None else hidden
