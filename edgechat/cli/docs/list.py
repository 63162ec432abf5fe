"""``edgechat docs list``: the documents, by collection, and how much of each is prepared."""

from __future__ import annotations

from dataclasses import asdict, replace

import click

from edgechat.chat.export import safe_json
from edgechat.cli.output.table import Column, print_table
from edgechat.documents import prepared
from edgechat.documents.library import Library
from edgechat.paths import Paths
from edgechat.tasks.manual.question import LAYOUT


@click.command("list")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(name: str | None, *, as_json: bool) -> None:
    """Show the documents of all collections, or of NAME, and how many of their sections are prepared."""
    paths = Paths.from_env()
    with Library.open_to_read(paths) as library:
        found = library.documents(name)
        counts = prepared.counts(library, paths, layout=LAYOUT)
    found = [replace(each, prepared=counts.get(each.id, 0)) for each in found]
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
        Column("Prepared", 1, is_right=True),
    ]
    rows = [
        (f"#{each.id}", each.collection, each.name, each.title, str(each.pages or "-"), str(each.sections),
         str(each.prepared))
        for each in found
    ]  # fmt: skip
    print_table(head, rows)
