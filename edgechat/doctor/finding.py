"""A finding: what was checked, how serious the result is, and the command that fixes it. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from edgechat.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable


class Level(str, Enum):
    """How serious a finding is."""

    OK = "ok"
    ADVICE = "advice"
    """It works, but could be faster or safer."""
    PROBLEM = "problem"
    """A function of edgechat does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of the examination."""

    id: str
    """Stable, for scripts: ``cpu-kernels``. Several findings may have the same id."""
    level: Level
    message: str
    """Sentences for the user, with the name of the file, model or setting."""
    command: str | None = None
    """The shell command that fixes it; None when nothing is wrong, or no command can."""
    exit_code: ExitCode = ExitCode.OK
    """For a problem: the code that other commands exit with because of it."""


def ok(id_: str, message: str) -> Finding:
    """Make a finding that nothing is wrong."""
    return Finding(id_, Level.OK, message)


def advice(id_: str, message: str, command: str | None = None) -> Finding:
    """Make a finding that something could be better."""
    return Finding(id_, Level.ADVICE, message, command)


def problem(id_: str, message: str, command: str | None, exit_code: ExitCode) -> Finding:
    """Make a finding that something does not work."""
    return Finding(id_, Level.PROBLEM, message, command, exit_code)


_MOST_SERIOUS_FIRST = (ExitCode.STATE, ExitCode.USAGE, ExitCode.ENGINE, ExitCode.NO_MODEL)
"""A problem with an earlier code makes more commands fail."""


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """0, or the code of the most serious problem: state, configuration, engine, model, then others."""
    codes = {finding.exit_code for finding in findings if finding.level is Level.PROBLEM}
    for code in (*_MOST_SERIOUS_FIRST, *sorted(codes)):
        if code in codes:
            return code
    return ExitCode.OK
