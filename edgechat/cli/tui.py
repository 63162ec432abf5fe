"""``edgechat tui``: the terminal UI, also what plain ``edgechat`` opens on a terminal; with ``--web`` in a browser."""

from __future__ import annotations

import gc
import platform
import sys
from typing import TYPE_CHECKING

import click

from edgechat.cli.output.terminal import BEWARE, say, say_row
from edgechat.errors import UsageError
from edgechat.extras import raise_missing
from edgechat.paths import Paths

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.option("--web", is_flag=True, help="Serve it to a browser instead.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address for --web; others demand a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option(
    "--allow-host",
    "allowed",
    multiple=True,
    metavar="NAME",
    help="Answer requests under this host name too (a proxy's, say); others are refused. Repeatable.",
)
@click.option("--token", "needs_token", is_flag=True, help="Demand the token on loopback too (behind a proxy).")
def tui(*, web: bool, host: str, port: int, allowed: tuple[str, ...], needs_token: bool) -> None:
    """Open the terminal UI: chat, conversations, models, tasks, board."""
    if web:
        _serve(host, port, allowed, needs_token=needs_token)
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("The terminal UI needs a terminal.", hint='In a script: edgechat ask "…"')
    gc.disable()  # until the first frame: starting creates tens of thousands of objects and little garbage
    from edgechat.tui.app import make_app  # noqa: PLC0415 - 0.9 s that --help need not wait for

    app = make_app(Paths.from_env())
    app.run()
    if app.return_code:
        # Textual has already shown what went wrong.
        raise click.exceptions.Exit(app.return_code)


def _serve(host: str, port: int, allowed: tuple[str, ...], *, needs_token: bool) -> None:
    try:
        from edgechat.serve.http.authentication import Guard, own_names  # noqa: PLC0415
        from edgechat.serve.http.listener import is_loopback  # noqa: PLC0415
        from edgechat.serve.http.token import Token  # noqa: PLC0415
        from edgechat.serve.web_ui import serve_in_browser  # noqa: PLC0415 - half a second that --help need not pay
    except ModuleNotFoundError as error:
        raise_missing(error, "--web", "web")
    token = Token(Paths.from_env())
    needs_token = needs_token or not is_loopback(host)
    if needs_token:
        token.ensure()
    names, further = own_names(platform.node()), frozenset(name.lower().rstrip(".") for name in allowed)
    number = serve_in_browser(
        host,
        port,
        Guard(names, further),
        Guard(names, further, token.matches if needs_token else None),
        lambda at, bound: _say_where(at, bound, token.file if needs_token else None),
    )
    if number is not None:
        raise click.exceptions.Exit(128 + number)


def _say_where(host: str, port: int, token: Path | None) -> None:
    """Where it is, and how to reach it from elsewhere."""
    is_everywhere = host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    near = "127.0.0.1" if is_everywhere else f"[{host}]" if ":" in host else host
    name = platform.node() or "BOARD"
    say(f"edgechat is at http://{near}:{port}/" + (f" (on every address of {name})" if is_everywhere else ""))
    say_row("From afar", f"ssh -L {port}:{near}:{port} {name}    then open http://127.0.0.1:{port}/ there")
    if token:
        say_row("Token", f"the page asks for what stands in {token} (a new one: edgechat serve --rotate-token)")
        say_row("Beware", BEWARE)
    else:
        say_row("Access", "this machine only, without a token")
    say("Ctrl+C ends it.", indent="  ")
