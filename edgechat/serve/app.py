"""The ASGI application: routes, access control, errors in OpenAI's format, and the systemd watchdog."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.routing import Route

from edgechat.errors import EdgechatError
from edgechat.garbage_collector import release_memory
from edgechat.serve.endpoints.chat import Chat
from edgechat.serve.endpoints.embeddings import Embeddings
from edgechat.serve.endpoints.health import Health
from edgechat.serve.endpoints.index import index
from edgechat.serve.endpoints.models import Models
from edgechat.serve.endpoints.tasks import Tasks
from edgechat.serve.http.cors import is_preflight, preflight_headers, response_headers
from edgechat.serve.http.errors import ApiError, api_error
from edgechat.serve.http.exchange import ClientDisconnectedError, Exchange
from edgechat.serve.http.limits import BodyMemory
from edgechat.serve.openai.openapi import description

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from edgechat.serve.engine_clients import EngineClients
    from edgechat.serve.http.authentication import AccessControl
    from edgechat.serve.http.limits import Limits
    from edgechat.service.notify import Notifier


_TRIM_MEMORY_EVERY = 64
"""Requests after which free memory goes back to the system, so that the server shrinks again after a busy time."""
_STATUS_INTERVAL_S = 20.0
"""Seconds between two status lines for systemd when no watchdog is set."""


class Application:
    """Everything between the HTTP server and the engine.

    Args:
        make_clients: called once, inside the running event loop.
        access: who may send requests.
        limits: what one request may take.
        on_defect: gets the traceback of an unexpected error.
        notifier: the connection to systemd, if it started this process.
    """

    def __init__(
        self,
        make_clients: Callable[[], EngineClients],
        access: AccessControl,
        limits: Limits,
        on_defect: Callable[[str], None],
        notifier: Notifier | None = None,
    ) -> None:
        self._notifier = notifier
        self._make_clients, self._access, self._limits, self._on_defect = make_clients, access, limits, on_defect
        self._memory = BodyMemory(limits.bodies_bytes)
        self._clients: EngineClients | None = None
        self._n_handled = 0
        self._inner = Starlette(
            lifespan=self._lifespan,
            routes=[],
            exception_handlers={HTTPException: self._no_route},  # type: ignore[dict-item]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        origin = Headers(scope=scope).get("origin")
        send = _with_headers(send, response_headers(origin, self._access.origins))
        exchange = Exchange(scope, receive, send, limits=self._limits, memory=self._memory)
        try:
            async with self._errors_as_responses(exchange):
                asks_leave = bool(self._access.origins) and is_preflight(scope["method"], exchange.headers)
                # A browser sends no token with a preflight request, and none for the page that says what this is.
                needs_token = not (asks_leave or scope["path"] == "/")
                access = self._access if needs_token else replace(self._access, is_token=None)
                access.check(scope["path"], exchange.headers, exchange.headers.getlist("host"))
                if asks_leave:
                    await exchange.send_bytes(204, b"", "text/plain", preflight_headers(exchange.headers))
                    return
                await self._inner(scope, receive, send)
        finally:
            exchange.close()

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        clients = self._clients = self._make_clients()
        chat, models, tasks, health = Chat(clients), Models(clients), Tasks(clients), Health(clients)
        app.router.routes.extend(
            [
                self._route("/", GET=index),
                self._route("/v1/chat/completions", POST=chat.chat),
                self._route("/v1/completions", POST=chat.completion),
                self._route("/v1/embeddings", POST=Embeddings(clients).create),
                self._route("/v1/models", GET=models.list_models),
                self._route("/v1/models/{model:path}", GET=models.describe),
                self._route("/v1/tasks", GET=tasks.list_tasks),
                self._route("/v1/tasks/{task}", GET=tasks.describe, POST=tasks.run),
                self._route("/openapi.json", GET=_describe),
                self._route("/health", GET=health.health),
                self._route("/metrics", GET=health.metrics),
            ]
        )
        background = [asyncio.create_task(clients.keep_model_loaded())]
        if self._notifier is not None:
            background.append(asyncio.create_task(_notify_watchdog(self._notifier, clients, health)))
        try:
            yield
        finally:
            for task in background:
                task.cancel()
            await asyncio.wait(background)
            clients.close()

    def _route(self, path: str, **handlers: Callable[[Exchange], Awaitable[None]]) -> Route:
        # One route per path: with several, the Allow header of a 405 would name only the first one's methods.
        return Route(path, _Endpoint(self, path, handlers), methods=list(handlers))

    async def handle(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        path: str,
        handler: Callable[[Exchange], Awaitable[None]],
    ) -> None:
        """Run one endpoint and count its status."""
        exchange = Exchange(scope, receive, send, limits=self._limits, memory=self._memory)
        try:
            async with self._errors_as_responses(exchange):
                await handler(exchange)
        finally:
            exchange.close()
            if self._clients is not None:
                self._clients.metrics.requests.labels(path, str(exchange.status or 499)).inc()
            self._n_handled += 1
            if self._n_handled % _TRIM_MEMORY_EVERY == 0:
                release_memory()

    @contextlib.asynccontextmanager
    async def _errors_as_responses(self, exchange: Exchange) -> AsyncIterator[None]:
        """Answer errors with an error response, unless a response has begun."""
        try:
            try:
                yield
            except ClientDisconnectedError:
                return
            except ApiError as error:
                await self._send_error(exchange, error)
            except EdgechatError as error:
                answer = api_error(error)
                if answer.status == 500:
                    self._on_defect(traceback.format_exc())
                await self._send_error(exchange, answer)
            except Exception:  # noqa: BLE001 - a defect costs one answer; its traceback goes to the log, not to the client
                self._on_defect(traceback.format_exc())
                await self._send_error(
                    exchange, ApiError(500, "This is a defect in edgechat.", "server_error", "defect")
                )
        except ClientDisconnectedError:
            return

    async def _send_error(self, exchange: Exchange, error: ApiError) -> None:
        if not exchange.status:
            await exchange.send_json(error.status, error.body(), error.headers)

    async def _no_route(self, request: Request, error: HTTPException) -> ASGIApp:
        if error.status_code == 405:
            answer = ApiError(
                405, f"{request.url.path} does not take the method {request.method}.", code="method_not_allowed"
            )
        else:
            answer = ApiError(error.status_code, f"There is nothing at {request.url.path}.", code="not_found")
        headers = {**(error.headers or {}), **answer.headers}

        async def respond(scope: Scope, receive: Receive, send: Send) -> None:
            exchange = Exchange(scope, receive, send, limits=self._limits, memory=self._memory)
            with contextlib.suppress(ClientDisconnectedError):
                await exchange.send_json(answer.status, answer.body(), dict(headers))

        return respond


def _with_headers(send: Send, headers: dict[str, str]) -> Send:
    """``send`` with further headers in the response, whoever makes it."""
    if not headers:
        return send
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]

    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *pairs]}
        await send(message)

    return send_with


async def _describe(exchange: Exchange) -> None:
    """``GET /openapi.json``."""
    await exchange.send_json(200, description())


class _Endpoint:
    """The handlers of one path as an ASGI application, so that they get ``receive`` and ``send``."""

    def __init__(self, app: Application, path: str, handlers: dict[str, Callable[[Exchange], Awaitable[None]]]) -> None:
        self._app, self._path, self._handlers = app, path, handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        await self._app.handle(scope, receive, send, self._path, self._handlers[method])


async def _notify_watchdog(notifier: Notifier, clients: EngineClients, health: Health) -> None:
    """Send systemd a status and the watchdog signal three times per watchdog interval. Never returns.

    The signal is left out while the engine does not answer, so that systemd restarts a server whose engine hangs.
    """
    interval_s = notifier.watchdog_s / 3 if notifier.watchdog_s else _STATUS_INTERVAL_S
    while True:
        try:
            await clients.engine()
        except EdgechatError as error:
            notifier.status(f"The engine hangs: {error}")
        else:
            status, reason, *_ = await health.state()
            text = f"{status}, {clients.queue.running} running, {clients.queue.waiting} waiting"
            notifier.alive(f"{text}. {reason}" if reason else text)
        await asyncio.sleep(interval_s)
