"""``edgechat serve``: start the HTTP server. Its address and how to reach it are printed to standard error."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from edgechat import config as settings
from edgechat.cli.model_options import allow_step_down_option, context_option, keep_alive_option, model_option
from edgechat.cli.output.terminal import LABEL, say, say_row
from edgechat.cli.server_options import (
    DEFAULT_HOST,
    PORT,
    SERVE_PORT,
    allow_host_option,
    say_access,
    server_access,
    server_url,
    token_option,
)
from edgechat.engine.protocol.request import Wish
from edgechat.extras import raise_missing
from edgechat.garbage_collector import collect_normally
from edgechat.paths import Paths
from edgechat.serve.http.request_queue import MAX_RUNNING, MAX_WAITING
from edgechat.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_DEFECTS_PER_MINUTE = 3


@click.command()
@click.option("--host", default=DEFAULT_HOST, show_default=True, help="Address; any but loopback needs a token.")
@click.option("--port", type=PORT, default=SERVE_PORT, show_default=True, help="0 chooses a free port.")
@model_option
@context_option
@allow_step_down_option
@click.option(
    "--parallel", type=click.IntRange(1, 32), default=MAX_RUNNING, show_default=True, help="Requests answered at once."
)
@click.option(
    "--queue",
    type=click.IntRange(0, 1000),
    default=MAX_WAITING,
    show_default=True,
    help="Requests that may wait.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(1, 86400),
    default=600,
    show_default=True,
    help="Seconds for one answer.",
)
@allow_host_option
@click.option(
    "--allow-origin",
    "allowed_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Let web pages of this origin use the server (CORS), such as http://localhost:3000. Repeatable.",
)
@token_option
@click.option("--rotate-token", is_flag=True, help="Make a new token, print its path, and exit.")
@keep_alive_option
def serve(host: str, port: int, **options: Any) -> None:  # noqa: ANN401 - click's
    """Serve OpenAI's API on this machine: chat, completions, tasks, health and metrics.

    \b
    edgechat serve
    edgechat serve --host 0.0.0.0 --port 8080
    edgechat serve --rotate-token
    """  # noqa: D301 - click needs the backspace character
    try:
        from edgechat.serve.app import Application  # noqa: PLC0415 - 0.5 s of imports
        from edgechat.serve.engine_clients import EngineClients, ServerSettings  # noqa: PLC0415
        from edgechat.serve.http.cors import parse_origins  # noqa: PLC0415
        from edgechat.serve.http.limits import Limits  # noqa: PLC0415
        from edgechat.serve.http.listener import listen  # noqa: PLC0415
        from edgechat.serve.http.token import Token  # noqa: PLC0415
        from edgechat.serve.server_log import ServerLog  # noqa: PLC0415
        from edgechat.service.notify import Notifier  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise_missing(error, "The server")
    paths = Paths.from_env()
    if options["rotate_token"]:
        token = Token(paths)
        token.rotate()
        say(f"The new token is in {token.file}. A running server uses it at once.")
        return
    config = settings.load(paths.config)
    keep_alive = options["keep_alive"]
    server_settings = ServerSettings(
        wish=Wish.of(
            options["model"] or config.model,
            options["n_ctx"] or config.n_ctx,
            exact=not options["allow_step_down"],
        ),
        parallel=options["parallel"],
        queue=options["queue"],
        timeout_s=options["timeout_s"],
        keep_alive_s=settings.seconds(config.keep_alive if keep_alive is None else keep_alive),
    )
    access, token_file = server_access(
        paths,
        host,
        options["allowed_hosts"],
        needs_token=options["needs_token"],
        origins=parse_origins(options["allowed_origins"]),
    )
    notifier = Notifier.from_env()
    log = ServerLog(paths)
    app = Application(
        lambda: EngineClients(paths, server_settings, log.write), access, Limits(), _DefectReports(log.write), notifier
    )

    def on_listening(at: str, bound: int) -> None:
        collect_normally()  # the server runs for months
        _say_address(at, bound, token_file)
        log.write(f"edgechat {__version__} listens on {at} port {bound}.")
        if log.error:
            say_row("No log", log.error)
        if notifier is not None:
            notifier.ready(f"Listening on {at} port {bound}; the model is being loaded.")

    def on_stopping() -> None:
        log.write("Stopping after the running answers.")
        if notifier is not None:
            notifier.stopping()

    listen(app, host, port, on_listening, on_stopping)


def _say_address(host: str, port: int, token_file: Path | None) -> None:
    """Print the server's address, a command to try it, and how to reach it from another machine."""
    url, everywhere = server_url(host, port)
    key = f' -H "Authorization: Bearer $(cat {token_file})"' if token_file else ""
    body = '{"messages": [{"role": "user", "content": "Hello"}]}'
    say(f"edgechat serves {url}/v1{everywhere}")
    # One line, however long, so that it can be copied.
    curl = f"curl {url}/v1/chat/completions{key} -H 'Content-Type: application/json' -d '{body}'"
    click.echo(f"  {'Try it':<{LABEL - 2}}{curl}", err=True)
    token = f"{token_file} (the API key of clients; a new one: edgechat serve --rotate-token)" if token_file else ""
    say_access(url, token, then=f"use http://127.0.0.1:{port}")


class _DefectReports:
    """Writes tracebacks to standard error and the log, three a minute at most, so that no bug fills the disk."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._since = 0.0
        self._count = 0

    def __call__(self, trace: str) -> None:
        now = time.monotonic()
        if now - self._since > 60:
            self._since, self._count = now, 0
        self._count += 1
        if self._count <= _DEFECTS_PER_MINUTE:
            self._write(f"This is a defect in edgechat.\n{trace}")
            click.echo(f"edgechat: this is a defect in edgechat.\n{trace}", err=True)
