"""Runs the application on uvicorn, and adds the limits on connections that uvicorn does not have."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

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
    """HTTP/1.1 that closes silent connections and refuses those beyond the limit."""

    _head_timer: asyncio.TimerHandle | None = None
    _waits_since = 0.0
    """When the time for the next head began, on the loop's clock."""
    _address = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the request's head, or refuse the connection.

        Where all places are taken, the connection that has waited longest for a head gives up its own: half a head, or
        none, keeps nobody out. A connection with a running request is never closed for another.
        """
        super().connection_made(transport)
        self._address = str((transport.get_extra_info("peername") or ("",))[0])
        others = [each for each in self.connections if each is not self and isinstance(each, LimitedProtocol)]
        same = [] if is_loopback(self._address) else [each for each in others if each._address == self._address]
        if len(same) >= MAX_PER_ADDRESS:
            crowd = same
        elif len(others) >= MAX_CONNECTIONS:
            crowd = others
        else:
            crowd = []
        if crowd:
            waiting = [each for each in crowd if each._is_waiting and not each.transport.is_closing()]
            if not waiting:
                transport.write(_TOO_MANY_CONNECTIONS)
                transport.close()
                return
            min(waiting, key=lambda each: each._waits_since).transport.abort()
        self._start_head_timer(FIRST_HEAD_S)

    def on_response_complete(self) -> None:
        """Start the timer for the next request; the rest of this one must arrive within it too."""
        super().on_response_complete()
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    @property
    def _is_waiting(self) -> bool:
        """Whether no request has a complete head and no complete response."""
        return self.cycle is None or bool(self.cycle.response_complete)

    def _start_head_timer(self, seconds: float = HEAD_TIMEOUT_S) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._waits_since = self.loop.time()
        self._head_timer = self.loop.call_later(seconds, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self._is_waiting and not self.transport.is_closing():
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
            http=LimitedProtocol,
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
