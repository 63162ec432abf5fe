"""The terminal UI in a browser: textual-serve behind this room's guard, with pages that fetch nothing from elsewhere.

Each tab is an app process of its own. Knows nothing of what the app shows.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shlex
import signal
import sys
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web
from textual_serve.server import Server

from edgechat.errors import StateError
from edgechat.serve.http.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edgechat.serve.http.authentication import Guard

PAGES = Path(__file__).with_name("pages")
MOST_TABS = 4
"""Open at once: each is a Python process of some 80 MB."""
_MOST_SESSIONS = 64
_GRACE_S = 3.0
_HEADERS = {
    # What a page of this server may load and reach: this server.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "font-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_OPEN = ("/login", "/pages/page.css")
"""What answers without a token: the page that asks for it."""


class Sessions:
    """Browsers that have shown the token: a browser cannot send it with every request, so it gets a cookie instead.

    The cookie is a random name for the token that was shown, kept in memory alone. When the token changes, what was
    shown is none any more.
    """

    def __init__(self) -> None:
        self._shown: OrderedDict[str, str] = OrderedDict()

    def begin(self, token: str) -> str:
        """A cookie for a token that was found right."""
        cookie = secrets.token_urlsafe(32)
        self._shown[cookie] = token
        while len(self._shown) > _MOST_SESSIONS:
            self._shown.popitem(last=False)
        return cookie

    def token(self, cookie: str) -> str | None:
        """The token that this cookie stands for."""
        return self._shown.get(cookie)


class BrowserServer(Server):  # type: ignore[misc, unused-ignore]  # textual-serve may or may not carry types
    """Serves the app.

    Args:
        host: the address or name to listen on.
        port: 0 takes any free one.
        near: checks Host and Origin, and no token: for the page that asks for it.
        guard: checks everything.
    """

    def __init__(self, host: str, port: int, near: Guard, guard: Guard) -> None:
        # `exec`: the process that textual-serve ends must be the app and not a shell around it.
        command = "exec " + shlex.join([sys.executable, "-m", "edgechat.tui"])
        super().__init__(command, host=host, port=port, title="edgechat")
        self._near, self._guard = near, guard
        self._sessions = Sessions()
        self._open: set[asyncio.Task[object]] = set()

    async def run(self, on_listening: Callable[[str, int], None]) -> int | None:
        """Serve until a signal says to stop; its number.

        Args:
            on_listening: gets the address and the port, once connections are accepted.

        Raises:
            StateError: the address cannot be had.
        """
        stopped: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def stop(number: int) -> None:
            if not stopped.done():
                stopped.set_result(number)

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop, number)
        runner = web.AppRunner(await self._make_app(), access_log=None, shutdown_timeout=_GRACE_S)
        await runner.setup()
        try:
            await self._listen(runner)
            on_listening(*runner.addresses[0][:2])
            return await stopped
        finally:
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> None:
        try:
            await web.TCPSite(runner, self.host, self.port).start()
        except OSError as error:
            raise StateError(
                f"Cannot listen on {self.host} port {self.port}: {error.strerror or error}.",
                hint="Choose another with --host or --port.",
            ) from error

    async def _make_app(self) -> web.Application:
        app = web.Application(middlewares=[self._checked])
        app.add_routes(
            [
                web.get("/", self._index),
                web.get("/login", self._login_page),
                web.post("/login", self._login),
                web.get("/ws", self._tab),
                web.get("/download/{key}", self.handle_download),
                web.static("/static", self.statics_path),
                web.static("/pages", PAGES),
            ]
        )
        app.on_shutdown.append(self._end_tabs)
        return app

    @web.middleware
    async def _checked(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        is_open = request.path in _OPEN
        headers = {name.lower(): value for name, value in request.headers.items()}
        token = self._sessions.token(request.cookies.get(self._cookie(request), ""))
        if token is not None and "authorization" not in headers:
            headers["authorization"] = f"Bearer {token}"
        try:
            (self._near if is_open else self._guard).check(request.path, headers, request.headers.getall("Host", ()))
            answer = await handler(request)
        except Fault as fault:
            if fault.status == 401 and request.path == "/":
                answer = web.Response(status=303, headers={"Location": "/login"})
            else:
                answer = web.Response(status=fault.status, text=fault.message + "\n", headers=fault.headers)
        except web.HTTPException as error:
            error.headers.update(_HEADERS)
            raise
        if not answer.prepared:
            answer.headers.update(_HEADERS)
        return answer

    async def _index(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(PAGES / "terminal.html")

    async def _login_page(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(PAGES / "login.html")

    async def _login(self, request: web.Request) -> web.StreamResponse:
        given = (await request.post()).get("token", "")
        token = given.strip() if isinstance(given, str) else ""
        if self._guard.is_token is None or not self._guard.is_token(token):
            raise Fault(401, "The token is wrong. Go back and try again.", "authentication_error")
        answer = web.Response(status=303, headers={"Location": "/"})
        name, cookie = self._cookie(request), self._sessions.begin(token)
        # Not `secure`: over plain HTTP it would never come back. The banner says what that means.
        answer.set_cookie(name, cookie, httponly=True, samesite="Strict", path="/", secure=request.secure)
        return answer

    def _cookie(self, request: web.Request) -> str:
        # Cookies are shared by all ports of a machine: two servers on one must not take each other's away.
        port = (request.transport.get_extra_info("sockname") or ("", 0))[1] if request.transport else 0
        return f"edgechat-{port}"

    async def _tab(self, request: web.Request) -> web.StreamResponse:
        if len(self._open) >= MOST_TABS:
            raise Fault(503, f"{MOST_TABS} tabs are open already; close one.", "server_error", "busy")
        own = asyncio.current_task()
        assert own is not None  # noqa: S101 - it is running
        self._open.add(own)
        try:
            return await self.handle_websocket(request)
        finally:
            self._open.discard(own)

    async def _end_tabs(self, _app: web.Application) -> None:
        tabs = tuple(self._open)
        for tab in tabs:
            tab.cancel()
        if tabs:
            await asyncio.wait(tabs, timeout=_GRACE_S)


def serve_in_browser(
    host: str, port: int, near: Guard, guard: Guard, on_listening: Callable[[str, int], None]
) -> int | None:
    """Serve until a signal says to stop; its number. Arguments as for :class:`BrowserServer`.

    Raises:
        StateError: the address cannot be had.
    """
    logging.getLogger("textual-serve").setLevel(logging.ERROR)
    return asyncio.run(BrowserServer(host, port, near, guard).run(on_listening))
