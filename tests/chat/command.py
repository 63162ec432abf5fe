"""Runs ``edgechat`` as people do, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def run(*arguments: str, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The finished command; it must leave with ``code`` and without a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "edgechat", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def run_json(*arguments: str) -> Any:
    """What a command with ``--json`` prints."""
    return json.loads(run(*arguments, "--json").stdout)
