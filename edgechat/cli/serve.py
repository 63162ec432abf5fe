"""``edgechat serve``: the HTTP server. Says on standard error where it is and how to reach it."""

from __future__ import annotations

import platform
import time
from typing import TYPE_CHECKING, Any

import click

from edgechat import config as settings
from edgechat.cli.model_option import model_option
from edgechat.cli.output.terminal import BEWARE, LABEL, say, say_row
from edgechat.engine.protocol.request import Wish
from edgechat.extras import raise_missing
from edgechat.garbage_collector import collect_normally
from edgechat.paths import Paths
from edgechat.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_DEFECTS_PER_MINUTE = 3


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others demand a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@model_option
@click.option(
    "--ctx", "n_ctx", type=click.IntRange(min=settings.LEAST_N_CTX), metavar="N", help="Context size in tokens."
)
@click.option("--allow-step-down", is_flag=True, help="Let what `models use` fixed give way when memory is short.")
@click.option("--parallel", type=click.IntRange(1, 32), default=8, show_default=True, help="Answers at once.")
@click.option("--queue", type=click.IntRange(0, 1000), default=32, show_default=True, help="Requests that may wait.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(1, 86400), default=600, show_default=True, help="Seconds an answer."
)
@click.option(
    "--allow-host",
    "allowed",
    multiple=True,
    metavar="NAME",
    help="Answer requests under this host name too (a proxy's, say); others are refused. Repeatable.",
)
@click.option("--token", "needs_token", is_flag=True, help="Demand the token on loopback too (behind a proxy).")
@click.option("--rotate-token", is_flag=True, help="Make a new token, say where it is, and end.")
@click.option("--keep-alive", help="How long the idle engine stays: 30m, 2h, 0 (leave), -1 (stay).")
def serve(host: str, port: int, **options: Any) -> None:  # noqa: ANN401 - click's
    """Serve OpenAI's API on this machine: chat, completions, tasks, health and metrics.

    \b
    edgechat serve
    edgechat serve --host 0.0.0.0 --port 8080
    edgechat serve --rotate-token
    """  # noqa: D301 - click looks for the backspace character itself
    try:
        from edgechat.serve.app import Application  # noqa: PLC0415 - half a second that --help need not pay
        from edgechat.serve.engine_clients import Service, Settings  # noqa: PLC0415
        from edgechat.serve.http.authentication import Guard, own_names  # noqa: PLC0415
        from edgechat.serve.http.exchange import Limits  # noqa: PLC0415
        from edgechat.serve.http.listener import is_loopback, listen  # noqa: PLC0415
        from edgechat.serve.http.token import Token  # noqa: PLC0415
        from edgechat.serve.server_log import Journal  # noqa: PLC0415
        from edgechat.service.notify import Notifier  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise_missing(error, "The server", "serve")
    paths = Paths.from_env()
    token = Token(paths)
    if options["rotate_token"]:
        token.rotate()
        say(f"The new token is in {token.file}. A running server takes it from now on.")
        return
    config = settings.load(paths.config)
    keep_alive = options["keep_alive"]
    wanted = Settings(
        wish=Wish.of(
            options["model"] or config.model,
            options["n_ctx"] or config.n_ctx,
            exact=not options["allow_step_down"],
        ),
        places=options["parallel"],
        queue=options["queue"],
        timeout_s=options["timeout_s"],
        keep_alive_s=settings.seconds(config.keep_alive if keep_alive is None else keep_alive),
    )
    needs_token = options["needs_token"] or not is_loopback(host)
    if needs_token:
        token.ensure()
    guard = Guard(
        own_names(platform.node()),
        frozenset(name.lower().rstrip(".") for name in options["allowed"]),
        token.matches if needs_token else None,
    )
    notifier = Notifier.from_env()
    journal = Journal(paths)
    app = Application(lambda: Service(paths, wanted, journal.write), guard, Limits(), _Defects(journal.write), notifier)

    def on_listening(at: str, bound: int) -> None:
        collect_normally()  # for months from here on
        _say_where(at, bound, token.file if needs_token else None)
        journal.write(f"edgechat {__version__} listens on {at} port {bound}.")
        if journal.trouble:
            say_row("No log", journal.trouble)
        if notifier is not None:
            notifier.ready(f"Listening on {at} port {bound}; the model is being loaded.")

    def on_stopping() -> None:
        journal.write("Stopping; running answers are finished first.")
        if notifier is not None:
            notifier.stopping()

    listen(app, host, port, on_listening, on_stopping)


def _say_where(host: str, port: int, token: Path | None) -> None:
    """Where the server is, how to try it, and how to reach it from elsewhere."""
    is_everywhere = host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    near = "127.0.0.1" if is_everywhere else f"[{host}]" if ":" in host else host
    url = f"http://{near}:{port}"
    name = platform.node() or "BOARD"
    key = f' -H "Authorization: Bearer $(cat {token})"' if token else ""
    body = '{"messages": [{"role": "user", "content": "Hello"}]}'
    say(f"edgechat serves {url}/v1" + (f" (on every address of {name})" if is_everywhere else ""))
    # One line however long: it is there to be copied.
    curl = f"curl {url}/v1/chat/completions{key} -H 'Content-Type: application/json' -d '{body}'"
    click.echo(f"  {'Try it':<{LABEL - 2}}{curl}", err=True)
    say_row("From afar", f"ssh -L {port}:{near}:{port} {name}    then use http://127.0.0.1:{port} there")
    if token:
        say_row("Token", f"{token} (the API key of clients; a new one: edgechat serve --rotate-token)")
        say_row("Beware", BEWARE)
    else:
        say_row("Access", "this machine only, without a token")


class _Defects:
    """Writes tracebacks to standard error and the log, a few a minute: one bug under load must not fill a disk."""

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
