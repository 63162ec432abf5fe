"""Known vulnerabilities of the pinned packages, where the public list of them can be reached; else it says so."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

REPLY_S = 10
"""Time for one answer of the list."""
LIMIT_S = 30
"""Time for all."""


@dataclass(frozen=True)
class Report:
    """What is known."""

    vulnerabilities: tuple[str, ...]
    """``NAME VERSION: ID``, each."""
    n_looked_up: int
    unknown: tuple[str, ...]
    """Packages about which the list said nothing."""
    obstacle: str = ""
    """Why nothing was looked up."""


def known_vulnerabilities(constraints: Path) -> Report:
    """Look up every package of a constraints file.

    ``pip-audit`` ends with "no known vulnerabilities" also where it has found none of the packages; those are counted.
    """
    command = [
        sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--no-deps", "--disable-pip",
        "--timeout", str(REPLY_S), "--format", "json", "--requirement", str(constraints),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return Report((), 0, (), f"the list did not answer within {LIMIT_S} s")
    return read_report(done.stdout, done.stderr)


def read_report(out: str, errors: str = "") -> Report:
    """What pip-audit's JSON says; ``errors`` is what it wrote beside it."""
    try:
        rows: list[dict[str, Any]] = json.loads(out)["dependencies"]
    except (ValueError, KeyError, TypeError):
        lines = [each for each in errors.splitlines() if each.strip()]
        return Report((), 0, (), lines[-1] if lines else "pip-audit said nothing")
    found = [f"{row['name']} {row['version']}: {each['id']}" for row in rows for each in row.get("vulns", ())]
    unknown = tuple(row["name"] for row in rows if "skip_reason" in row)
    looked_up = len(rows) - len(unknown)
    return Report(tuple(found), looked_up, unknown, "" if looked_up else "the list knows none of the packages")
