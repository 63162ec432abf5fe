"""Runs the command line as people do: in a process of its own, with a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from edgechat.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path


class Command:
    """``edgechat models …`` below ``home``."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("HF_", "EDGECHAT_"))},
            "EDGECHAT_HOME": str(home),
            "HF_HOME": str(home / "hf"),
            "HOME": str(home / "user"),
        }

    def __call__(
        self, *arguments: str, code: int = ExitCode.OK, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "edgechat", "models", *arguments],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json").stdout)
