"""``scripts/test --unit`` fails a test that starts a process, and leaves the marked ones out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import os, subprocess, pytest

def test_caught():
    try:
        subprocess.run(["true"])
    except Exception:
        pass

def test_forks():
    os.waitpid(os.fork() or os._exit(0), 0)

def test_pure():
    pass

@pytest.mark.process
def test_marked():
    subprocess.run(["true"], check=True)
"""


@pytest.mark.process
def test_a_unit_test_that_starts_a_process_fails_and_a_marked_one_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", "--unit"]
    done = subprocess.run(
        [*command, "-c", "pyproject.toml", file], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "2 failed, 1 passed, 1 deselected" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("a unit test starts a process; mark it `process`") >= 2
