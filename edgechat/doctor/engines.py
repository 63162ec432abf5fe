"""Findings about engine processes: the running one, crashes of earlier ones, and smaller plans because of memory."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Any

from edgechat.doctor.finding import Finding, advice, ok, problem
from edgechat.engine.child.sandbox import landlock_version
from edgechat.engine.state import exit_reason, oom_history, pressure_history
from edgechat.errors import ExitCode
from edgechat.plaintext import megabytes
from edgechat.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_RECENT_S = 7 * 24 * 3600
"""Older crashes are not reported."""

_REPEATED = 3
"""So many crashes in that time count as repeated."""

_COMMAND_BY_CAUSE = {
    "oom": "edgechat models plan",
    "load": "edgechat models verify",
    "template": "edgechat models update",
}
"""What to try, by the most frequent cause of crashes."""


def running(engines: Sequence[Mapping[str, Any]], *, is_silent: bool, state: Path) -> list[Finding]:
    """Findings about the running engine.

    Args:
        engines: status frames, as ``edgechat ps`` shows them.
        is_silent: a process accepts connections at the socket but does not answer.
        state: the state directory.
    """
    if is_silent:
        message = "An engine runs but does not answer: it is stopped or hangs."
        return [problem("engine", message, f"fuser -k {shlex.quote(str(state / 'engine.lock'))}", ExitCode.ENGINE)]
    found = []
    for engine in engines:
        if engine.get("version") != __version__:
            message = (
                f"The running engine (pid {engine.get('pid')}) is version {engine.get('version') or 'unknown'} and "
                f"this is {__version__}; it will be replaced at the next question."
            )
            found.append(advice("engine-version", message, "edgechat stop"))
        else:
            message = f"An engine of this version runs (pid {engine.get('pid')}, {engine.get('stage')})."
            found.append(ok("engine", message))
    return found or [ok("engine", "No engine is running; the next question starts one.")]


def sandbox(engines: Sequence[Mapping[str, Any]]) -> Finding:
    """Whether the engine is, or would be, confined by the kernel."""
    states = [engine["sandbox"] for engine in engines if isinstance(engine.get("sandbox"), dict)]
    for state in states:
        if state.get("note"):
            message = f"The engine is not wholly confined: {state['note']}. It has the rights of its user."
            return advice("sandbox", message, None)
    version = landlock_version()
    if not version:
        message = (
            "This kernel has no Landlock, or it is turned off: the engine can read and write what its user can. It "
            "still opens no internet socket where seccomp is available."
        )
        return advice("sandbox", message, None)
    return ok("sandbox", f"The engine is confined by Landlock (version {version}) and seccomp.")


def last_crash(state: Path, now: float | None = None) -> list[Finding]:
    """How the last engine crashed, if that was within seven days."""
    note = exit_reason.last(state)
    now = time.time() if now is None else now
    if note is None or note.at < now - _RECENT_S:
        return [ok("engine-death", "No engine has died in the last seven days.")]
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(note.at))
    message = f"On {when} the engine {note.description}, in stage {note.stage}."
    return [advice("engine-death", message, "edgechat models plan" if note.cause == "oom" else _log_command(state))]


def _log_command(state: Path) -> str:
    return f"less {shlex.quote(str(state / 'logs' / 'engine.log'))}"


def repeated_crashes(state: Path, now: float | None = None) -> list[Finding]:
    """Three or more crashes within seven days, with their most frequent cause."""
    now = time.time() if now is None else now
    recent = [each for each in exit_reason.history(state) if now - _RECENT_S <= each.at <= now + _RECENT_S]
    if len(recent) < _REPEATED:
        return []  # last_crash reports the last one
    causes: dict[str, int] = {}
    for each in recent:
        causes[each.cause] = causes.get(each.cause, 0) + 1
    most_frequent = max(causes, key=lambda cause: causes[cause])
    counts = ", ".join(f"{count} by {cause}" for cause, count in sorted(causes.items(), key=lambda item: -item[1]))
    last = next(each for each in reversed(recent) if each.cause == most_frequent)
    message = (
        f"{len(recent)} engines died in the last seven days ({counts}); the last by {most_frequent} "
        f"in stage {last.stage}: {last.detail}."
    )
    return [advice("engine-history", message, _COMMAND_BY_CAUSE.get(most_frequent) or _log_command(state))]


def stepped_down(state: Path, boot_id: str) -> list[Finding]:
    """Models that run with a smaller plan until the next boot, because memory ran out."""
    found = []
    known = oom_history.read(state, boot_id)
    for label, need in sorted(known.died.items()):
        message = (
            f"{label} ran out of memory; until the next reboot it uses plans that need less than {megabytes(need)}."
        )
        found.append(advice("stepped-down", message, "edgechat models plan"))
    if known.hidden_limit is not None:
        message = (
            f"An engine ran out of memory at {megabytes(known.hidden_limit)}, although more seemed to be free: a limit "
            "that edgechat cannot read applies. Until the next reboot, plans stay below that."
        )
        found.append(advice("hidden-limit", message, "edgechat board"))
    if (tight := pressure_history.read(state)) is not None:
        why = f" ({tight.reason})" if tight.reason else ""
        message = (
            f"Memory was short in the last hour{why}, so models load with a context of at most {tight.n_ctx} tokens "
            "unless a request sets its size."
        )
        found.append(
            advice("short-memory", message, f"rm {shlex.quote(str(state / pressure_history.FILE))} && edgechat stop")
        )
    return found or [ok("stepped-down", "Every model runs with its full plan.")]
