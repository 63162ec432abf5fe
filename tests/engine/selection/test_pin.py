"""``models use`` is a promise to scripts: what changes answers never gives way to memory unless they allow it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edgechat import Assistant
from edgechat.board.probe.board_file import load_board
from edgechat.board.probe.probe import probe
from edgechat.config import Config
from edgechat.engine.client import client
from edgechat.engine.protocol.request import Wish
from edgechat.engine.selection.model_choice import Choice, choose
from edgechat.engine.state import oom_history
from edgechat.engine.state.oom_history import OomHistory
from edgechat.engine.state.pressure_history import RecentPressure
from edgechat.errors import DoesNotFitError
from edgechat.models.store.installed import STARTER_NAME, starter
from edgechat.models.store.pin import Pin, write_pin
from edgechat.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Iterator

BOARD = load_board("pi5-4gb")
SCENE = (
    '{"speed_kmh": 100, "distance_to_car_m": 45, "lane_center_offset_m": 0, "weather": "rain", "time_of_day": "day"}'
)
LINE = '{"text": "The pump is off.", "source": "en", "target": "fr"}'


@pytest.fixture
def paths() -> Iterator[Paths]:
    """The starter, pinned with 4,096 tokens."""
    found = Paths.from_env(os.environ)
    model = starter()
    assert model is not None
    write_pin(found, Pin(model.name, model.quant, 4096))
    yield found
    client.stop(found)


def chosen(paths: Paths, wish: Wish, *, available: int | None = None, **options: Any) -> Choice:
    board = BOARD if available is None else replace(BOARD, memory=replace(BOARD.memory, available=available))
    return choose(
        wish,
        paths=paths,
        config=Config(),
        board=board,
        offload=False,
        **{"oom_history": OomHistory(), **options},
    )


def gives_way_at(paths: Paths) -> int:
    """Free bytes at which only a plan fits that gives up what changes answers."""
    little, enough = 100_000_000, 3_000_000_000
    while enough - little > 4_000_000:
        middle = (little + enough) // 2
        try:
            is_whole = chosen(paths, Wish(), available=middle).is_whole
        except DoesNotFitError:
            is_whole = False
        little, enough = (little, middle) if is_whole else (middle, enough)
    return little


def test_with_memory_a_script_gets_what_was_pinned(paths):
    choice = chosen(paths, Wish(exact=True))
    assert (choice.plan.settings.n_ctx, choice.plan.settings.kv_type, choice.is_whole) == (4096, "f16", True)


def test_where_a_person_gets_a_smaller_plan_a_script_gets_a_refusal_with_the_way_out(paths):
    available = gives_way_at(paths)
    assert chosen(paths, Wish(), available=available).plan.settings.kv_type == "q8_0"
    with pytest.raises(DoesNotFitError, match="--allow-step-down"):
        chosen(paths, Wish(exact=True), available=available)


def test_a_pin_without_a_context_has_the_default_one_in_scripts(paths):
    write_pin(paths, Pin("smollm2-135m-instruct", "Q4_1", None))
    assert chosen(paths, Wish()).plan.settings.n_ctx > 4096
    for tight in (None, RecentPressure(2048)):
        assert chosen(paths, Wish(exact=True), pressure=tight).plan.settings.n_ctx == 4096


def test_why_a_plan_is_smaller_is_said_by_its_cause(paths):
    write_pin(paths, None)
    full = chosen(paths, Wish())
    assert (full.stepped_down_from, full.stepped_down_why) == (None, "")
    tight = chosen(paths, Wish(), pressure=RecentPressure(2048, "work waited"))
    assert tight.stepped_down_from == f"{full.label} n_ctx {full.plan.settings.n_ctx} KV f16"
    assert tight.stepped_down_why == "Memory was tight in the hour before loading (work waited)"
    died = OomHistory({full.label: full.plan.memory.host})
    for tightness in (None, RecentPressure(2048)):
        assert chosen(paths, Wish(), oom_history=died, pressure=tightness).stepped_down_why == "Memory ran out earlier"
    # A death of something larger than what is wanted here changes nothing, so it is no cause.
    other = OomHistory({full.label: 2 * full.plan.memory.host})
    assert chosen(paths, Wish(), oom_history=other, pressure=RecentPressure(2048)).stepped_down_why.startswith(
        "Memory was"
    )


def test_only_a_pin_is_exact(paths):
    write_pin(paths, None)
    available = gives_way_at(paths)
    assert not chosen(paths, Wish(exact=True), available=available).is_whole


def run(task: str, record: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgechat", "run", task, record, "--no-cache", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


@pytest.mark.engine
def test_scripts_end_with_3_where_the_pinned_plan_died_and_go_on_where_that_is_allowed(paths):
    board = probe()
    paths.state.mkdir(parents=True, exist_ok=True)
    exact = choose(Wish(exact=True), paths=paths, config=Config(), board=board, offload=False, oom_history=OomHistory())
    # As after the memory ran out under every plan that keeps the promise.
    smallest = min(plan.memory.host for plan in exact.ladder)
    oom_history.record(paths.state, board.boot_id, exact.label, smallest)
    refused = run("translate", LINE)
    assert refused.returncode == 3, refused.stderr
    assert "--allow-step-down" in refused.stderr
    # Whether the starter's translation passes its checks does not matter here: a model with a smaller plan gave it.
    allowed = json.loads(run("translate", LINE, "--allow-step-down").stdout)
    assert allowed["model"] == exact.name
    # The engine is there, with a plan that gave way: it is not what a script asks for.
    assert client.status(paths)
    assert run("translate", LINE).returncode == 3
    with Assistant.open() as assistant, pytest.raises(DoesNotFitError):
        assistant.run("translate", json.loads(LINE))


@pytest.mark.process
def test_a_record_that_no_model_is_asked_about_needs_no_plan(paths):
    """The starter is too small to be asked for a driving sentence: the rules' result is whole, and no engine starts."""
    board = probe()
    paths.state.mkdir(parents=True, exist_ok=True)
    oom_history.record(paths.state, board.boot_id, f"{STARTER_NAME}:q4_1", 1)
    done = run("driving", SCENE)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["model"], result["result"]["explanation_status"]) == (None, "rules_only")
    assert client.status(paths) == []


@pytest.mark.process
def test_a_model_that_was_named_and_is_not_there_is_not_done_without(paths):
    done = run("driving", SCENE, "-m", "nowhere")
    assert done.returncode == 3
    assert "nowhere" in done.stderr
