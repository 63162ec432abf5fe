"""``edgechat tui``: the terminal UI, also what plain ``edgechat`` opens on a terminal."""

from __future__ import annotations

import sys

import click

from edgechat.errors import UsageError
from edgechat.paths import Paths


@click.command()
def tui() -> None:
    """Open the terminal UI: chat, conversations, models, board."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("The terminal UI needs a terminal.", hint='In a script: edgechat ask "…"')
    from edgechat.tui.app import make_app  # noqa: PLC0415 - 0.9 s that --help need not wait for

    app = make_app(Paths.from_env())
    app.run()
    if app.return_code:
        # Textual has already shown what went wrong.
        raise click.exceptions.Exit(app.return_code)
