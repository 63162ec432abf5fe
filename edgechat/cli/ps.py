"""``edgechat ps``: the engine process. ``--json`` prints the status frame that the engine sends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from edgechat.cli.output.table import Column, print_table
from edgechat.engine.client.client import status
from edgechat.paths import Paths

if TYPE_CHECKING:
    from edgechat.engine.protocol.framing import Frame

_COLUMNS = (
    Column("PID", rank=2, is_right=True),
    Column("MODEL"),
    Column("N_CTX", rank=3, is_right=True),
    Column("RSS", is_right=True),
    Column("CLIENTS", rank=4, is_right=True),
    Column("IDLE", rank=1, is_right=True),
    Column("STAGE"),
)
_KEYS = ("pid", "model", "quant", "n_ctx", "rss_bytes", "clients", "idle_s")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def ps(*, as_json: bool) -> None:
    """Show the running engine: its model, memory, clients and idle time."""
    engines = status(Paths.from_env())
    if as_json:
        click.echo(json.dumps(engines, ensure_ascii=False))
        return
    if not engines:
        click.echo("No engine is running.")
        return
    print_table(_COLUMNS, [_row(engine) for engine in engines])


def _row(engine: Frame) -> tuple[str, ...]:
    pid, model, quant, n_ctx, rss, clients, idle = (engine[key] for key in _KEYS)
    label = f"{model}:{quant.lower()}" if model else "(loading)"
    return (
        str(pid),
        label,
        str(n_ctx or ""),
        f"{rss / 1e6:.0f} MB",
        str(clients),
        f"{idle:.0f} s",
        str(engine["stage"]),
    )
