"""A real engine on a board that is hot and short of memory: it slows down, reports it, and frees memory."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest

from edgechat.engine.client import client
from edgechat.engine.protocol.events import Slowed, Started
from edgechat.engine.protocol.request import Message, Request
from edgechat.engine.state import log
from edgechat.paths import Paths
from edgechat.tasks.generator import EngineGenerator
from tests.board.trees import write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ZONE = "sys/class/thermal/thermal_zone0"
SITE = """
import os, pathlib
from edgechat.board.source import Source
Source.__init__.__defaults__ = (pathlib.Path(os.environ["TREE"]),)
"""


@pytest.fixture
def hot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Paths]:
    """An engine whose own sensors are a tree's; what it plans with is still this machine."""
    write(tmp_path / "tree", {f"{ZONE}/type": "cpu-thermal\n", f"{ZONE}/temp": "90000\n"})
    write(tmp_path / "tree", {"proc/pressure/memory": "some avg10=33.00 avg60=9.00 avg300=1.00 total=7\n"})
    write(tmp_path / "tree", {"proc/meminfo": "MemTotal: 2000000 kB\nMemAvailable: 20000 kB\n"})
    write(tmp_path / "site", {"sitecustomize.py": SITE})
    monkeypatch.setenv("TREE", str(tmp_path / "tree"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    paths = Paths.from_env()
    yield paths
    client.stop(paths)


COUNTED = """
from edgechat.engine.throttle.thread_governor import Governor
inner = Governor.on_answer_start
def begin(self):
    print("an answer begins", flush=True)
    inner(self)
Governor.on_answer_start = begin
"""


@pytest.mark.engine
def test_each_answer_after_a_rest_looks_whether_the_cores_are_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would begin with the threads that were left by whatever ran before it."""
    write(tmp_path / "site", {"sitecustomize.py": COUNTED})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    paths = Paths.from_env()
    with contextlib.closing(EngineGenerator(paths)) as generator:
        asked(generator)
        until = time.monotonic() + 30
        while client.status(paths)[0]["stage"] != "idle" and time.monotonic() < until:
            time.sleep(0.02)
        asked(generator)
    client.stop(paths)
    assert log.tail(paths.state).count("an answer begins") == 2


def asked(generator: EngineGenerator, **options: Any) -> list[Any]:
    request = Request(
        (Message("user", "Tell me about rivers."),), max_tokens=24, sampling={"temperature": 0}, **options
    )
    return list(generator.events(request))


@pytest.mark.engine
def test_a_hot_board_is_spared_and_everybody_learns_it(hot: Paths) -> None:
    generator = EngineGenerator(hot)
    asked(generator)  # loads; the board is looked at a little later, which a short answer may be too quick for
    until = time.monotonic() + 30
    while not client.status(hot)[0]["care"]["level"] and time.monotonic() < until:
        time.sleep(0.02)
    events = asked(generator)
    (slowed,) = [event for event in events if isinstance(event, Slowed)]
    assert (slowed.level, slowed.n_threads, slowed.pause_s) == (3, 1, 5.0)
    assert slowed.reason.startswith("cpu-thermal 90.0 °C")
    assert events.index(slowed) > next(n for n, event in enumerate(events) if isinstance(event, Started))
    assert generator.pause_s == 5.0
    (engine,) = client.status(hot)
    assert (engine["care"]["name"], engine["care"]["n_threads"]) == ("resting", 1)
    assert engine["care"]["memory_tight"]
    assert engine["figures"]["answers"] == {"length": 2}
    assert engine["figures"]["tokens"]["completion_tokens"] == 48
    assert engine["energy"] is None  # nothing here measures power
    full = engine["n_ctx"]
    assert "care: resting" in log.tail(hot.state)
    generator.close()
    # Nobody is connected any more, so it makes room for whoever is short of memory.
    until = time.monotonic() + 60
    while client.status(hot) and time.monotonic() < until:
        time.sleep(0.1)
    assert client.status(hot) == []
    # Memory was short, so the next load is smaller, and says than what.
    again = EngineGenerator(hot)
    (started,) = [event for event in asked(again) if isinstance(event, Started)]
    assert started.n_ctx == full // 2
    assert str(full) in (started.stepped_down_from or "")
    # Nothing has died, and nobody is told so.
    assert started.step_down.startswith("Memory was tight in the hour before loading (work on this machine waited")
    assert "with only 20 MB available): using a smaller plan than smollm2" in started.step_down
    again.close()
