"""kill -9 of the app and of its engine in the middle of a chat; ``scripts/drills/ui_kill.py`` repeats it."""

from __future__ import annotations

import os
import random
import sys
from typing import TYPE_CHECKING

import pytest

from edgechat.chat.history import History
from tests.engine.scripted_engine import scripted_engine
from tests.tui.kit import kept
from tests.tui.terminal import ENTER, Terminal

if TYPE_CHECKING:
    from edgechat.paths import Paths

pytestmark = pytest.mark.process

APP = (sys.executable, "-m", "edgechat")
WELCOME = "Everything you write"


def test_what_the_screen_acknowledged_survives_kill_9(paths: Paths) -> None:
    dice = random.Random(11)
    asked: list[str] = []
    with scripted_engine(paths.state, ["word "] * 30, pause_s=0.02):
        for number in range(3):
            with Terminal(APP, os.environ) as terminal:
                terminal.wait(WELCOME)
                terminal.send(f"question-{number}".encode() + ENTER)
                # The title has it, too, once it is kept; the field has lost it.
                terminal.wait(lambda shown: f"  question-{number}" in shown.text)  # noqa: B023 - called at once
                terminal.pump(dice.uniform(0, 0.8))
                terminal.kill()
                asked.append(f"question-{number}")
            with History.open(paths) as history:
                assert history.check_integrity() == []
            for each, question in enumerate(asked):
                messages = kept(paths, each + 1)
                assert messages[0] == ("user", question, "complete")
                assert all(status != "streaming" for _, _, status in messages)


def test_the_app_outlives_its_engine_and_keeps_what_came(paths: Paths) -> None:
    with Terminal(APP, os.environ) as terminal:
        terminal.wait(WELCOME)
        with scripted_engine(paths.state, ["so far "] * 400, pause_s=0.02):
            terminal.send(b"go on" + ENTER)
            terminal.wait("so far so far")
            terminal.send(b"\x1b")
            terminal.wait("cancelled")
        terminal.pump(0.2)
        with scripted_engine(paths.state, ["another answer"]):
            terminal.send(b"again" + ENTER)
            terminal.wait("another answer")
        assert terminal.leave() == 0
    assert kept(paths)[1][2] == "partial"
    assert kept(paths)[1][1].startswith("so far so far")
