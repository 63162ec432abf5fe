"""Runs the application on uvicorn, and adds the limits on connections that uvicorn does not have."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edgechat.errors import StateError
from edgechat.serve.http.authentication import is_loopback
from edgechat.serve.http.limits import (
    FIRST_HEAD_S,
    HEAD_TIMEOUT_S,
    MAX_CONNECTIONS,
    MAX_HEAD_BYTES,
    MAX_PER_ADDRESS,
    SHUTDOWN_GRACE_S,
)
from edgechat.serve.http.places import Places

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from starlette.types import ASGIApp

_TOO_MANY_CONNECTIONS = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: 99\r\n\r\n"
    b'{"error":{"message":"Too many connections.","type":"server_error","param":null,"code":"busy"}}     '
)


class LimitedProtocol(H11Protocol):
    """HTTP/1.1 that closes silent connections and refuses those beyond the limit.

    Args:
        places: of all connections of the server.
        arguments: uvicorn's own.
    """

    def __init__(self, *, places: Places[LimitedProtocol], **arguments: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(**arguments)
        self._places = places
        self._head_timer: asyncio.TimerHandle | None = None
        self.address = ""
        """Of the machine at the other end; empty for this one."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the request's head, or refuse the connection.

        Where all places are taken, the connection that has waited longest for a head gives up its own: half a head, or
        none, keeps nobody out. A connection with a running request is never closed for another.
        """
        super().connection_made(transport)
        address = str((transport.get_extra_info("peername") or ("",))[0])
        self.address = "" if is_loopback(address) else address
        leaving = self._places.enter(self)
        if leaving is self:
            transport.write(_TOO_MANY_CONNECTIONS)
            transport.close()
            return
        if leaving is not None:
            leaving.transport.abort()
        self._start_head_timer(FIRST_HEAD_S)

    def on_response_complete(self) -> None:
        """Start the timer for the next request; the rest of this one must arrive within it too."""
        super().on_response_complete()
        self._places.wait(self)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._places.leave(self)
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    @property
    def is_waiting(self) -> bool:
        """Whether it is open, and no request has a complete head and no complete response."""
        return (self.cycle is None or bool(self.cycle.response_complete)) and not self.transport.is_closing()

    def _start_head_timer(self, seconds: float = HEAD_TIMEOUT_S) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer = self.loop.call_later(seconds, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self.is_waiting:
            self.transport.abort()


class _Server(uvicorn.Server):
    """Calls back when it listens and when it begins to stop."""

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
    app: ASGIApp,
    host: str,
    port: int,
    on_listening: Callable[[str, int], None],
    on_stopping: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGINT or SIGTERM; running answers then have :data:`SHUTDOWN_GRACE_S` to end.

    Args:
        app: the ASGI application.
        host: the address or name to listen on.
        port: 0 chooses a free port.
        on_listening: gets the address and the port when connections are accepted.
        on_stopping: called when no more connections are accepted.

    Raises:
        StateError: the address cannot be used.
    """
    # uvicorn would log every malformed request and wear out an SD card. Defects are logged by the application.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
    server = _Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            # uvicorn calls it for each connection.
            http=partial(LimitedProtocol, places=Places(MAX_CONNECTIONS, MAX_PER_ADDRESS)),  # type: ignore[arg-type]
            ws="none",
            lifespan="on",
            log_config=None,
            log_level=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=512,
            timeout_keep_alive=int(HEAD_TIMEOUT_S),
            timeout_graceful_shutdown=int(SHUTDOWN_GRACE_S),
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        )
    )
    server.on_listening, server.on_stopping = on_listening, on_stopping
    try:
        server.run()
    except SystemExit as leaving:
        # uvicorn exits when it cannot listen.
        reason = leaving.__context__
        text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
        raise StateError(
            f"Cannot listen on {host} port {port}: {text}.", hint="Choose another with --host or --port."
        ) from reason
