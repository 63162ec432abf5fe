"""The terminal UI in a browser: textual-serve behind access control, with pages that load only local files.

Each browser tab runs a process of its own.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import shlex
import signal
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web
from textual_serve.server import Server

from edgechat.engine.child.interpreter import python_command
from edgechat.errors import StateError
from edgechat.serve.http.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edgechat.serve.http.authentication import AccessControl

PAGES = Path(__file__).with_name("pages")
MAX_TABS = 4
"""Open tabs; each is a Python process of about 80 MB."""
_MAX_SESSIONS = 64
_SHUTDOWN_TIMEOUT_S = 3.0
_HEADERS = {
    # Pages may load from and connect to this server only.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "font-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_PATHS_WITHOUT_TOKEN = ("/login", "/pages/page.css")
"""The page that asks for the token, and its style sheet."""


class Sessions:
    """The browsers that have logged in. A browser cannot send the token with every request, so it gets a cookie.

    The cookie is a random key for the token, kept only in memory. When the token changes, the session ends, because the
    kept token is no longer valid.
    """

    def __init__(self) -> None:
        self._token_by_cookie: OrderedDict[str, str] = OrderedDict()

    def begin(self, token: str) -> str:
        """Create a cookie for a token that was checked."""
        cookie = secrets.token_urlsafe(32)
        self._token_by_cookie[cookie] = token
        while len(self._token_by_cookie) > _MAX_SESSIONS:
            self._token_by_cookie.popitem(last=False)
        return cookie

    def token(self, cookie: str) -> str | None:
        """The token that belongs to a cookie, or None."""
        return self._token_by_cookie.get(cookie)


class OneTimeLogin:
    """The address that logs one browser in. It is printed on the terminal, works once, and ends with the process.

    Args:
        token: reads the server's token, which the browser's session then stands for.
    """

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token
        self._key = ""
        self.on_new: Callable[[str], None] = lambda _path: None
        """Gets the path of each new address."""

    def renew(self) -> None:
        """Make a new address; the one before it no longer works."""
        self._key = secrets.token_urlsafe(32)
        self.on_new(f"/login?once={self._key}")

    def use(self, key: str) -> str | None:
        """The token, when ``key`` is that of the address; a new address is made then."""
        if not self._key or not hmac.compare_digest(self._key.encode(), key.encode("utf-8", "surrogateescape")):
            return None
        self._key = ""
        token = self._token()
        self.renew()
        return token


class WebUiServer(Server):  # type: ignore[misc, unused-ignore]  # textual-serve may or may not carry types
    """Serves the app.

    Args:
        host: the address or name to listen on.
        port: 0 chooses a free port.
        access: the access rules; the login page is exempt from the token.
        login: the one-time address; None where no token is needed.
    """

    def __init__(self, host: str, port: int, access: AccessControl, login: OneTimeLogin | None = None) -> None:
        # `exec`, because textual-serve must end the app and not a shell around it.
        command = "exec " + shlex.join(python_command("edgechat.tui"))
        super().__init__(command, host=host, port=port, title="edgechat")
        self._access, self._access_without_token = access, replace(access, is_token=None)
        self._sessions = Sessions()
        self._once = login
        self._tabs: set[asyncio.Task[object]] = set()

    async def run(self, on_listening: Callable[[str, int], None]) -> int | None:
        """Serve until SIGINT or SIGTERM, and return the signal's number.

        Raises:
            StateError: the address cannot be used.
        """
        stopped: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def stop(number: int) -> None:
            if not stopped.done():
                stopped.set_result(number)

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop, number)
        runner = web.AppRunner(await self._make_app(), access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT_S)
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
        is_open = request.path in _PATHS_WITHOUT_TOKEN
        headers = {name.lower(): value for name, value in request.headers.items()}
        token = self._sessions.token(request.cookies.get(self._cookie(request), ""))
        if token is not None and "authorization" not in headers:
            headers["authorization"] = f"Bearer {token}"
        try:
            (self._access_without_token if is_open else self._access).check(
                request.path, headers, request.headers.getall("Host", ())
            )
            answer = await handler(request)
        except ApiError as error:
            if error.status == 401 and request.path == "/":
                answer = web.Response(status=303, headers={"Location": "/login"})
            else:
                answer = web.Response(status=error.status, text=error.message + "\n", headers=error.headers)
        except web.HTTPException as failure:
            failure.headers.update(_HEADERS)
            raise
        if not answer.prepared:
            answer.headers.update(_HEADERS)
        return answer

    async def _index(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(PAGES / "terminal.html")

    async def _login_page(self, request: web.Request) -> web.StreamResponse:
        if (key := request.query.get("once")) is not None:
            token = None if self._once is None else self._once.use(key)
            if token is None:
                raise ApiError(
                    401,
                    "This address was used already, or is old. The terminal shows the next.",
                    "authentication_error",
                )
            return self._begin_session(request, token)
        return web.FileResponse(PAGES / "login.html")

    async def _login(self, request: web.Request) -> web.StreamResponse:
        given = (await request.post()).get("token", "")
        token = given.strip() if isinstance(given, str) else ""
        if self._access.is_token is None or not self._access.is_token(token):
            raise ApiError(401, "The token is wrong. Go back and try again.", "authentication_error")
        return self._begin_session(request, token)

    def _begin_session(self, request: web.Request, token: str) -> web.StreamResponse:
        answer = web.Response(status=303, headers={"Location": "/"})
        name, cookie = self._cookie(request), self._sessions.begin(token)
        # Not always `secure`: over plain HTTP the browser would never send it back. The command prints a warning.
        answer.set_cookie(name, cookie, httponly=True, samesite="Strict", path="/", secure=request.secure)
        return answer

    def _cookie(self, request: web.Request) -> str:
        # Cookies are shared by all ports of a machine, so the name must differ between two servers.
        port = (request.transport.get_extra_info("sockname") or ("", 0))[1] if request.transport else 0
        return f"edgechat-{port}"

    async def _tab(self, request: web.Request) -> web.StreamResponse:
        if len(self._tabs) >= MAX_TABS:
            raise ApiError(503, f"{MAX_TABS} tabs are open already; close one.", "server_error", "busy")
        own = asyncio.current_task()
        assert own is not None  # noqa: S101 - a coroutine always runs in a task
        self._tabs.add(own)
        try:
            return await self.handle_websocket(request)
        finally:
            self._tabs.discard(own)

    async def _end_tabs(self, _app: web.Application) -> None:
        tabs = tuple(self._tabs)
        for tab in tabs:
            tab.cancel()
        if tabs:
            await asyncio.wait(tabs, timeout=_SHUTDOWN_TIMEOUT_S)


def serve_in_browser(
    host: str,
    port: int,
    access: AccessControl,
    on_listening: Callable[[str, int], None],
    login: OneTimeLogin | None = None,
) -> int | None:
    """Serve until SIGINT or SIGTERM, and return the signal's number. Arguments as for :class:`WebUiServer`.

    Raises:
        StateError: the address cannot be used.
    """
    logging.getLogger("textual-serve").setLevel(logging.ERROR)
    return asyncio.run(WebUiServer(host, port, access, login).run(on_listening))
