"""``edgechat completion``: the shells' scripts, and what a shell is answered."""

from __future__ import annotations

import os

import pytest
from click.testing import CliRunner

from edgechat.cli.completion import SHELLS
from edgechat.cli.lazy_group import COMPLETION_VARIABLE
from edgechat.cli.main import root

pytestmark = pytest.mark.process


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_its_script(shell: str) -> None:
    done = CliRunner().invoke(root, ["completion", shell])
    assert done.exit_code == 0
    assert f"{COMPLETION_VARIABLE}={shell}_complete" in done.output


def test_a_shell_that_is_not_known_is_refused_by_name() -> None:
    done = CliRunner(env={"SHELL": "/bin/tcsh"}).invoke(root, ["completion"])
    assert "'tcsh'" in str(done.exception)


@pytest.mark.parametrize(
    ("words", "at", "expected"),
    [("edgechat mod", 1, "models"), ("edgechat models ro", 2, "rollback"), ("edgechat run tra", 2, "translate")],
)
def test_commands_and_tasks_are_completed(cli, words: str, at: int, expected: str) -> None:
    environment = {COMPLETION_VARIABLE: "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
    assert f"plain,{expected}" in cli(env={**os.environ, **environment}).stdout.split()
