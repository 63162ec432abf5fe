"""The ASGI application: routes, the guard before them, and errors as OpenAI's clients expect them."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from edgechat.errors import EdgechatError
from edgechat.garbage_collector import release_memory
from edgechat.serve.endpoints.chat import Chat
from edgechat.serve.endpoints.embeddings import Embeddings
from edgechat.serve.endpoints.health import Health
from edgechat.serve.endpoints.tasks import TaskRuns
from edgechat.serve.http.errors import Fault, fault_of
from edgechat.serve.http.exchange import ClientGoneError, Exchange, Limits, Memory
from edgechat.serve.openai.openapi import description
from edgechat.serve.watchdog import beat

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from edgechat.serve.engine_clients import Service
    from edgechat.serve.http.authentication import Guard
    from edgechat.service.notify import Notifier


_TIDY_EVERY = 64
"""Requests after which memory is given back, so that a server that was crowded is as small as before."""


class Application:
    """Everything between the HTTP server and the engine.

    Args:
        make_service: called once, inside the running event loop.
        guard: who may ask.
        limits: what a request may cost.
        on_defect: gets the traceback of an error that nobody foresaw.
        notifier: the supervisor that is told how it goes, if there is one.
    """

    def __init__(
        self,
        make_service: Callable[[], Service],
        guard: Guard,
        limits: Limits,
        on_defect: Callable[[str], None],
        notifier: Notifier | None = None,
    ) -> None:
        self._notifier = notifier
        self._make_service, self._guard, self._limits, self._on_defect = make_service, guard, limits, on_defect
        self._memory = Memory(limits.bodies_bytes)
        self._service: Service | None = None
        self._routes: ASGIApp | None = None
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
        exchange = Exchange(scope, receive, send, limits=self._limits, memory=self._memory)
        try:
            async with self._answering(exchange):
                self._guard.check(scope["path"], exchange.headers, exchange.headers.getlist("host"))
                await self._inner(scope, receive, send)
        finally:
            exchange.close()

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        service = self._service = self._make_service()
        chat, tasks, health = Chat(service), TaskRuns(service), Health(service)
        app.router.routes.extend(
            [
                self._route("/v1/chat/completions", POST=chat.chat),
                self._route("/v1/completions", POST=chat.completion),
                self._route("/v1/embeddings", POST=Embeddings(service).create),
                self._route("/v1/models", GET=chat.models),
                self._route("/v1/models/{model:path}", GET=chat.model),
                self._route("/v1/tasks", GET=tasks.listed),
                self._route("/v1/tasks/{task}", GET=tasks.shown, POST=tasks.run),
                self._route("/openapi.json", GET=_describe),
                self._route("/health", GET=health.health),
                self._route("/metrics", GET=health.metrics),
            ]
        )
        chores = [asyncio.create_task(service.keep_well())]
        if self._notifier is not None:
            chores.append(asyncio.create_task(beat(self._notifier, service, health)))
        try:
            yield
        finally:
            for chore in chores:
                chore.cancel()
            await asyncio.wait(chores)
            service.close()

    def _route(self, path: str, **handlers: Callable[[Exchange], Awaitable[None]]) -> Route:
        # One route a path: of several, only the first one's methods would be told to whoever used another.
        return Route(path, _Endpoint(self, path, handlers), methods=list(handlers))

    async def handle(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        path: str,
        handler: Callable[[Exchange], Awaitable[None]],
    ) -> None:
        """Run one endpoint and count how it ended."""
        exchange = Exchange(scope, receive, send, limits=self._limits, memory=self._memory)
        try:
            async with self._answering(exchange):
                await handler(exchange)
        finally:
            exchange.close()
            if self._service is not None:
                self._service.metrics.requests.labels(path, str(exchange.status or 499)).inc()
            self._n_handled += 1
            if self._n_handled % _TIDY_EVERY == 0:
                release_memory()

    @contextlib.asynccontextmanager
    async def _answering(self, exchange: Exchange) -> AsyncIterator[None]:
        """Turn whatever goes wrong into a response, while there is still one to be given."""
        try:
            try:
                yield
            except ClientGoneError:
                return
            except Fault as fault:
                await self._refuse(exchange, fault)
            except EdgechatError as error:
                answer = fault_of(error)
                if answer.status == 500:
                    self._on_defect(traceback.format_exc())
                await self._refuse(exchange, answer)
            except Exception:  # noqa: BLE001 - a defect must cost one answer, and be told to the owner, not the client
                self._on_defect(traceback.format_exc())
                await self._refuse(exchange, Fault(500, "This is a defect in edgechat.", "server_error", "defect"))
        except ClientGoneError:
            return

    async def _refuse(self, exchange: Exchange, fault: Fault) -> None:
        if not exchange.status:
            await exchange.answer(fault.status, fault.body(), fault.headers)

    async def _no_route(self, request: Request, error: HTTPException) -> ASGIApp:
        if error.status_code == 405:
            fault = Fault(405, f"{request.method} is not what {request.url.path} takes.", code="method_not_allowed")
        else:
            fault = Fault(error.status_code, f"There is nothing at {request.url.path}.", code="not_found")
        headers = {**(error.headers or {}), **fault.headers}

        async def respond(scope: Scope, receive: Receive, send: Send) -> None:
            exchange = Exchange(scope, receive, send, limits=self._limits, memory=self._memory)
            with contextlib.suppress(ClientGoneError):
                await exchange.answer(fault.status, fault.body(), dict(headers))

        return respond


async def _describe(exchange: Exchange) -> None:
    """``GET /openapi.json``."""
    await exchange.answer(200, description())


class _Endpoint:
    """One path's handlers as an ASGI application of their own, which is how they keep ``receive`` and ``send``."""

    def __init__(self, app: Application, path: str, handlers: dict[str, Callable[[Exchange], Awaitable[None]]]) -> None:
        self._app, self._path, self._handlers = app, path, handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        await self._app.handle(scope, receive, send, self._path, self._handlers[method])
