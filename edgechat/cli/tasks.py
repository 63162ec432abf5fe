"""``edgechat tasks``: which tasks are installed, and what each takes and gives."""

from __future__ import annotations

import json
import shutil
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

import click

from edgechat.plaintext import clean_line
from edgechat.tasks.registry import installed_tasks, load

if TYPE_CHECKING:
    from edgechat.tasks.contract import Side


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def tasks(ctx: click.Context, *, as_json: bool) -> None:
    """List the tasks that `edgechat run` knows; plugins come through the entry points `edgechat.tasks`."""
    if ctx.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError("--json belongs to the list alone: `edgechat tasks show` prints JSON already.")
        return
    found = installed_tasks()
    if as_json:
        click.echo(json.dumps([asdict(task) for task in found], ensure_ascii=False))
        return
    if not found:
        click.echo("No task is installed, not even edgechat's own: reinstall edgechat.", err=True)
        return
    width = max(60, min(shutil.get_terminal_size((80, 24)).columns, 100))
    indent = max(len(task.name) for task in found) + 2
    for task in found:
        origin = "" if task.package == "edgechat" else f" ({task.package} {task.package_version})"
        lines = textwrap.wrap(clean_line(task.help + origin), width - indent) or [""]
        click.echo(f"\n{' ' * indent}".join([clean_line(task.name).ljust(indent) + lines[0], *lines[1:]]))


@tasks.command()
@click.argument("task")
@click.option("--schema", type=click.Choice(["input", "output"]), help="Print that JSON Schema and nothing else.")
def show(task: str, *, schema: str | None) -> None:
    """Print what TASK takes and gives, as JSON: its example, formats and schemas."""
    # pydantic takes 0.3 s to import (0.9 s on a Pi); the list above does without it.
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
