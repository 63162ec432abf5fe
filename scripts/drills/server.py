"""A real ``edgechat serve`` on loopback in a home of its own, for scripts that drive it from outside. Knows no load."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx2 as httpx
import psutil

from edgechat.engine.client import client
from edgechat.paths import Paths

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self


class Served:
    """The server process; leave its ``with`` block to stop it and its engine.

    Args:
        home: becomes ``EDGECHAT_HOME``.
        arguments: further ones for ``edgechat serve``.
    """

    def __init__(self, home: Path, *arguments: str) -> None:
        # Ended from outside, a script still leaves its `with` blocks, and no server stays behind.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        home.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "EDGECHAT_HOME": str(home)}
        self.home, self.paths = home, Paths.from_env(env)
        self.said = home / "server.said"
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edgechat", "serve", "--port", "0", *arguments],
                env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            )  # fmt: skip
        self.url = self._wait_for_address()
        self.seen = psutil.Process(self.process.pid)

    def _wait_for_address(self, patience_s: float = 60) -> str:
        until = time.monotonic() + patience_s
        while time.monotonic() < until and self.process.poll() is None:
            if found := re.search(r"(http://\S+)/v1", self.said.read_text("utf-8", "replace")):
                return found[1]
            time.sleep(0.05)
        raise SystemExit(f"The server did not start: {self.said.read_text('utf-8', 'replace')}")

    def http(self, timeout_s: float = 120) -> httpx.Client:
        """A client of it."""
        return httpx.Client(base_url=self.url, timeout=timeout_s, trust_env=False)

    def wait_ready(self, patience_s: float = 120) -> None:
        """Return when ``/health`` says so."""
        until = time.monotonic() + patience_s
        with self.http() as http:
            while http.get("/health").status_code != 200:
                if time.monotonic() > until:
                    raise SystemExit(f"The server is not ready: {http.get('/health').text}")
                time.sleep(0.05)

    def engine_pid(self) -> int | None:
        """Process id of the engine, if one runs."""
        engines = client.status(self.paths)
        return int(engines[0]["pid"]) if engines else None

    def metrics(self) -> dict[str, float]:
        """Every sample of ``/metrics`` by its name and labels."""
        with self.http() as http:
            lines = [line.rpartition(" ") for line in http.get("/metrics").text.splitlines() if line[:1] != "#"]
        return {name: float(value) for name, _, value in lines}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
        client.stop(self.paths)


def chat(text: str, max_tokens: int = 24, **fields: object) -> dict[str, Any]:
    """Body of a chat request."""
    return {"messages": [{"role": "user", "content": text}], "max_tokens": max_tokens, "temperature": 0, **fields}


def by_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """``response_format`` of an answer that satisfies ``schema``."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


RISK: dict[str, Any] = {
    "type": "object",
    "properties": {
        "level": {"enum": ["low", "medium", "high"]},
        "limiting_factor": {"enum": ["speed", "distance", "weather", "lane_position"]},
        "emergency_braking_needed": {"type": "boolean"},
    },
    "required": ["level", "limiting_factor", "emergency_braking_needed"],
    "additionalProperties": False,
}
"""A schema of the kind that tasks have: names and choices, which leave few tokens to be sampled."""
