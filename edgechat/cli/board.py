"""``edgechat board``: what this machine is, for people or as the JSON that ``--board FILE`` accepts."""

from __future__ import annotations

import json
import shutil
import textwrap

import click

from edgechat.board import summary
from edgechat.board.board_file import to_json
from edgechat.board.probe import probe

_LABEL_WIDTH = 13


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as `models plan --board FILE` reads it.")
def board(*, as_json: bool) -> None:
    """Show what this machine is: memory, cores, features, accelerators."""
    found = probe()
    if as_json:
        click.echo(json.dumps(to_json(found), ensure_ascii=False, indent=2))
        return
    # Wider lines than this are hard to read, and a pipe has no width at all.
    width = max(40, min(shutil.get_terminal_size((80, 24)).columns, 100))
    click.secho(summary.title(found), bold=True)
    for line in summary.lines(found):
        _row(line.label, line.text, width, "cyan")
    for number, note in enumerate(found.notes):
        _row("" if number else "notes", note, width, "yellow")


def _row(label: str, text: str, width: int, colour: str) -> None:
    indent = " " * _LABEL_WIDTH
    wrapped = textwrap.wrap(text, width - _LABEL_WIDTH, break_on_hyphens=False) or [""]
    click.echo(click.style(label.ljust(_LABEL_WIDTH), fg=colour) + f"\n{indent}".join(wrapped))
