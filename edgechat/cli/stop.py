"""``edgechat stop``: end the engine process."""

from __future__ import annotations

import click

from edgechat.cli.output.terminal import say
from edgechat.engine.client.client import stop as stop_engines
from edgechat.paths import Paths


@click.command()
def stop() -> None:
    """Stop the engine. An answer that is being written ends."""
    pids = stop_engines(Paths.from_env())
    say(f"Stopped engine {', '.join(map(str, pids))}." if pids else "No engine is running.")
