"""``edgechat docs prepare``: read sections ahead."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from edgechat import config as settings
from edgechat.chat.export import safe_json
from edgechat.cli.docs.show import place
from edgechat.cli.model_options import context_option, model_option
from edgechat.cli.output.terminal import say
from edgechat.documents.library import Library
from edgechat.engine.client.client import EngineClient
from edgechat.engine.protocol.request import Wish
from edgechat.paths import Paths
from edgechat.tasks.manual.prepare import Preparation

if TYPE_CHECKING:
    from edgechat.tasks.manual.prepare import ReadAhead


@click.command(epilog="It stops on battery, when the board is hot, and at 2 GB or a fifth of the free disk.")
@click.argument("name", required=False)
@model_option
@context_option
@click.option("-n", "--limit", type=click.IntRange(min=1), help="Read at most N sections.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def prepare(name: str | None, model: str | None, n_ctx: int | None, limit: int | None, *, as_json: bool) -> None:
    """Read each section of NAME once and keep what the model computed: what is asked most comes first."""
    paths = Paths.from_env()
    config = settings.load(paths.config)
    client = EngineClient(paths)
    done: list[ReadAhead] = []
    try:
        with Library.open(paths) as library:
            wish = Wish.of(model or config.model, n_ctx or config.n_ctx)
            work = Preparation(library, paths, client, wish)
            sections = work.plan(library.documents(name))[:limit]
            left = sum(each.tokens for each in sections)
            began, read = time.monotonic(), 0
            for each in work.run(sections):
                done.append(each)
                left -= each.section.tokens
                if each.tokens:
                    read += each.section.tokens
                eta = (time.monotonic() - began) * left / read if read else 0.0
                state = f"{each.seconds:.1f} s, {each.bytes / 1e6:.0f} MB" if each.bytes else _without_bytes(each)
                say(f"[{len(done)}/{len(sections)}] {place(each.section)}: {state}; {_duration(eta)} left")
    finally:
        client.close()
    new = [each for each in done if each.bytes]
    if work.stopped:
        say(f"{work.stopped} {len(sections) - len(done)} sections were left.")
    n_bytes = sum(each.bytes for each in new)
    facts = {
        "sections": len(sections),
        "read": len(new),
        "prepared_before": len(done) - len(new),
        "seconds": round(sum(each.seconds for each in new), 2),
        "bytes": n_bytes,
        "tokens": sum(each.tokens for each in new),
        "model": done[-1].model if done else None,
        "stopped": work.stopped,
    }
    if as_json:
        click.echo(safe_json(facts))
    else:
        click.echo(
            f"{len(done)} of {len(sections)} sections were looked at; {len(new)} were read now "
            f"({n_bytes / 1e6:,.0f} MB)."
        )


def _without_bytes(each: ReadAhead) -> str:
    return "the engine wrote no new state" if each.tokens else "was prepared"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"
