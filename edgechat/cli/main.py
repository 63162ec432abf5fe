"""The root command: finds subcommands without importing them, and turns every error into one line and one exit code."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import NoReturn

import click

from edgechat.cli.output.terminal import say
from edgechat.cli.process_exit import Terminated, leave, prepare
from edgechat.errors import EdgechatError, ExitCode, StateError
from edgechat.version import __version__

_COMMANDS = {
    "ask": ("edgechat.cli.ask:ask", "One answer to standard output."),
    "bench": ("edgechat.cli.bench:bench", "Speed and memory on this board; keeps the calibration."),
    "board": ("edgechat.cli.board:board", "What this machine is and how it feels; --watch, --report."),
    "doctor": ("edgechat.cli.doctor:doctor", "What is wrong or slow here, and what mends it."),
    "eval": ("edgechat.cli.eval:evaluate", "Score a reference file with the model of this board."),
    "history": ("edgechat.cli.history:history", "List, show, search, export, import and remove conversations."),
    "logs": ("edgechat.cli.logs:logs", "What engine and server have written; -f follows."),
    "models": ("edgechat.cli.models.models:models", "List, fetch, add, choose and remove models."),
    "ps": ("edgechat.cli.engines:ps", "The engine processes."),
    "run": ("edgechat.cli.run:run", "A task over one record, a file of records, a document or a live stream."),
    "serve": ("edgechat.cli.serve:serve", "OpenAI's API over HTTP: chat, completions, tasks, health, metrics."),
    "service": ("edgechat.cli.service:service", "The server as a systemd service: install, remove, status."),
    "stop": ("edgechat.cli.engines:stop", "Stop the engine."),
    "tasks": ("edgechat.cli.tasks:tasks", "Which tasks there are, and what each takes and gives."),
    "uninstall": ("edgechat.cli.uninstall:uninstall", "Take edgechat off this machine, saying what that frees."),
    "tui": ("edgechat.cli.tui:tui", "The terminal UI, also opened by `edgechat` alone."),
}
"""Name -> (where it lives, the line ``--help`` shows). Help text stands here so that listing imports nothing."""


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
"""What people type who know other tools."""

_UNWRITABLE = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO))
"""What a stream without a name says that cannot take more: files of ours are named by whoever writes them."""


_HANGING = " " * len("edgechat: ")


class LazyGroup(click.Group):
    """A group whose subcommands are imported when they are run."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Names, in alphabetical order."""
        return sorted(_COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Import one command."""
        if name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in sorted(_COMMANDS.items())])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one was probably meant."""
        if args and not args[0].startswith("-") and args[0] not in _COMMANDS:
            import difflib  # noqa: PLC0415 - only on the way to an error

            given = args[0].lower()
            near = [_SYNONYMS[given]] if given in _SYNONYMS else []
            near = near or [name for name in _COMMANDS if sorted(name) == sorted(given)]  # `aks`
            near = near or difflib.get_close_matches(given, _COMMANDS, n=1)
            hint = f" Did you mean `edgechat {near[0]}`?" if near else " See `edgechat --help`."
            ctx.fail(f"There is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


_EPILOG = (
    "Exit codes: 0 done, 1 a defect in edgechat, 2 wrong usage, 3 no model or none that fits, 4 invalid input, "
    "5 no complete answer (for run: any record that is not ok, an invalid one too), "
    "6 the engine died, 7 download or verification failed, 8 state cannot be read or written, "
    "130 interrupted, 143 terminated."
)


@click.group(
    cls=LazyGroup,
    epilog=_EPILOG,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="edgechat")
@click.pass_context
def root(ctx: click.Context) -> None:
    """An offline LLM assistant for edge boards. Alone, on a terminal: the terminal UI."""
    if ctx.invoked_subcommand is not None:
        return
    if sys.stdin.isatty() and sys.stdout.isatty():
        ctx.invoke(importlib.import_module("edgechat.cli.tui").tui)
    else:
        click.echo(ctx.get_help())


def run(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and leave with one of the documented exit codes; no traceback for what was foreseen."""
    prepare()
    code: int = ExitCode.OK
    try:
        # click's own main() turns a closed pipe and ctx.exit(8) into other codes than the documented ones.
        with root.make_context("edgechat", sys.argv[1:] if arguments is None else arguments, color=_color()) as context:
            root.invoke(context)
        sys.stdout.flush()  # what cannot be written must not end as if it were
    except BaseException as error:  # noqa: BLE001 - the last line of defence: a defect must not look like a crash
        code = _explained(error)
    leave(code)


def _explained(error: BaseException) -> int:
    """The exit code, said where somebody hears it: standard error may be as full as standard output."""
    try:
        return explain(error)
    except OSError:
        return ExitCode.STATE


def explain(error: BaseException) -> int:
    """Say what ended a command, where there is something to say; its exit code."""
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
        return ExitCode.OK  # whoever read us has seen enough
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
    """What click says of wrong arguments, its long lines wrapped as ours are."""
    from io import StringIO  # noqa: PLC0415

    shown = StringIO()
    error.show(shown)
    for line in shown.getvalue().splitlines():
        say(line)


def report(error: EdgechatError) -> None:
    """One error on standard error: what happened, then what to do."""
    from edgechat.plaintext import clean_line  # noqa: PLC0415

    say(f"edgechat: {clean_line(error.message)}", hanging=_HANGING, fg="red", color=_color())
    if error.hint:
        say(clean_line(error.hint), indent="  ")


def _report_defect(error: Exception) -> None:
    import traceback  # noqa: PLC0415

    from edgechat.paths import Paths, private_directory  # noqa: PLC0415

    try:
        file = private_directory(Paths.from_env().state / "logs") / "defect.log"
        file.write_text("".join(traceback.format_exception(error)))
        where = f"Details are in {file}."
    except (EdgechatError, OSError):
        where = "".join(traceback.format_exception_only(error)).strip()
    what = f"edgechat: this is a defect in edgechat ({type(error).__name__}: {error})."
    say(what, hanging=_HANGING, fg="red", color=_color())
    say(where, indent="  ")


def _color() -> bool | None:
    """False where NO_COLOR (no-color.org) is set; None lets click look whether the stream is a terminal."""
    return False if os.environ.get("NO_COLOR") else None
