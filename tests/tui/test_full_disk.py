"""A disk that is full, and a home that cannot be written: a banner, and the chat goes on in memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from edgechat.chat.history import History
from edgechat.paths import Paths
from edgechat.tui.session import engine_connection
from tests.engine.scripted_engine import scripted_engine
from tests.tui.kit import kept
from tests.tui.terminal import ENTER, ESC, F2, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.process

APP = (sys.executable, "-m", "edgechat")
WELCOME = "Everything you write"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB; needs the right to mount one."""
    point = tmp_path / "disk"
    point.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", str(point)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True)


@pytest.fixture
def there(disk: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """The directories of a home on that disk."""
    monkeypatch.setenv("EDGECHAT_HOME", str(disk / "home"))
    return Paths.from_env({"EDGECHAT_HOME": str(disk / "home")})


def fill(folder: Path) -> None:
    with (folder / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


@contextlib.contextmanager
def writable_again(disk: Path) -> Iterator[None]:
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


def ask(terminal: Terminal, question: str, answers: int) -> None:
    terminal.send(question.encode() + ENTER)
    terminal.wait(lambda shown: shown.text.count("the end.") == answers and "Esc stops" not in shown.lines[-2])


def test_a_full_disk_costs_only_what_is_said_from_then_on(there: Paths, disk: Path) -> None:
    with scripted_engine(there.state, ["word " * 50, "the end."]), Terminal(APP, os.environ, (100, 140)) as terminal:
        terminal.wait(WELCOME)
        ask(terminal, "before", 1)
        fill(disk)
        ask(terminal, "x" * 3000, 2)
        terminal.wait("goes on in memory")
        assert "not saved" in terminal.lines[0]
        ask(terminal, "and on", 3)
        assert terminal.leave() == 0
    (disk / "ballast").unlink()
    with History.open(there) as history:
        assert history.check_integrity() == []
    assert kept(there)[0][1] == "before"
    assert kept(there)[1][1].endswith("the end.")


def test_a_read_only_home_is_read_and_the_chat_goes_on(there: Paths, disk: Path) -> None:
    with History.open(there) as history:
        history.add_question(history.start().id, "an earlier question")
    with scripted_engine(there.state, ["the end."]):
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with writable_again(disk), Terminal(APP, os.environ, (100, 140)) as terminal:
            terminal.wait("goes on in memory")
            terminal.send(F2)
            terminal.wait("an earlier question")
            terminal.send(ESC)
            terminal.pump(0.5)  # else it would be Alt with the next key
            ask(terminal, "hello", 1)
            assert terminal.leave() == 0
    assert [text for _, text, _ in kept(there)] == ["an earlier question"]


def test_the_engine_gets_a_place_elsewhere_only_where_it_cannot_write(
    there: Paths, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGECHAT_KEEP_ALIVE", "30m")
    assert engine_connection.with_writable_state(there) == (there, None)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    elsewhere, place = engine_connection.with_writable_state(there)
    assert place is not None
    assert elsewhere.state == place
    assert elsewhere.data == there.data
    assert engine_connection.is_writable(place)
    assert os.environ["EDGECHAT_KEEP_ALIVE"] == "0"
    place.rmdir()
