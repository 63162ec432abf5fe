"""``edgechat docs show``: the sections of a document, or the text of one."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from edgechat.chat.export import safe_json
from edgechat.documents.library import Library
from edgechat.errors import UsageError
from edgechat.paths import Paths
from edgechat.plaintext import clean, clean_line

if TYPE_CHECKING:
    from edgechat.documents.stored import StoredSection


@click.command()
@click.argument("name", metavar="NAME|SECTION")
@click.option("--text", "with_text", is_flag=True, help="Print the text of every section.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the texts.")
def show(name: str, *, with_text: bool, as_json: bool) -> None:
    """Show the sections of a document or a collection, or the text of one SECTION by its number."""
    with Library.open_to_read(Paths.from_env()) as library:
        if name.isascii() and name.isdigit() and len(name) < 19 and not library.is_known(name):
            sections = [library.section(int(name))]
            with_text = True
        else:
            chosen = library.documents(name)
            sections = [section for each in chosen for section in library.sections(each.id)]
    if as_json:
        click.echo(safe_json([asdict(each) for each in sections]))
        return
    if not sections:
        raise UsageError(f"{name} has no sections.")
    document = ""
    for section in sections:
        if section.document != document:
            document = section.document
            click.secho(clean_line(f"{document}: {section.title}"), bold=True)
        click.echo(f"{section.id:>6}  {place(section)}  ({section.tokens} tokens)")
        if with_text:
            click.echo(clean(section.text))
            click.echo()


def place(section: StoredSection, heading: str = "") -> str:
    """Headings and page of a section, or of a part of it, on one line."""
    page = "" if section.first_page is None else f", page {section.first_page}"
    return f"{clean_line(heading or section.heading) or clean_line(section.title)}{page}"
