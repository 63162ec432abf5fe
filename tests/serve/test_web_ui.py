"""``edgechat tui --web`` as a browser meets it: pages, guard, token, and an app process behind the socket."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import psutil
import pytest

from edgechat.paths import Paths
from edgechat.serve.http.token import Token
from edgechat.serve.web_ui import PAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.process


@contextmanager
def served(*arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "edgechat", "tui", "--web", "--port", "0", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            found = re.search(r"http://\S+/", said)
            assert found, said + process.stderr.read()
            process.login = login_address(process) if "--no-token" not in arguments else ""  # type: ignore[attr-defined]
            yield found[0], process
        finally:
            process.kill()


def login_address(process: subprocess.Popen[str]) -> str:
    """The one-time address, as it stands on the terminal."""
    assert process.stderr is not None
    address = ""
    while "once" not in address or "http" not in address:
        address += process.stderr.readline().strip()
    found = re.search(r"http://\S+once=\S+", address)
    assert found, address
    return found[0]


def apps_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


async def shown(session: aiohttp.ClientSession, url: str, word: bytes) -> bytes:
    """What arrives on the socket until ``word`` does."""
    seen = b""
    async with session.ws_connect(f"{url}ws?width=80&height=24", timeout=aiohttp.ClientWSTimeout(ws_close=10)) as tab:
        while word not in seen:
            message = await tab.receive(timeout=60)
            assert message.type == aiohttp.WSMsgType.BINARY, message
            seen += message.data
    return seen


@pytest.mark.process
def test_a_tab_shows_the_app_and_ends_with_it() -> None:
    async def story(url: str, process: subprocess.Popen[str]) -> None:
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as page:
                assert page.status == 200
                assert "default-src 'none'" in page.headers["Content-Security-Policy"]
            assert b"Everything you write" in await shown(session, url, b"stays on this machine")
        end = time.monotonic() + 20
        while apps_of(process):
            assert time.monotonic() < end, "the app outlived its tab"
            await asyncio.sleep(0.1)

    with served("--no-token") as (url, process):
        asyncio.run(story(url, process))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143


@pytest.mark.process
def test_an_app_ends_when_its_server_was_killed() -> None:
    async def story(url: str, process: subprocess.Popen[str]) -> list[psutil.Process]:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}ws") as tab:
            await tab.receive_bytes()
            apps = apps_of(process)
            process.kill()
            return apps

    with served("--no-token") as (url, process):
        apps = asyncio.run(story(url, process))
        assert apps
        _, alive = psutil.wait_procs(apps, 20)
        assert alive == []


@pytest.mark.process
def test_strange_hosts_and_pages_are_turned_away() -> None:
    async def story(url: str) -> None:
        async with aiohttp.ClientSession() as session:
            for path, headers in (
                ("", {"Host": "evil.example"}),
                ("ws", {"Origin": "http://evil.example"}),
                ("", {"Sec-Fetch-Site": "cross-site"}),
            ):
                async with session.get(url + path, headers=headers) as answer:
                    assert answer.status == 403
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(f"{url}ws", origin="http://evil.example")
            async with session.get(f"{url}static/") as answer:
                assert answer.status in {403, 404}

    with served("--no-token") as (url, _):
        asyncio.run(story(url))


@pytest.mark.process
def test_with_a_token_nothing_but_the_question_for_it_is_shown() -> None:
    paths = Paths.from_env()

    async def story(url: str) -> None:
        token = Token(paths).file.read_text().strip()
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            async with session.get(url, allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (303, "/login")
            for path in ("ws", "static/js/textual.js", "pages/page.js", "download/x"):
                async with session.get(url + path) as answer:
                    assert answer.status == 401
            async with session.post(f"{url}login", data={"token": "wrong" * 10}) as answer:
                assert answer.status == 401
            async with session.post(f"{url}login", data={"token": token}, headers={"Origin": "http://evil"}) as answer:
                assert answer.status == 403
            async with session.post(f"{url}login", data={"token": token}) as answer:
                assert answer.status == 200
                assert "terminal" in await answer.text()
                cookie = answer.history[0].headers["Set-Cookie"]
            assert token not in cookie
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert b"Everything" in await shown(session, url, b"Everything you write")
            Token(paths).rotate()
            async with session.get(url, allow_redirects=False) as answer:
                assert answer.status == 303

    with served("--token") as (url, _):
        asyncio.run(story(url))


@pytest.mark.process
def test_another_address_demands_the_token() -> None:
    async def story(url: str) -> None:
        async with aiohttp.ClientSession() as session, session.get(url, allow_redirects=False) as answer:
            assert answer.status == 303

    with served("--host", "0.0.0.0") as (url, process):
        asyncio.run(story(url))
        process.kill()
        assert process.stderr is not None
        assert "Beware" in process.stderr.read()


@pytest.mark.process
def test_no_more_tabs_than_a_board_can_hold() -> None:
    async def story(url: str) -> None:
        async with aiohttp.ClientSession() as session:
            tabs = [await session.ws_connect(f"{url}ws") for _ in range(4)]
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{url}ws")
            assert refused.value.status == 503
            for tab in tabs:
                await tab.close()

    with served("--no-token") as (url, _):
        asyncio.run(story(url))


def test_the_pages_name_no_other_machine() -> None:
    for page in Path(PAGES).iterdir():
        text = page.read_text()
        assert not re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", text), page
        assert "document.cookie" not in text


def test_without_logging_in_nobody_gets_a_tab() -> None:
    """Another user of the machine opened the web socket and read the owner's files through it."""

    async def story(url: str) -> None:
        async with aiohttp.ClientSession() as session:
            async with session.get(url, allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (303, "/login")
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{url}ws")
            assert refused.value.status == 401

    with served() as (url, process):
        asyncio.run(story(url))
        assert apps_of(process) == []


def test_the_printed_address_logs_one_browser_in_once() -> None:
    async def story(url: str, login: str) -> None:
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            async with session.get(login[:-1], allow_redirects=False) as wrong:
                assert wrong.status == 401
            async with session.get(login) as answer:
                assert answer.status == 200
                cookie = answer.history[0].headers["Set-Cookie"]
                assert "HttpOnly" in cookie
                assert "SameSite=Strict" in cookie
                assert "expires" not in cookie.lower()
            assert b"Everything" in await shown(session, url, b"Everything you write")
        async with aiohttp.ClientSession() as other, other.get(login, allow_redirects=False) as again:
            assert again.status == 401

    with served() as (url, process):
        login = process.login  # type: ignore[attr-defined]
        asyncio.run(story(url, login))
        assert login_address(process) != login, "the next browser has an address of its own"


def test_a_session_ends_with_the_process() -> None:
    async def cookie_of(login: str) -> str:
        async with aiohttp.ClientSession() as session, session.get(login, allow_redirects=False) as answer:
            return answer.headers["Set-Cookie"].partition(";")[0].partition("=")[2]

    async def status(url: str, cookie: str) -> int:
        port = url.rstrip("/").rpartition(":")[2]
        headers = {"Cookie": f"edgechat-{port}={cookie}"}
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers=headers, allow_redirects=False) as answer,
        ):
            return answer.status

    with served() as (url, process):
        cookie = asyncio.run(cookie_of(process.login))  # type: ignore[attr-defined]
        assert asyncio.run(status(url, cookie)) == 200
    with served() as (url, _):
        assert asyncio.run(status(url, cookie)) == 303


def test_no_token_is_for_this_machine_only() -> None:
    command = [sys.executable, "-m", "edgechat", "tui", "--web", "--no-token", "--host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "loopback only" in done.stderr) == (2, True)
