"""What went wrong ends with the documented exit code and, below it, with what to do."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.process


def edgechat(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgechat", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("ask -f nofile q", 4, "Name a text file"),
        ("ask --schema nofile q", 4, "--schema any"),
        ("ask --image x.png q", 4, "x.png cannot be read: No such file or directory."),
        ("run driving bad.json", 4, "--from"),
        ("run driving", 4, "Standard input holds no record."),
        ("eval driving nofile", 4, "docs/eval.md"),
        ("history import nofile", 4, "standard input"),
        ("history show last", 4, "edgechat ask -c"),
        ("history show 99", 2, "edgechat history list"),
        ("models keys trust nofile", 4, "metadata/1.root.json"),
        ("models import nodir", 4, "There is no directory nodir."),
        ("models add nofile.gguf", 4, "There is no file nofile.gguf."),
        ("models update", 3, "Only the starter is installed"),
        ("uninstall", 2, "add --yes"),
        ("service status", 8, "edgechat service install"),
    ],
)
def test_an_error_says_what_to_do(tmp_path, monkeypatch, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("no json")
    if arguments == "uninstall":
        cache = tmp_path / "home" / "cache"
        cache.mkdir(parents=True)
        (cache / "spent").write_text("x")
        monkeypatch.setenv("EDGECHAT_HOME", str(tmp_path / "home"))
    if arguments == "service status":
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    done = edgechat(*arguments.split())
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Errno" not in done.stderr
    assert "starter model" not in done.stderr


@pytest.mark.process
def test_what_is_not_ok_is_said_where_the_output_has_no_place_for_it(tmp_path):
    done = edgechat("run", "driving", '{"id": "a", "speed_kmh": -5}', "--format", "text")
    assert done.returncode == 5
    assert "Record a: /speed_kmh:" in done.stderr
    assert "Each says why" not in done.stderr
    # No model has said a word of this.
    assert "starter model" not in done.stderr
