"""The command ``edgechat``: the table of its commands, and errors turned into a message and an exit code."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import NoReturn

import click

from edgechat.cli.lazy_group import COMPLETION_VARIABLE, LazyGroup
from edgechat.cli.output.terminal import say
from edgechat.cli.process_exit import Terminated, leave, prepare
from edgechat.errors import EdgechatError, ExitCode, StateError
from edgechat.version import __version__

_COMMANDS = {
    "ask": ("edgechat.cli.ask:ask", "Print one answer to standard output."),
    "bench": ("edgechat.cli.bench:bench", "Measure speed and memory on this board, for later plans."),
    "board": ("edgechat.cli.board:board", "Show this machine's hardware and its sensors; --watch, --report."),
    "completion": ("edgechat.cli.completion:completion", "Print the script that completes commands in your shell."),
    "docs": ("edgechat.cli.docs.group:docs", "Add, list, show and search manuals that `ask --docs` answers from."),
    "doctor": ("edgechat.cli.doctor:doctor", "Find what is wrong or slow here, and the command that fixes it."),
    "eval": ("edgechat.cli.eval:evaluate", "Score a model on a file of reference answers."),
    "history": ("edgechat.cli.history:history", "List, show, search, export, import and remove conversations."),
    "logs": ("edgechat.cli.logs:logs", "Print the logs of engine and server; -f follows them."),
    "models": ("edgechat.cli.models.group:models", "List, download, add, choose and remove models."),
    "ps": ("edgechat.cli.ps:ps", "Show the engine process: model, memory, clients, idle time."),
    "run": ("edgechat.cli.run:run", "Run a task over one record, a file, a document or a live stream."),
    "serve": ("edgechat.cli.serve:serve", "Serve OpenAI's API over HTTP: chat, completions, tasks, health, metrics."),
    "service": ("edgechat.cli.service:service", "Install, remove or inspect the server as a systemd service."),
    "stop": ("edgechat.cli.stop:stop", "Stop the engine."),
    "tasks": ("edgechat.cli.tasks:tasks", "List the tasks, and show what each takes and returns."),
    "uninstall": ("edgechat.cli.uninstall:uninstall", "Remove edgechat's files from this machine, after listing them."),
    "tui": ("edgechat.cli.tui:tui", "Open the terminal UI, as `edgechat` alone does."),
}
"""Name -> (``module:attribute``, the line in ``--help``). The rest of a command's help is in its module."""


_SYNONYMS = {
    "add": "models add",
    "chat": "tui",
    "download": "models pull",
    "fetch": "models pull",
    "generate": "ask",
    "install": "models pull",
    "list": "models list",
    "ls": "models list",
    "pull": "models pull",
    "rm": "models rm",
    "server": "serve",
    "ui": "tui",
}
"""Command names of other tools -> the command to suggest."""

_UNWRITABLE = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO))
"""Errors of a full or broken output stream. Only errors without a file name count: other writers name their file."""


_HANGING = " " * len("edgechat: ")


_EPILOG = (
    "Exit codes: 0 done, 1 a defect in edgechat, 2 wrong usage, 3 no model or none that fits, 4 invalid input, "
    "5 no complete answer (for run: any record that is not ok, invalid ones too), "
    "6 the engine died, 7 download or verification failed, 8 state cannot be read or written, "
    "130 interrupted, 143 terminated."
)


@click.group(
    cls=LazyGroup,
    commands_by_name=_COMMANDS,
    synonyms=_SYNONYMS,
    epilog=_EPILOG,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="edgechat")
@click.pass_context
def root(ctx: click.Context) -> None:
    """An offline LLM assistant for edge boards. Without a command, on a terminal: the terminal UI."""
    if ctx.invoked_subcommand is not None:
        return
    if sys.stdin.isatty() and sys.stdout.isatty():
        ctx.invoke(importlib.import_module("edgechat.cli.tui").tui)
    else:
        click.echo(ctx.get_help())


def run(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with a documented code. Expected errors print a message, never a traceback."""
    prepare()
    if instruction := os.environ.get(COMPLETION_VARIABLE):
        leave(_complete(instruction))
    code: int = ExitCode.OK
    try:
        # click's own main() would map a closed pipe and ctx.exit(8) to undocumented exit codes.
        with root.make_context("edgechat", sys.argv[1:] if arguments is None else arguments, color=_color()) as context:
            root.invoke(context)
        sys.stdout.flush()  # so that a full disk is reported as an error
    except BaseException as error:  # noqa: BLE001 - a defect must end with exit code 1 and a message
        code = _explain_safely(error)
    leave(code)


def _complete(instruction: str) -> int:
    """Answer the shell's question for completions; returns the exit code."""
    from click.shell_completion import shell_complete  # noqa: PLC0415 - only for a shell that completes

    return shell_complete(root, {}, "edgechat", COMPLETION_VARIABLE, instruction)


def _explain_safely(error: BaseException) -> int:
    """As :func:`explain`; code 8 when standard error cannot be written either."""
    try:
        return explain(error)
    except OSError:
        return ExitCode.STATE


def explain(error: BaseException) -> int:
    """Print what ended a command, if the user needs to know, and return the exit code."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.ClickException):
        _show_usage(error)
        return ExitCode.USAGE
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return ExitCode.INTERRUPTED
    if isinstance(error, Terminated):
        return ExitCode.TERMINATED
    if isinstance(error, BrokenPipeError):
        return ExitCode.OK  # the reader closed the pipe, as `head` does
    if isinstance(error, OSError) and error.errno in _UNWRITABLE and error.filename is None:
        error = StateError(f"Cannot write the output: {error.strerror}.", hint="Make room there, or write elsewhere.")
    if isinstance(error, EdgechatError):
        report(error)
        return error.exit_code
    if not isinstance(error, Exception):
        raise error
    _report_defect(error)
    return ExitCode.DEFECT


def _show_usage(error: click.ClickException) -> None:
    """Print click's message about wrong arguments, wrapped to the terminal."""
    from io import StringIO  # noqa: PLC0415

    shown = StringIO()
    error.show(shown)
    for line in shown.getvalue().splitlines():
        say(line)
    if (
        isinstance(error, click.NoSuchOption)
        and " " in " ".join(sys.argv)
        and any(argument.startswith(error.option_name) and " " in argument for argument in sys.argv[1:])
    ):
        say('A text that begins with - goes behind --: edgechat ask -- "- list three"')


def report(error: EdgechatError) -> None:
    """Print an error and its hint to standard error."""
    from edgechat.plaintext import clean_line  # noqa: PLC0415

    say(f"edgechat: {clean_line(error.message)}", hanging=_HANGING, fg="red", color=_color())
    if error.hint:
        say(clean_line(error.hint), indent="  ")


def _report_defect(error: Exception) -> None:
    import traceback  # noqa: PLC0415

    from edgechat.files import write_atomically  # noqa: PLC0415
    from edgechat.paths import Paths, private_directory  # noqa: PLC0415

    try:
        file = private_directory(Paths.from_env().state / "logs") / "defect.log"
        write_atomically(file, "".join(traceback.format_exception(error)).encode("utf-8", "replace"), sync=False)
        where = f"Details are in {file}."
    except (EdgechatError, OSError):
        where = "".join(traceback.format_exception_only(error)).strip()
    what = f"edgechat: this is a defect in edgechat ({type(error).__name__}: {error})."
    say(what, hanging=_HANGING, fg="red", color=_color())
    say(where, indent="  ")


def _color() -> bool | None:
    """False when NO_COLOR (no-color.org) is set; None lets click decide by whether the stream is a terminal."""
    return False if os.environ.get("NO_COLOR") else None
