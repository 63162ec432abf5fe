"""No child of edgechat imports what lies in the current directory, in the state directory or on a stick."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import edgechat
from edgechat.engine.child.interpreter import WORKING_DIRECTORY, python_command, python_environment
from edgechat.paths import Paths
from edgechat.service.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.process

PACKAGE = Path(edgechat.__file__).parent
MARKER = (
    'import os\nos.write(2, b"MARKER {name} was imported\\n")\n'
    'open({log!r}, "a").write("{name}\\n")\nraise ImportError("planted")\n'
)
UNSHADOWABLE = {"__main__"}


def plant(directory: Path, log: Path) -> None:
    """Put a marker module for every module of the standard library, and a package ``edgechat``, into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in sorted(sys.stdlib_module_names - UNSHADOWABLE):
        (directory / f"{name}.py").write_text(MARKER.format(name=name, log=str(log)))
    for package in ("edgechat", "jinja2", "llama_cpp", "numpy", "click", "llguidance"):
        (directory / package).mkdir(exist_ok=True)
        (directory / package / "__init__.py").write_text(MARKER.format(name=package, log=str(log)))


def run(command: list[str], cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=100,
        check=False,
    )


@pytest.fixture
def planted(tmp_path: Path, home: Path) -> tuple[Path, Path]:
    """The current directory (a stick) and the log of markers; the state directory has them too."""
    log = tmp_path / "markers.log"
    stick = tmp_path / "stick"
    plant(stick, log)
    home.mkdir(mode=0o700)
    (home / "state").mkdir(mode=0o700)
    plant(home / "state", log)
    return stick, log


COMMANDS = {
    "ask": ["ask", "-m", "absent.gguf", "hi"],
    "bench": ["bench", "absent.gguf"],
    "board": ["board", "--json"],
    "completion": ["completion", "bash"],
    "docs add": ["docs", "add", "absent.md"],
    "docs list": ["docs", "list"],
    "docs prepare": ["docs", "prepare"],
    "docs rm": ["docs", "rm", "absent.md"],
    "docs search": ["docs", "search", "word"],
    "docs show": ["docs", "show", "absent.md"],
    "doctor": ["doctor"],
    "eval": ["eval", "driving", "absent.jsonl"],
    "history export": ["history", "export"],
    "history import": ["history", "import", "absent.json"],
    "history list": ["history", "list"],
    "history rm": ["history", "rm", "1"],
    "history search": ["history", "search", "word"],
    "history show": ["history", "show", "last"],
    "logs": ["logs"],
    "models add": ["models", "add", "absent.gguf"],
    "models export": ["models", "export", "absent", "."],
    "models import": ["models", "import", "."],
    "models keys backup": ["models", "keys", "backup", "backup"],
    "models keys list": ["models", "keys", "list"],
    "models keys rotate": ["models", "keys", "rotate"],
    "models keys trust": ["models", "keys", "trust", "absent.json"],
    "models list": ["models", "list"],
    "models plan": ["models", "plan", "--board", "pi4-4gb"],
    "models pull": ["models", "pull", "absent"],
    "models rm": ["models", "rm", "absent"],
    "models rollback": ["models", "rollback", "absent"],
    "models update": ["models", "update", "."],
    "models use": ["models", "use", "absent"],
    "models verify": ["models", "verify"],
    "ps": ["ps", "--json"],
    "run": ["run", "driving", "absent.json"],
    "serve": ["serve", "--host", "192.0.2.1", "--port", "0"],
    "service install": ["service", "install", "--dry-run"],
    "service remove": ["service", "remove"],
    "service status": ["service", "status"],
    "stop": ["stop"],
    "tasks list": ["tasks", "--json"],
    "tasks show": ["tasks", "show", "driving", "--schema", "input"],
    "tui": ["tui"],
    "uninstall": ["uninstall"],
    "--version": ["--version"],
    "--help": ["--help"],
}
"""Every command, with arguments that lead it past its own checks and to its end without a model or a terminal."""


def commands() -> set[str]:
    """The names of all commands that exist now."""
    from edgechat.cli.main import root

    def walk(command: click.Command, names: list[str]) -> Iterator[str]:
        context = click.Context(command)
        if not isinstance(command, click.Group):
            yield " ".join(names)
            return
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from walk(found, [*names, name])

    return set(walk(root, []))


def test_every_command_is_run_among_markers() -> None:
    assert commands() - set(COMMANDS) == set(), "a new command: add a harmless call of it to COMMANDS"
    assert set(COMMANDS) - commands() == {"--version", "--help", "tasks list"}


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A stick, a home whose state directory has the markers too, and the log of markers; for all commands."""
    folder = tmp_path_factory.mktemp("marked")
    stick, home, log = folder / "stick", folder / "home", folder / "markers.log"
    plant(stick, log)
    home.mkdir(mode=0o700)
    (home / "state").mkdir(mode=0o700)
    plant(home / "state", log)
    return stick, home, log


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_imports_from_the_current_or_state_directory(marked, name: str) -> None:
    stick, home, log = marked

    done = run([str(Path(sys.executable).with_name("edgechat")), *COMMANDS[name]], stick, EDGECHAT_HOME=str(home))

    assert not log.exists(), log.read_text()
    assert "Traceback" not in done.stderr


@pytest.mark.engine
def test_no_engine_and_no_child_of_it_imports_from_the_current_or_state_directory(planted, paths) -> None:
    """``ask`` with an engine, then ``serve`` and ``tui --web`` until they listen."""
    from edgechat.engine.client import client

    stick, log = planted
    command = str(Path(sys.executable).with_name("edgechat"))
    banners = []
    try:
        done = run([command, "ask", "-n", "4", "Say hello."], stick)
        for arguments in (["serve", "--port", "0"], ["tui", "--web", "--port", "0"]):
            server = subprocess.Popen([command, *arguments], cwd=stick, stderr=subprocess.PIPE, text=True)
            assert server.stderr is not None
            banners.append(server.stderr.readline())
            server.terminate()
            server.communicate(timeout=60)
    finally:
        client.stop(paths)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert [each for each in banners if "http://127.0.0.1" not in each] == []
    assert not log.exists(), log.read_text()


@pytest.mark.parametrize("version", [(3, 10), sys.version_info[:2]], ids=["3.10", "this"])
def test_a_child_of_any_python_ignores_the_current_directory(planted, version) -> None:
    """Python 3.10 has no ``-P``; its command line is tried on the Python at hand."""
    stick, log = planted

    done = run(python_command("edgechat", "--version", version=version), stick)

    assert done.stdout.startswith("edgechat, version")
    assert not log.exists(), log.read_text()


def test_python_m_is_not_broken_by_a_file_named_like_a_module(tmp_path) -> None:
    """``token.py`` in the current directory ended ``python -m edgechat serve`` in an ImportError."""
    for name in ("token", "queue", "secrets", "socket", "asyncio", "tokenize", "json"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('planted')")

    done = run([sys.executable, "-m", "edgechat", "serve", "--help"], tmp_path)

    assert done.returncode == 0, done.stderr


def test_the_environment_of_a_child_names_no_relative_directory(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = python_environment({"PYTHONPATH": f":.:lib:{tmp_path}/own", "EDGECHAT_HOME": "here", "EDGECHAT_MODELS": ""})

    assert [each for each in made["PYTHONPATH"].split(":") if not each.startswith("/")] == []
    assert f"{tmp_path}/own" in made["PYTHONPATH"].split(":")
    assert made["EDGECHAT_HOME"] == str(tmp_path / "here")


def test_no_other_module_starts_python() -> None:
    """``sys.executable`` with ``-m``, ``-c`` or a script is spelled in one place."""
    allowed = {
        "engine/child/interpreter.py",
        "doctor/installation.py",  # shown, not started
        "cli/uninstall.py",  # a hint to type
        "extras.py",  # the same
        "models/bundle/installer.py",  # on the stick, without edgechat: `python -I -m venv`
        "engine/child/sandbox.py",  # which files the engine must be able to read
        "service/install.py",  # which files the service must be able to read
        "doctor/offline_proof.py",  # `python -I`: reads JSON, in a command that is printed for the user to repeat
    }
    found = {
        str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py") if "sys.executable" in file.read_text("utf-8")
    }
    assert found - allowed == set()
    installer = (PACKAGE / "models/bundle/installer.py").read_text()
    assert re.findall(r"\[sys\.executable, ([^,]*),", installer) == ['"-I"']
    proof = (PACKAGE / "doctor/offline_proof.py").read_text()
    assert re.findall(r"sys\.executable\)}? ([^\"]*)", proof) == ["-I"]
    install = (PACKAGE / "service/install.py").read_text()
    assert not re.search(r"sys\.executable, \"", install)


def test_every_python_child_starts_in_the_fixed_directory() -> None:
    """All but the terminal UI in a browser, whose user names files relative to the directory of the server."""
    for file in PACKAGE.rglob("*.py"):
        text = file.read_text("utf-8")
        if "python_command(" in text and "subprocess.run(" in text + text.replace("Popen(", "run("):
            if file.name in {"interpreter.py", "offline_proof.py"}:
                continue
            assert "cwd=WORKING_DIRECTORY" in text, file
    assert WORKING_DIRECTORY == "/"


def test_the_unit_starts_in_a_fixed_directory_with_a_safe_path(planted) -> None:
    """The unit's own ExecStart is run, in a directory of markers, as a user unit without WorkingDirectory would be."""
    stick, log = planted
    unit = Unit(
        command=tuple(python_command("edgechat", "serve", "--help")),
        is_system=False,
        environment=(),
        writable=(),
        mounts=(),
        needs_home=True,
        plan_bytes=1,
        has_memory_cgroup=True,
        loopback_only=True,
    ).text()
    started = next(line.partition("=")[2] for line in unit.splitlines() if line.startswith("ExecStart="))

    done = run(shlex.split(started), stick)

    assert "WorkingDirectory=/" in unit.splitlines()
    assert done.returncode == 0, done.stderr
    assert not log.exists(), log.read_text()


def test_paths_of_a_child_are_those_of_its_parent(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGECHAT_HOME", "relative/home")

    assert Paths.from_env(python_environment()) == Paths.from_env()
