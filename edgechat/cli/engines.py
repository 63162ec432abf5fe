"""``edgechat ps`` and ``edgechat stop``: the engine processes."""

from __future__ import annotations

import json

import click

from edgechat.engine.client import status
from edgechat.engine.client import stop as stop_engines
from edgechat.paths import Paths

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
    click.echo(f"{'PID':>8}  {'MODEL':<40}  {'N_CTX':>7}  {'RSS':>9}  {'CLIENTS':>7}  {'IDLE':>8}  STAGE")
    for engine in engines:
        pid, model, quant, n_ctx, rss, clients, idle = (engine[key] for key in _KEYS)
        label = f"{model}:{quant.lower()}" if model else "(loading)"
        click.echo(
            f"{pid:>8}  {label:<40}  {n_ctx or '':>7}  {rss / 1e6:>6.0f} MB  {clients:>7}  {idle:>6.0f} s  "
            f"{engine['stage']}"
        )


@click.command()
def stop() -> None:
    """Stop the engine, ending any answer that is being written."""
    pids = stop_engines(Paths.from_env())
    click.echo(f"Stopped engine {', '.join(map(str, pids))}." if pids else "No engine is running.", err=True)
