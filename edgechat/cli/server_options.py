"""What ``edgechat serve`` and ``edgechat tui --web`` share: default addresses, options for access, lines about it."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

import click

from edgechat.cli.output.terminal import say_row
from edgechat.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgechat.paths import Paths
    from edgechat.serve.http.authentication import AccessControl

DEFAULT_HOST = "127.0.0.1"
SERVE_PORT = 8080
WEB_UI_PORT = 8000
PORT = click.IntRange(0, 65535)
"""Type of ``--port``; 0 chooses a free port."""

_WARNING = (
    "over plain HTTP anyone on the network can read the token and the text; use ssh as above, or a reverse proxy with "
    "TLS (docs/serve.md)"
)

allow_host_option: Callable[[Any], Any] = click.option(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Also accept requests with this host name, for example a proxy's. Repeatable.",
)
token_option: Callable[[Any], Any] = click.option(
    "--token/--no-token",
    "needs_token",
    default=None,
    help="Whether loopback needs the token too. `tui --web` and the service need it unless --no-token is given; "
    "`serve` by hand does not unless --token is given. Any other address always needs it.",
)


def server_access(
    paths: Paths,
    host: str,
    allowed_hosts: tuple[str, ...],
    *,
    needs_token: bool | None,
    default: bool = False,
    origins: frozenset[str] = frozenset(),
) -> tuple[AccessControl, Path | None]:
    """Make the access rules of a server, and create its token on first use.

    Args:
        paths: of the user whose token it is.
        host: the address to listen on; every address but loopback needs a token.
        allowed_hosts: of ``--allow-host``.
        needs_token: of ``--token``; None where neither it nor ``--no-token`` was given.
        default: whether loopback needs a token then.
        origins: of ``--allow-origin``.

    Returns:
        The rules, and the token's file, or None where no token is needed.

    Raises:
        UsageError: ``--no-token`` with an address that other machines reach.
    """
    from edgechat.serve.http.authentication import AccessControl, is_loopback, own_names  # noqa: PLC0415
    from edgechat.serve.http.token import Token  # noqa: PLC0415

    token = Token(paths)
    if needs_token is False and not is_loopback(host):
        raise UsageError(
            f"--no-token is for loopback only, and --host is {host}.", hint="Leave out --no-token, or --host."
        )
    needs_token = not is_loopback(host) or (default if needs_token is None else needs_token)
    if needs_token:
        token.ensure()
    allowed = frozenset(name.lower().rstrip(".") for name in allowed_hosts)
    control = AccessControl(own_names(platform.node()), allowed, token.matches if needs_token else None, origins)
    return control, token.file if needs_token else None


def server_url(host: str, port: int) -> tuple[str, str]:
    """The URL on this machine, and a note when the server listens on every address."""
    is_everywhere = host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    local = "127.0.0.1" if is_everywhere else f"[{host}]" if ":" in host else host
    return f"http://{local}:{port}", f" (on every address of {platform.node() or 'BOARD'})" if is_everywhere else ""


def say_access(url: str, token: str, *, then: str) -> None:
    """Print how to reach the server from another machine, and where its token is.

    Args:
        url: of the server on this machine.
        token: the line about the token; ``""`` where none is needed.
        then: what to do at the other end of the ssh tunnel.
    """
    local, _, port = url.removeprefix("http://").rpartition(":")
    say_row("From afar", f"ssh -L {port}:{local}:{port} {platform.node() or 'BOARD'}    then {then} there")
    if token:
        say_row("Token", token)
        say_row("Beware", _WARNING)
    else:
        say_row("Access", "this machine only, without a token: every user and program of this machine has it")
