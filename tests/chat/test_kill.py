"""kill -9 in the middle of a chat, at any moment: what was acknowledged is there, and the file is sound."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from edgechat.chat.history import History, history_file
from tests.chat.chat_child import text_of

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.paths import Paths


def chat_and_kill(home: Path, seed: int, after_s: float) -> list[str]:
    """The lines that a child said before it was killed, ``after_s`` seconds behind its first."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.chat.chat_child", str(home), str(seed)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    lines = [child.stdout.readline()]
    reader = threading.Thread(target=lambda out=child.stdout: lines.extend(out))
    reader.start()
    time.sleep(after_s)
    child.kill()
    assert child.wait(10) == -9, child.stderr.read()
    reader.join()
    child.stdout.close()
    child.stderr.close()
    return [line for line in lines if line.endswith("\n")]


def lost_after(paths: Paths, home: Path, kills: int, seed: int) -> tuple[int, list[str]]:
    """How many acknowledgements there were over all kills, and those that were not honoured."""
    dice = random.Random(seed)
    acknowledged: dict[int, int] = {}
    count, lost = 0, []
    for kill in range(kills):
        for line in chat_and_kill(home, dice.randrange(1 << 30), dice.uniform(0, 0.15)):
            message, length = map(int, line.split())
            if message:
                acknowledged[message] = length
                count += 1
        with History.open(paths) as history:
            assert history.check_integrity() == [], f"after kill {kill + 1}"
            assert history._database.rows("SELECT 1 FROM message WHERE status = 'streaming'") == []
            content = dict(history._database.rows("SELECT id, content FROM message"))
        for message, length in acknowledged.items():
            wanted = "what?" if length < 0 else text_of(message, length)
            if not content.get(message, "").startswith(wanted):
                lost.append(f"kill {kill + 1}: message {message}, {length} characters")
    assert list((history_file(paths).parent / "writing").iterdir()) == []
    return count, lost


@pytest.mark.process
def test_nothing_acknowledged_is_lost(paths: Paths, home: Path) -> None:
    count, lost = lost_after(paths, home, kills=30, seed=7)
    assert lost == []
    assert count > 100


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_acknowledged_is_lost_in_300_kills(paths: Paths, home: Path) -> None:
    count, lost = lost_after(paths, home, kills=300, seed=int.from_bytes(os.urandom(4), "big"))
    assert lost == []
    assert count > 1000


@pytest.mark.process
def test_killed_while_the_file_is_made(paths: Paths, home: Path, tmp_path: Path) -> None:
    for delay in range(12):
        fresh = tmp_path / f"home{delay}"
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.chat.chat_child", str(fresh), "1"], stdout=subprocess.DEVNULL
        )
        file = fresh / "data" / "chat" / "history.db"
        until = time.monotonic() + 30
        while not file.exists() and time.monotonic() < until:
            time.sleep(0.0005)
        time.sleep(delay / 1000)
        child.kill()
        child.wait(10)
        with History.open(type(paths).from_env({"EDGECHAT_HOME": str(fresh)})) as history:
            history.add_question(history.start().id, "hello")
            assert history.check_integrity() == []
