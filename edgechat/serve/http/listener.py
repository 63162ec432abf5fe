"""Runs the application on uvicorn, with the limits on connections that uvicorn leaves to others."""

from __future__ import annotations

import ipaddress
import logging
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edgechat.errors import StateError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from edgechat.serve.app import Application

MAX_CONNECTIONS = 512
"""Open at once; each costs some 30 kB."""
HEAD_S = 15.0
"""Time for a request's head to arrive, and for which an idle connection is kept."""
_HEAD_BYTES = 32 * 1024
GRACE_S = 20.0
"""Running answers may take so long to end when the server is told to."""

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: 99\r\n\r\n"
    b'{"error":{"message":"Too many connections.","type":"server_error","param":null,"code":"busy"}}     '
)


class Protocol(H11Protocol):
    """HTTP/1.1 that ends connections which say nothing, and turns away those beyond the limit."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock, or turn away."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.write(_FULL)
            transport.close()
            return
        self._wait_for_head()

    def on_response_complete(self) -> None:
        """Start the clock again: the next request must come, and what is left of this one must end."""
        super().on_response_complete()
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._patience = self.loop.call_later(HEAD_S, self._give_up)

    def _give_up(self) -> None:
        is_waiting = self.cycle is None or self.cycle.response_complete
        if is_waiting and not self.transport.is_closing():
            self.transport.abort()


class _Server(uvicorn.Server):
    """Tells where it listens, once it does, and that it is about to end."""

    on_listening: Callable[[str, int], None]
    on_stopping: Callable[[], None]

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        self.on_listening(host, port)

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        self.on_stopping()
        await super().shutdown(sockets)  # type: ignore[arg-type]


def listen(
    app: Application,
    host: str,
    port: int,
    on_listening: Callable[[str, int], None],
    on_stopping: Callable[[], None] = lambda: None,
) -> None:
    """Serve until a signal says to stop; running answers get :data:`GRACE_S` to end.

    Args:
        app: what answers.
        host: the address or name to listen on.
        port: 0 takes any free one.
        on_listening: gets the address and the port, once connections are accepted.
        on_stopping: called when no more are, and running answers are being finished.

    Raises:
        StateError: the address cannot be had.
    """
    # It would write a line for every malformed request, to a card that wears out; defects reach the owner elsewhere.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
    server = _Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=512,
            timeout_keep_alive=int(HEAD_S),
            timeout_graceful_shutdown=int(GRACE_S),
            h11_max_incomplete_event_size=_HEAD_BYTES,
        )
    )
    server.on_listening, server.on_stopping = on_listening, on_stopping
    try:
        server.run()
    except SystemExit as leaving:
        # uvicorn's way of saying that it could not listen.
        reason = leaving.__context__
        said = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
        raise StateError(
            f"Cannot listen on {host} port {port}: {said}.", hint="Choose another with --host or --port."
        ) from reason


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
