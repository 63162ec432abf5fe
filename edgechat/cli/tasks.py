"""``edgechat tasks``: list the installed tasks, and show the input and output of each."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

import click

from edgechat.cli.output.terminal import text_width
from edgechat.plaintext import clean_line
from edgechat.tasks.registry import installed_tasks, load

if TYPE_CHECKING:
    from edgechat.tasks.contract import Side


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def tasks(ctx: click.Context, *, as_json: bool) -> None:
    """List the tasks of `edgechat run`. Plugins add tasks by the entry point `edgechat.tasks`."""
    if ctx.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError("--json is for the list only: `edgechat tasks show` always prints JSON.")
        return
    found = installed_tasks()
    if as_json:
        click.echo(json.dumps([asdict(task) for task in found], ensure_ascii=False))
        return
    if not found:
        click.echo("No task is installed, not even the built-in ones: reinstall edgechat.", err=True)
        return
    width = text_width()
    indent = max(len(task.name) for task in found) + 2
    for task in found:
        source = "" if task.package == "edgechat" else f" ({task.package} {task.package_version})"
        lines = textwrap.wrap(clean_line(task.help + source), width - indent) or [""]
        click.echo(f"\n{' ' * indent}".join([clean_line(task.name).ljust(indent) + lines[0], *lines[1:]]))


@tasks.command()
@click.argument("task")
@click.option("--schema", type=click.Choice(["input", "output"]), help="Print only this JSON Schema.")
@click.option("--json", "_as_json", is_flag=True, help="Print JSON, as this command always does.")
def show(task: str, *, schema: str | None, _as_json: bool) -> None:
    """Print the example, formats and schemas of TASK, as JSON."""
    # pydantic takes 0.3 s to import (0.9 s on a Pi), and the list does not need it.
    from edgechat.tasks.contract import published_schema  # noqa: PLC0415

    loaded = load(task)
    if schema is not None:
        shown: Any = published_schema(loaded, cast("Side", schema))
    else:
        shown = {
            "name": loaded.name,
            "version": loaded.version,
            "formats": list(loaded.formats),
            "example": dict(loaded.example),
            "input": published_schema(loaded, "input"),
            "output": published_schema(loaded, "output"),
        }
    click.echo(json.dumps(shown, ensure_ascii=False, indent=2))
