#!/usr/bin/env python3
"""Asks the terminal UI a question in a real headless Chromium, and watches what the page asks the network for.

scripts/drills/browser.py URL PICTURE.png [--token TOKEN] [--question TEXT] [--wait SECONDS]

Prints every address that was requested, what was refused or failed, and what the browser's console said; exits 1 when
one of the addresses is not the server's own. The picture is to be looked at.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import itertools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

SIZE = (1280, 800)


class Browser:
    """Chromium's debugging protocol, as far as it is needed here."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.requested: list[str] = []
        self.said: list[str] = []

    async def listen(self) -> None:
        """Take down what happens, until the connection ends."""
        async for message in self._socket:
            frame = message.json()
            if "id" in frame:
                self._waiting.pop(frame["id"]).set_result(frame)
            elif frame["method"] == "Network.requestWillBeSent":
                self.requested.append(frame["params"]["request"]["url"])
            elif frame["method"] == "Network.webSocketCreated":
                self.requested.append(frame["params"]["url"])
            elif frame["method"] == "Network.loadingFailed":
                self.said.append(
                    f"failed: {frame['params'].get('errorText')} {frame['params'].get('blockedReason', '')}"
                )
            elif frame["method"] in {"Log.entryAdded", "Runtime.exceptionThrown"}:
                self.said.append(str(frame["params"])[:300])

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        """Call one method; its result."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        answer = await asyncio.wait_for(self._waiting[number], 30)
        result: dict[str, Any] = answer.get("result", {})
        return result

    async def type(self, text: str) -> None:
        """Press a key for each letter; a carriage return is Enter."""
        for letter in text:
            key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13} if letter == "\r" else {"key": letter}
            await self.call("Input.dispatchKeyEvent", type="keyDown", text=letter, **key)
            await self.call("Input.dispatchKeyEvent", type="keyUp", **key)
            await asyncio.sleep(0.03)

    async def press(self, key: str, code: int) -> None:
        """Press a key that writes nothing, an F key say."""
        for kind in ("rawKeyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    async def picture(self, path: Path) -> None:
        """What is on the page now."""
        shot = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))


async def drill(url: str, picture: Path, token: str, question: str, wait_s: float) -> int:
    """Open, ask, wait, look."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        sys.exit("There is no chromium here.")
    with tempfile.TemporaryDirectory() as profile:
        command = [
            *(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-dev-shm-usage", f"--user-data-dir={profile}"),
            *("--remote-debugging-port=0", f"--window-size={SIZE[0]},{SIZE[1]}", "about:blank"),
        ]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                return await _with(Path(profile), url, picture, typed=(token, question), wait_s=wait_s)
            finally:
                process.terminate()


async def _with(profile: Path, url: str, picture: Path, *, typed: tuple[str, str], wait_s: float) -> int:
    token, question = typed
    told = profile / "DevToolsActivePort"
    while not told.exists() or not told.read_text().strip():
        await asyncio.sleep(0.1)
    port = told.read_text().split()[0]
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/json") as answer:
            pages = await answer.json()
        place = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        async with session.ws_connect(place, max_msg_size=0) as socket:
            browser = Browser(socket)
            listening = asyncio.create_task(browser.listen())
            for domain in ("Network", "Page", "Log", "Runtime"):
                await browser.call(f"{domain}.enable")
            await browser.call("Page.navigate", url=url)
            await asyncio.sleep(3)
            if token:
                await browser.type(f"{token}\r")
                await asyncio.sleep(3)
            await asyncio.sleep(3)
            await browser.type(question + "\r")
            await asyncio.sleep(wait_s)
            await browser.picture(picture)
            for number, key in ((3, 114), (4, 115), (5, 116)):
                await browser.press(f"F{number}", key)
                await asyncio.sleep(3)
                await browser.picture(picture.with_stem(f"{picture.stem}-f{number}"))
                await browser.press("Escape", 27)
                await asyncio.sleep(0.5)
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
    own = urlsplit(url).netloc
    strange = [each for each in browser.requested if urlsplit(each).netloc != own and not each.startswith("data:")]
    print("\n".join(["requested:", *browser.requested, "said:", *browser.said, f"strange: {strange or 'none'}"]))
    return 1 if strange else 0


def main() -> int:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--token", default="")
    parser.add_argument("--question", default="Name three uses of a Raspberry Pi.")
    parser.add_argument("--wait", type=float, default=20.0)
    given = parser.parse_args()
    return asyncio.run(drill(given.url, given.picture, given.token, given.question, given.wait))


if __name__ == "__main__":
    sys.exit(main())
