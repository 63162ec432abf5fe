#!/usr/bin/env python3
"""Write ``docs/edgechat.1``, the manual page, from the commands' own help texts.

    .venv/bin/python scripts/workshop/man_page.py

Format: man(7). A test compares the file with what this module returns.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from edgechat.cli.main import root
from edgechat.errors import ExitCode
from edgechat.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).resolve().parents[2] / "docs" / "edgechat.1"
_MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.DEFECT: "a defect in edgechat",
    ExitCode.USAGE: "wrong usage",
    ExitCode.NO_MODEL: "no model, or none that fits",
    ExitCode.INVALID_INPUT: "invalid input",
    ExitCode.ANSWER: "no complete answer; for run, any record that is not ok",
    ExitCode.ENGINE: "the engine died and could not be brought back",
    ExitCode.TRANSFER: "download or verification failed",
    ExitCode.STATE: "state cannot be read or written",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.TERMINATED: "terminated",
}


def page() -> str:
    """The whole page."""
    lines = [
        f'.TH EDGECHAT 1 "" "edgechat {__version__}" "User Commands"',
        ".SH NAME",
        "edgechat \\- an offline LLM assistant for edge boards",
        ".SH SYNOPSIS",
        ".B edgechat",
        "[\\fICOMMAND\\fR] [\\fIARGUMENTS\\fR]",
        ".SH DESCRIPTION",
        _text(root.help or ""),
        ".SH COMMANDS",
    ]
    context = click.Context(root, info_name="edgechat", max_content_width=100)
    for command, ctx in _commands(root, context):
        lines += _command(command, ctx)
    lines.append(".SH EXIT STATUS")
    for code in ExitCode:
        lines += [".TP", f".B {int(code)}", _text(_MEANINGS[code])]
    lines += [
        ".SH FILES",
        "The directories and every setting with its origin are printed by",
        '.BR "edgechat doctor" .',
    ]
    return "\n".join(lines) + "\n"


def _commands(group: click.Group, ctx: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is None or command.hidden:
            continue
        own = click.Context(command, info_name=name, parent=ctx)
        yield command, own
        if isinstance(command, click.Group):
            yield from _commands(command, own)


def _command(command: click.Command, ctx: click.Context) -> list[str]:
    usage = " ".join(command.collect_usage_pieces(ctx))
    lines = [f'.SS "{ctx.command_path} {_escaped(usage)}"', _text(command.help or "")]
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None and record[1] and "--help" not in parameter.opts:
            lines += [".TP", f".B {_escaped(record[0])}", _text(record[1])]
    return lines


def _text(text: str) -> str:
    """A help text as man(7): paragraphs are separated; examples (behind a backspace) keep their lines."""
    blocks = []
    for block in text.strip().split("\n\n"):
        if block.lstrip().startswith("\b"):
            body = "\n".join(_escaped(line.strip()) for line in block.replace("\b", "").strip().splitlines())
            blocks.append(f".nf\n{body}\n.fi")
        else:
            blocks.append(_escaped(" ".join(block.split())))
    return "\n.PP\n".join(blocks)


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in text.split("\n"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
