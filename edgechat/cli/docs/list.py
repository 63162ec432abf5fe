"""``edgechat docs list``: the documents, by collection."""

from __future__ import annotations

from dataclasses import asdict

import click

from edgechat.chat.export import safe_json
from edgechat.cli.output.table import Column, print_table
from edgechat.documents.library import Library
from edgechat.paths import Paths


@click.command("list")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(name: str | None, *, as_json: bool) -> None:
    """Show the documents of all collections, or of NAME."""
    with Library.open_to_read(Paths.from_env()) as library:
        found = library.documents(name)
    if as_json:
        click.echo(safe_json([asdict(each) for each in found]))
        return
    if not found:
        click.echo("No documents yet. Add some: edgechat docs add PATH")
        return
    head = [
        Column("ID", is_right=True),
        Column("Collection", 2, 8),
        Column("Document"),
        Column("Title", 4, 10),
        Column("Pages", 3, is_right=True),
        Column("Sections", 1, is_right=True),
    ]
    rows = [
        (f"#{each.id}", each.collection, each.name, each.title, str(each.pages or "-"), str(each.sections))
        for each in found
    ]
    print_table(head, rows)
