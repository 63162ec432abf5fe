"""A real ``edgechat serve`` process on loopback, and what a client of it needs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx2 as httpx

from edgechat.engine.client import client
from edgechat.paths import Paths

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self


class Server:
    """``edgechat serve`` in a home of its own; leave its ``with`` block to stop it and its engine."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.home = home
        self.env = {**os.environ, "EDGECHAT_HOME": str(home)}
        self.paths = Paths.from_env(self.env)
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edgechat", "serve", "--port", "0", *arguments],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._listening.wait(60), self.said
        found = re.search(r"http://(\S+):(\d+)/v1", self.banner)
        assert found, self.said
        self.port = int(found[2])
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    @property
    def banner(self) -> str:
        """What it has said on standard error so far."""
        return "".join(self.said)

    def post(self, path: str, content: Any, **options: Any) -> httpx.Response:
        """A JSON request."""
        return self.http.post(path, json=content, **options)

    def chat(self, text: str = "Say hi.", **fields: Any) -> httpx.Response:
        """One question."""
        return self.post(
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": text}], "max_tokens": 8, "temperature": 0, **fields},
        )

    def wait_ready(self) -> None:
        """Return when /health says so."""
        until = time.monotonic() + 60
        while self.http.get("/health").status_code != 200:
            assert time.monotonic() < until, self.health()
            time.sleep(0.05)

    def health(self) -> dict[str, Any]:
        """What /health says."""
        return dict(self.http.get("/health").json())

    def metric(self, name: str) -> float:
        """One sample of /metrics."""
        lines = self.http.get("/metrics").text.splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.stop()
        self._reader.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()
        client.stop(self.paths)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if line.startswith(("  Access", "  Token")):
                self._listening.set()
        self._listening.set()
