"""``edgechat docs rm``: remove a document or a collection from the index. The files stay."""

from __future__ import annotations

import click

from edgechat.cli.output.terminal import say
from edgechat.documents.library import Library
from edgechat.paths import Paths
from edgechat.plaintext import clean_line


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def rm(names: tuple[str, ...]) -> None:
    """Remove collections or documents, by name or #ID. The files themselves stay."""
    with Library.open(Paths.from_env()) as library:
        chosen = {each.id: each for name in names for each in library.documents(name)}
        library.remove(list(chosen.values()))
    for each in chosen.values():
        say(f"Removed {clean_line(each.name)} from {clean_line(each.collection)}.")
