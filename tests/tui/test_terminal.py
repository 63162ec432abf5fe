"""The app in a real pseudo-terminal, seen through an independent terminal emulator."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.engine.scripted_engine import scripted_engine
from tests.tui.kit import kept
from tests.tui.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.paths import Paths

APP = (sys.executable, "-m", "edgechat")
WELCOME = "Everything you write"


@pytest.fixture
def terminal(paths: Paths) -> Iterator[Terminal]:
    """The app, ready to write in."""
    with Terminal(APP, os.environ) as terminal:
        terminal.wait(WELCOME)
        yield terminal


def test_keys_that_arrive_together_are_obeyed_in_their_order(terminal: Terminal, paths: Paths) -> None:
    with scripted_engine(paths.state, ["Answer"]):
        terminal.send(b"why\x7f\x7f\x1b[Hx\x1b[Fo\rnext")
        terminal.wait(lambda shown: "Answer" in shown.text and shown.lines[-3].strip() == "next")
        assert terminal.leave() == 0
    assert kept(paths)[0][1] == "xwo"
