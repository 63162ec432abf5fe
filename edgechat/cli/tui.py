"""``edgechat tui``: open the terminal UI, as ``edgechat`` alone does; ``--web`` serves it to a browser."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

import click

from edgechat.cli.output.terminal import say
from edgechat.cli.server_options import (
    DEFAULT_HOST,
    PORT,
    WEB_UI_PORT,
    allow_host_option,
    say_access,
    server_access,
    server_url,
    token_option,
)
from edgechat.errors import UsageError
from edgechat.extras import raise_missing
from edgechat.paths import Paths
from edgechat.plaintext import clean

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.serve.web_ui import OneTimeLogin


@click.command()
@click.option("--web", is_flag=True, help="Serve the UI to a browser instead.")
@click.option("--host", default=DEFAULT_HOST, show_default=True, help="Address for --web.")
@click.option(
    "--port", type=PORT, default=WEB_UI_PORT, show_default=True, help="Port for --web; 0 chooses a free port."
)
@allow_host_option
@token_option
def tui(*, web: bool, host: str, port: int, allowed_hosts: tuple[str, ...], needs_token: bool | None) -> None:
    """Open the terminal UI: chat, conversations, models, tasks, board."""
    if web:
        _serve(host, port, allowed_hosts, needs_token=needs_token)
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("The terminal UI needs a terminal.", hint='In a script: edgechat ask "…"')
    gc.disable()  # until the first frame: starting creates tens of thousands of objects and little garbage
    from edgechat.tui.app import make_app  # noqa: PLC0415 - 0.9 s of imports

    app = make_app(Paths.from_env())
    app.run()
    if app.defect is not None:
        if draft := clean(app.chat.composer.text).strip():
            say(f"Your question was not sent:\n{draft}")
        raise app.defect
    if app.return_code:
        raise click.exceptions.Exit(app.return_code)


def _serve(host: str, port: int, allowed_hosts: tuple[str, ...], *, needs_token: bool | None) -> None:
    try:
        from edgechat.serve.http.token import Token  # noqa: PLC0415
        from edgechat.serve.web_ui import OneTimeLogin, serve_in_browser  # noqa: PLC0415 - 0.5 s of imports
    except ModuleNotFoundError as error:
        raise_missing(error, "--web")
    paths = Paths.from_env()
    access, token_file = server_access(paths, host, allowed_hosts, needs_token=needs_token, default=True)
    login = OneTimeLogin(Token(paths).text) if token_file else None
    signal_number = serve_in_browser(
        host, port, access, lambda at, bound: _say_address(at, bound, token_file, login), login=login
    )
    if signal_number is not None:
        raise click.exceptions.Exit(128 + signal_number)


def _say_address(host: str, port: int, token_file: Path | None, login: OneTimeLogin | None) -> None:
    """Print the page's address, and how to reach it from another machine."""
    url, everywhere = server_url(host, port)
    say(f"edgechat is at {url}/{everywhere}")
    if login is not None:
        # Every address works once, so the next browser needs the next one.
        login.on_new = lambda path: say(f"Log in, once: {url}{path}", indent="  ")
        login.renew()
    token = (
        f"without that address, the page asks for the token in {token_file} (a new one: edgechat serve --rotate-token)"
    )
    say_access(url, token if token_file else "", then=f"open http://127.0.0.1:{port}/")
    say("Ctrl+C ends it.", indent="  ")
