"""What a hard memory limit costs: a smaller plan or a plain refusal, and never another process than the engine.

Real limits around the real command. ``scripts/drills/memory.py``, whose runs these are, goes through whole ranges of
limits and larger models.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from edgechat.board.probe.probe import probe
from edgechat.engine.client import client
from edgechat.engine.protocol.request import Message, Request, Wish
from edgechat.engine.state import exit_reason, oom_history
from edgechat.engine.state.oom_history import OomHistory
from scripts.drills import memory

if TYPE_CHECKING:
    from edgechat.paths import Paths

pytestmark = pytest.mark.engine

CLIENT_BYTES = 28 << 20
"""What the client and the supervisor, which are in the engine's group, take of its limit: 21 to 23 MB, and a margin."""
HOG = "import sys, time; hog = bytearray(int(sys.argv[1])); print('full', flush=True); time.sleep(60)"


@pytest.fixture
def group():
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(memory.Group(f"edgechat-test-{os.getpid()}"))
        except OSError as error:
            pytest.skip(f"no memory cgroup can be made here: {error}")
        yield made


@pytest.fixture
def drill(home, starter_file):
    """The starter in a copy of its own, so that its pages are charged to whoever reads them."""
    copy = home / "files" / "smollm2.gguf"
    copy.parent.mkdir(parents=True)
    shutil.copyfile(starter_file, copy)
    os.sync()
    return memory.Drill(home, str(copy), None)


@pytest.fixture
def limited(drill):
    """Runs the drill's question; skips where no group can be made."""

    def run(way, percent):
        try:
            return drill.run(way, percent)
        except OSError as error:
            pytest.skip(f"no memory cgroup can be made here: {error}")

    return run


def test_a_limit_that_is_seen_is_planned_for(limited):
    roomy = limited("seen", 80)
    assert (roomy.outcome, roomy.kills, roomy.engine_deaths) == ("smaller plan", 0, [])
    assert roomy.stepped_down_from is None
    assert roomy.peak_rss < roomy.limit
    narrow = limited("seen", 40)
    assert (narrow.outcome, narrow.kills, narrow.engine_deaths) == ("refused", 0, [])
    assert "needs" in narrow.refusal
    assert "are free" in narrow.refusal


def test_a_limit_that_nobody_can_see_costs_the_engine_once(limited, drill):
    run = limited("blind", 45)
    assert run.kills == 1
    assert run.other_kills == 0
    assert run.engine_deaths == ["oom: the kernel ended it because memory ran out (load)"]
    assert run.outcome == "refused"
    assert "an engine ran out of memory here at" in run.refusal
    known = oom_history.read(drill.paths.state, probe().boot_id)
    assert known.hidden_limit is not None
    assert known.hidden_limit < run.limit


def test_after_a_kill_a_smaller_plan_answers(limited, drill):
    """The limit lies between what the smallest plan needs and what the full one takes when it is loaded."""
    run = limited("blind", 100 * (drill.least + CLIENT_BYTES) / drill.need)
    assert run.kills >= 1
    assert run.other_kills == 0
    assert run.outcome == "smaller plan"
    assert run.stepped_down_from is not None
    assert "n_ctx 8192 KV f16" in run.stepped_down_from


def test_weights_that_do_not_stay_in_memory_are_not_put_up_with(limited, tmp_path):
    kind = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True).stdout
    if kind.strip() in {"tmpfs", "ramfs"}:
        pytest.skip("the test's files lie in memory, and not on a disk from which they could be read again")
    run = limited("blind", 75)
    assert run.kills == 0
    assert any("had to be read again for every token" in each for each in run.engine_deaths)
    assert run.outcome == "smaller plan"


def test_an_address_space_limit_is_planned_for_and_survived_when_it_comes_late(limited):
    assert limited("address", 100).outcome == "refused"
    assert limited("address", 220).outcome == "smaller plan"
    late = limited("mapping", 90)
    assert (late.outcome, late.engine_deaths) == ("refused", [])


def test_an_idle_engine_makes_room_and_keeps_its_plan(cli, paths: Paths, group, home):
    """The hog is in the same group and does not raise_oom_score: the kernel takes the engine, and no plan is to blame.

    Whether the hog lives is not asserted: in 18 of 90 tries the kernel took it too, after the engine (docs/fit.md).
    """
    question = [*cli.command("ask", "-n", "1", "hi", "--ctx", "2048")]
    subprocess.run(group.command(question, blind=False), check=True, capture_output=True, timeout=60)
    # Each alone fits with 50 MB to spare; together, the engine's 130 MB of anonymous memory are 80 too many.
    assert client.status(paths)[0]["rss_bytes"] < 380 << 20
    assert group.limit(420 << 20)
    hog = subprocess.Popen(
        group.command([sys.executable, "-c", HOG, str(360 << 20)], blind=False), stdout=subprocess.PIPE, text=True
    )
    try:
        assert hog.stdout is not None
        hog.stdout.readline()  # full, or killed as well
        note = _note(paths)
        assert (note.cause, note.stage, note.stepped_below) == ("oom", "idle", 0)
        assert oom_history.read(paths.state, probe().boot_id) == OomHistory()
        assert group.kills >= 1
    finally:
        hog.kill()
        hog.communicate()
    done = cli("ask", "-n", "1", "hi", "--stats=json")
    assert done.returncode == 0
    assert '"stepped_down_from": null' in done.stderr


def test_another_model_goes_on_with_the_text(cli, paths: Paths):
    """As after a step down to a smaller model: the ids of the first mean nothing to the second."""
    begun = Request(
        messages=(Message("user", "Count from one to eight in words."),),
        wish=Wish(),
        sampling={"temperature": 0.0},
        max_tokens=24,
        resume=(150_001, 150_002, 3),
        resume_model="a-larger-one",
        resume_text="One, two, three, four,",
    )
    engine = client.EngineClient(paths)
    try:
        text = "".join(event.text for event in engine.generate(begun) if hasattr(event, "text"))
    finally:
        engine.close()
    assert text.lstrip().startswith("five")


def _note(paths: Paths) -> exit_reason.ExitReason:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if note := exit_reason.last(paths.state):
            return note
        time.sleep(0.01)
    pytest.fail("the supervisor wrote nothing down")
