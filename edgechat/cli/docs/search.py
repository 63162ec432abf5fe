"""``edgechat docs search``: find sections by words, without a model."""

from __future__ import annotations

from dataclasses import asdict

import click

from edgechat.chat.export import safe_json
from edgechat.cli.docs.show import place
from edgechat.cli.output.terminal import say
from edgechat.documents.library import Library
from edgechat.documents.retrieval import best_part, question_terms
from edgechat.paths import Paths
from edgechat.plaintext import clean_line
from edgechat.storage.search_terms import snippet


@click.command()
@click.argument("words", nargs=-1, required=True)
@click.option("--docs", "name", metavar="NAME", help="Search this collection or document alone.")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="Show at most N.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def search(words: tuple[str, ...], name: str | None, limit: int, *, as_json: bool) -> None:
    """Find the sections that fit WORDS best: a question, or words of the manual."""
    question = " ".join(words)
    with Library.open_to_read(Paths.from_env()) as library:
        among = None if name is None else library.documents(name)
        found = library.search(question, limit, among)
    if as_json:
        click.echo(safe_json([asdict(each) for each in found]))
        return
    if not found:
        say("Nothing found.")
    wanted = question_terms(question)
    for each in found:
        heading, part = best_part(question, each)
        click.echo(f"{each.id:>6}  {clean_line(each.document)}  {place(each, heading)}")
        line, spans = snippet(part, wanted)
        text, at = "", 0
        for start, end in spans:
            text += line[at:start] + click.style(line[start:end], bold=True)
            at = end
        click.echo(f"        {text}{line[at:]}")
