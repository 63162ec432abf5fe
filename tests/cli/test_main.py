"""The command line's own promises: exit codes, no tracebacks, quiet pipes, colours on terminals only, signals."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from edgechat.cli.main import _COMMANDS, root
from edgechat.errors import ExitCode
from edgechat.version import __version__
from tests.command import on_terminal

pytestmark = pytest.mark.process

EDGECHAT = [sys.executable, "-m", "edgechat"]
ESCAPE = b"\x1b"


def run(*arguments: str, stdin: str | bytes = b"", **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a script runs it. Nothing it does may end in a traceback."""
    done = subprocess.run(
        [*EDGECHAT, *arguments],
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )
    result = subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in result.stderr
    return result


# -- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.process
def test_help_lists_every_command_and_the_exit_codes() -> None:
    shown = run("--help")
    assert shown.returncode == 0
    for name, (_, line) in _COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(line[:30])}", shown.stdout, re.MULTILINE), name
    listed = {int(number) for number in re.findall(r"\b(\d+)\s+[a-z]", shown.stdout.partition("Exit codes:")[2])}
    assert listed == {int(code) for code in ExitCode}
    assert run("-h").stdout == shown.stdout


@pytest.mark.process
@pytest.mark.parametrize("name", _COMMANDS)
def test_every_listed_command_imports_and_explains_itself(name: str) -> None:
    module, _, attribute = _COMMANDS[name][0].partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name
    shown = run(name, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith(f"Usage: edgechat {name}")
    unexplained = [
        parameter.name
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help and not parameter.hidden
    ]
    assert unexplained == []


@pytest.mark.process
def test_version() -> None:
    shown = run("--version")
    assert (shown.returncode, __version__ in shown.stdout) == (0, True)


@pytest.mark.process
@pytest.mark.parametrize(("typed", "meant"), [("boad", "board"), ("modles", "models"), ("docter", "doctor")])
def test_an_unknown_command_is_told_the_nearest(typed: str, meant: str) -> None:
    done = run(typed)
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert f"`edgechat {meant}`" in done.stderr


@pytest.mark.process
def test_a_command_like_none_of_ours_is_told_where_to_look() -> None:
    done = run("xyzzy")
    assert done.returncode == ExitCode.USAGE
    assert "edgechat --help" in done.stderr


# -- exit codes -------------------------------------------------------------------------------------------------------


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "environment", "code", "said"),
    [
        (["ask", "--no-such-flag", "Hi"], {}, ExitCode.USAGE, "--no-such-flag"),
        (["ask", "-n", "0", "Hi"], {}, ExitCode.USAGE, "-n"),
        (["ask"], {}, ExitCode.USAGE, "no question"),
        (["ask", " \n"], {}, ExitCode.USAGE, "no question"),
        (["ask", "-m", "", "Hi"], {}, ExitCode.USAGE, "name is empty"),
        (["run", "driving", "-m", " "], {}, ExitCode.USAGE, "name is empty"),
        (["serve", "-m", ""], {}, ExitCode.USAGE, "name is empty"),
        (["bench", ""], {}, ExitCode.USAGE, "name is empty"),
        (["models", "plan", ""], {}, ExitCode.USAGE, "name is empty"),
        (["ask", "--schema", "", "Hi"], {}, ExitCode.INVALID_INPUT, "schema is empty"),
        (["ask", "Hi"], {"EDGECHAT_TEMPERATURE": "hot"}, ExitCode.USAGE, "EDGECHAT_TEMPERATURE"),
        (["ask", "Hi"], {"EDGECHAT_TEMPRATURE": "1"}, ExitCode.USAGE, "Did you mean temperature"),
        (["models", "use", "no-such-model"], {}, ExitCode.NO_MODEL, "no-such-model"),
        (["ask", "-f", "/no/such/file", "Hi"], {}, ExitCode.INVALID_INPUT, "/no/such/file"),
        (["models", "list"], {"EDGECHAT_MODELS": "/no/such/disk"}, ExitCode.STATE, "/no/such/disk"),
        (["ask", "Hi"], {"EDGECHAT_HOME": "/dev/null"}, ExitCode.STATE, "/dev/null"),
    ],
)
def test_what_was_foreseen_is_one_message_and_its_code(
    arguments: list[str], environment: dict[str, str], code: ExitCode, said: str
) -> None:
    done = run(*arguments, **environment)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert said in done.stderr


@pytest.mark.process
def test_input_that_is_not_text_is_named_by_its_place() -> None:
    done = run("ask", stdin=b"fine\nnot \xff fine\n")
    assert done.returncode == ExitCode.INVALID_INPUT
    assert "0xff at offset 9 (line 2)" in done.stderr


BROKEN_COMMAND = """
from edgechat.cli import main
main._COMMANDS["ps"] = ("json:no_such_command", "Broken.")
main.run(["ps"])
"""


@pytest.mark.process
def test_a_defect_is_one_message_with_a_log_that_tells_where(home: Path) -> None:
    done = subprocess.run([sys.executable, "-c", BROKEN_COMMAND], capture_output=True, text=True, check=False)
    log = home / "state/logs/defect.log"
    assert done.returncode == ExitCode.DEFECT
    assert "Traceback" not in done.stderr
    assert "defect in edgechat (AttributeError" in done.stderr
    assert str(log) in done.stderr
    assert "no_such_command" in log.read_text()
    assert "Traceback" in log.read_text()


@pytest.mark.process
def test_a_defect_where_no_log_can_be_written_is_still_one_message() -> None:
    env = {**os.environ, "EDGECHAT_HOME": "/dev/null"}
    done = subprocess.run([sys.executable, "-c", BROKEN_COMMAND], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == ExitCode.DEFECT
    assert "Traceback" not in done.stderr
    assert done.stderr.count("no_such_command") == 2  # the message, and what would have been in the log


# -- pipes and colours ------------------------------------------------------------------------------------------------


@pytest.mark.process
@pytest.mark.parametrize("arguments", [["--help"], ["board"], ["board", "--json"]], ids=" ".join)
def test_a_pipe_that_was_closed_ends_quietly(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*EDGECHAT, *arguments], stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


FULL = Path("/dev/full")


@pytest.mark.process
@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", [["--version"], ["tasks", "--json"], ["models", "list", "--json"], ["board"]])
def test_output_that_nothing_has_room_for_is_no_defect(arguments: list[str]) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [*EDGECHAT, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
        assert done.returncode == ExitCode.STATE
        assert "Cannot write the output: No space left on device." in done.stderr
        deaf = subprocess.run([*EDGECHAT, *arguments], stdout=full, stderr=full, timeout=60, check=False)
        assert deaf.returncode == ExitCode.STATE


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "closed", "code"),
    [
        (["tasks"], ">&-", ExitCode.OK),
        (["tasks"], ">&- 2>&-", ExitCode.OK),
        (["ask"], "<&-", ExitCode.USAGE),
        (["ask"], "<&- 2>&-", ExitCode.USAGE),
        (["run", "driving", "-"], "<&-", ExitCode.INVALID_INPUT),
        ([], "<&-", ExitCode.OK),
    ],
)
def test_a_stream_that_the_caller_closed_is_one_that_ends(arguments: list[str], closed: str, code: int) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *EDGECHAT, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "defect" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.process
def test_pipes_get_no_escape_codes() -> None:
    for arguments in (["board"], ["--help"], ["doctor"], ["xyzzy"], ["models", "use", "no-such-model"]):
        done = run(*arguments)
        assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.process
def test_terminals_get_colours_unless_they_ask_for_none() -> None:
    assert ESCAPE in on_terminal("board", env=os.environ)[0]
    assert ESCAPE not in on_terminal("board", env={**os.environ, "NO_COLOR": "1"})[0]
    written, code = on_terminal("models", "use", "no-such-model", env=os.environ)
    assert (code, ESCAPE in written) == (ExitCode.NO_MODEL, True)
    assert ESCAPE not in on_terminal("models", "use", "no-such-model", env={**os.environ, "NO_COLOR": "1"})[0]


@pytest.mark.process
def test_an_error_message_cannot_steer_the_terminal() -> None:
    done = run("models", "use", "a\x1b[2Jb")
    assert done.returncode != 0
    assert "\x1b" not in done.stderr


# -- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.process
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, ExitCode.TERMINATED), (signal.SIGINT, ExitCode.INTERRUPTED)]
)
def test_signals_end_it_with_their_code_and_no_traceback(number: signal.Signals, code: ExitCode) -> None:
    # It waits for the rest of the question, which never comes.
    child = subprocess.Popen(
        [*EDGECHAT, "ask", "Hi"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for_handler(child.pid)
    child.send_signal(number)
    # communicate() would close standard input first, and the question would be complete.
    assert child.wait(timeout=60) == code
    out, err = child.communicate()
    assert (out, err.strip()) == ("", "")


def wait_for_handler(pid: int) -> None:
    """Until the process catches SIGTERM, which is the first thing that the command line sees to."""
    bit = 1 << (signal.SIGTERM - 1)
    for _ in range(6000):
        caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        if caught and int(caught[1], 16) & bit:
            return
        time.sleep(0.01)
    pytest.fail("the command never installed its handler")


def every_command(command: click.Command, name: str) -> list[tuple[str, click.Command]]:
    """A command and all below it, with the words that call them."""
    found = [(name, command)]
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            assert below is not None
            found += every_command(below, f"{name} {each}")
    return found


@pytest.mark.parametrize(("name", "command"), every_command(root, "edgechat"), ids=lambda each: str(each)[:40])
def test_help_is_for_people(name, command):
    text = command.get_help(click.Context(command, info_name=name))
    assert "\\" not in text
    assert "\b" not in text


@pytest.mark.process
@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("aks", "ask"),
        ("sak", "ask"),
        ("ps1", "ps"),
        ("download", "models pull"),
        ("install", "models pull"),
        ("chat", "tui"),
    ],
)
def test_a_slip_or_another_tools_word_leads_to_the_command(typed, meant):
    done = run(typed)
    assert done.returncode == ExitCode.USAGE
    assert f"Did you mean `edgechat {meant}`?" in done.stderr


def test_an_option_is_spelled_alike_in_every_command():
    spelled: dict[str, set[tuple[object, ...]]] = {}
    for _, command in every_command(root, "edgechat"):
        for each in command.params:
            if isinstance(each, click.Option) and {"--ctx", "--out", "--yes", "--model"} & set(each.opts):
                spelled.setdefault(each.opts[-1], set()).add((*each.opts, each.metavar))
    assert spelled == {
        "--ctx": {("--ctx", "N")},
        "--out": {("--out", "FILE")},
        "--yes": {("-y", "--yes", None)},
        "--model": {("-m", "--model", "MODEL")},
    }


def test_the_version_has_a_short_option(cli) -> None:
    assert cli("-V").stdout == cli("--version").stdout


def test_history_alone_lists(cli) -> None:
    done = cli("history")
    assert done.returncode == 0
    assert done.stdout == cli("history", "list").stdout
