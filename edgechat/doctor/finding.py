"""One thing that was looked at, and how grave it is. Plain data: no looking, no printing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from edgechat.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable


class Level(str, Enum):
    """How grave a finding is."""

    OK = "ok"
    ADVICE = "advice"
    """It works; it could be faster, safer or more."""
    PROBLEM = "problem"
    """Something that edgechat is for does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found at one place."""

    id: str
    """Stable, for scripts: ``cpu-kernels``. One id may be found several times."""
    level: Level
    message: str
    """Sentences for a person, naming the thing."""
    command: str | None = None
    """The shell command that mends it; None when all is well, or when no command can."""
    exit_code: ExitCode = ExitCode.OK
    """For a problem, the code that other commands end with because of it."""


def ok(id_: str, message: str) -> Finding:
    """All is well there."""
    return Finding(id_, Level.OK, message)


def advice(id_: str, message: str, command: str | None = None) -> Finding:
    """It works and could be better."""
    return Finding(id_, Level.ADVICE, message, command)


def problem(id_: str, message: str, command: str | None, exit_code: ExitCode) -> Finding:
    """It does not work."""
    return Finding(id_, Level.PROBLEM, message, command, exit_code)


_GRAVEST_FIRST = (ExitCode.STATE, ExitCode.USAGE, ExitCode.ENGINE, ExitCode.NO_MODEL)
"""In the order in which they stand in the way of every other command."""


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """0, or the code of the gravest problem: state, configuration, engine, model, then any other."""
    codes = {finding.exit_code for finding in findings if finding.level is Level.PROBLEM}
    for code in (*_GRAVEST_FIRST, *sorted(codes)):
        if code in codes:
            return code
    return ExitCode.OK
