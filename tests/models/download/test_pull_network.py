"""The real environment of a company or a board: its proxy, its TLS roots, and interruptions at random moments."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from edgechat.models.store.installed import find
from tests.hub.proxy import ConnectProxy, company_certificate
from tests.hub.server import Faults, HubServer
from tests.models.store_kit import FILE, REPO, leftovers, random_gguf, sha256

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.paths import Paths

pytestmark = pytest.mark.process

SCRIPT = """
import sys
from edgechat.errors import EdgechatError
from edgechat.models.download.hub import Hub
from edgechat.models.catalog.names import parse_reference
from edgechat.models.download.pull import resolve_repository, pull
from edgechat.models.store.store import Store
from edgechat.paths import Paths
try:
    hub = Hub()
    pull(Store(Paths.from_env()), hub, resolve_repository(hub, parse_reference(sys.argv[1])))
except EdgechatError as error:
    sys.exit(str(error))
except KeyboardInterrupt:
    sys.exit(130)
"""


def start(home: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, REPO],
        env={**os.environ, "EDGECHAT_HOME": str(home), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command to make certificates")
class TestInspectedTls:
    @pytest.fixture
    def inspected(self, tmp_path: Path) -> tuple[Path, tuple[Path, Path]]:
        root, certificate, key = company_certificate(tmp_path, "hub.example", "localhost", "127.0.0.1")
        return root, (certificate, key)

    def pull_through(self, proxy: ConnectProxy, home: Path, **environment: str) -> tuple[int, str]:
        child = start(home, HF_ENDPOINT="https://hub.example", HTTPS_PROXY=proxy.address, **environment)
        _, error = child.communicate(timeout=60)
        return child.returncode, error

    @pytest.mark.process
    def test_an_unknown_root_is_refused_with_the_way_out(
        self, inspected: tuple[Path, tuple[Path, Path]], tmp_path: Path
    ) -> None:
        with HubServer(certificate=inspected[1]) as server, ConnectProxy(server.port) as proxy:
            server.add(REPO, FILE, random_gguf(tmp_path / "model.gguf", 300_000))
            code, error = self.pull_through(proxy, tmp_path / "home")
        assert code == 1
        assert "certificate is not trusted" in error
        assert "SSL_CERT_FILE" in error
        assert server.requests == []

    @pytest.mark.process
    @pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
    def test_the_company_s_root_is_honoured(
        self, variable: str, inspected: tuple[Path, tuple[Path, Path]], tmp_path: Path, paths: Paths
    ) -> None:
        with HubServer(certificate=inspected[1]) as server, ConnectProxy(server.port) as proxy:
            entry = server.add(REPO, FILE, random_gguf(tmp_path / "model.gguf", 300_000))
            code, error = self.pull_through(proxy, tmp_path / "home", **{variable: str(inspected[0])})
        assert (code, error) == (0, "")
        assert find(paths, "tiny-instruct").sha256 == entry.sha256
        assert "hub.example:443" in proxy.asked

    @pytest.mark.process
    def test_a_proxy_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        child = start(tmp_path / "home", HF_ENDPOINT="https://hub.example", HTTPS_PROXY="http://127.0.0.1:9")
        _, error = child.communicate(timeout=60)
        assert child.returncode == 1
        assert "no connection" in error


@pytest.mark.process
def test_interrupted_at_random_moments(tmp_path: Path, paths: Paths, server: HubServer) -> None:
    """Cut connections, kill -9 and Ctrl-C in turn: the right bytes in the end, and hardly any of them twice."""
    chance = random.Random(4)
    entry = server.add(REPO, FILE, random_gguf(tmp_path / "model.gguf", 24_000_000))
    server.faults = Faults(trickle=0.02, drop_at_random=chance)
    interruptions = 12
    for number in range(interruptions):
        if number % 3 == 0:
            server.faults.drops = 1
        child = start(tmp_path / "home", HF_ENDPOINT=server.endpoint)
        asked = len(server.requests)
        while len(server.requests) < asked + 3 and child.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.2)
        child.send_signal(signal.SIGKILL if number % 2 else signal.SIGINT)
        assert "Traceback" not in child.communicate(timeout=30)[1]
    server.faults.trickle = 0
    child = start(tmp_path / "home", HF_ENDPOINT=server.endpoint)
    assert child.communicate(timeout=60)[1] == ""
    model = find(paths, "tiny-instruct")
    assert sha256(model.path) == entry.sha256
    starts = [
        int(headers.get("Range", "bytes=0-").strip("bytes=-"))
        for _, path, headers in server.requests
        if path.startswith("/storage/")
    ]
    assert starts == sorted(starts), "a later attempt began before an earlier one"
    assert len(set(starts)) > interruptions // 2, "the interruptions came too late to prove anything"
    assert leftovers(paths) == []
