"""Conversations with models whose memory cannot be cut at any token: recurrent states, sliding windows."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.engine, pytest.mark.slow]

SURE = 0.1
"""Of tokens closer than this, rounding may choose another one: logits differ by 0.02 between steps of other sizes."""
OPENING = 16
"""Tokens: the opening of an answer and the end of a message are read again."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """What the talks with one kind of model showed."""
    directory = tmp_path_factory.mktemp("rewind")

    @cache
    def run(kind: str) -> dict[str, Any]:
        file = str(directory / f"{kind}.gguf")
        # In processes of their own: numpy and llama.cpp stay out of this one.
        for module, *arguments in (("tiny_models", kind, file), ("kv_cache.rewind_child", file)):
            command = [sys.executable, "-m", f"tests.engine.{module}", *arguments]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
            assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


KINDS = pytest.mark.parametrize("kind", ["hybrid", "window"])


@KINDS
def test_every_turn_reads_what_changed_and_the_opening_of_an_answer(seen: Any, kind: str) -> None:
    talks = seen(kind)["talks"]
    assert len(talks["beyond"]) == 20
    assert max(talks["beyond"]) <= OPENING
    assert max(talks["others"].values()) <= OPENING, talks["others"]


@KINDS
def test_answers_are_those_of_an_engine_that_reads_everything(seen: Any, kind: str) -> None:
    assert max(seen(kind)["talks"]["gaps"]) < SURE


@KINDS
def test_checkpoints_stay_within_their_bound_and_go_when_memory_is_short(seen: Any, kind: str) -> None:
    talks, bounded = seen(kind)["talks"], seen(kind)["bounded"]
    assert 0 < talks["most"] <= talks["limit"]
    # The plan counts twenty-four of the full size.
    assert 0.9 < 24 * talks["size"] / talks["limit"] <= 1
    assert talks["left"] == 0
    assert 1 <= bounded["held"] <= 2
    assert max(bounded["read"][1:]) < 64, "the last answer and the question, not the conversation"


@KINDS
def test_answers_at_once_share_their_instructions(seen: Any, kind: str) -> None:
    shares = seen(kind)["shares"]
    assert shares["shared"][0] == 0
    assert min(shares["shared"][1:]) >= 40
    assert max(shares["gaps"]) < SURE


@KINDS
def test_a_named_conversation_is_taken_up_after_a_restart_and_a_damaged_file_is_not(seen: Any, kind: str) -> None:
    resumes = seen(kind)["resumes"]
    assert resumes["beyond"] <= OPENING
    assert resumes["cached"] == 0
    assert resumes["gap"] < SURE


@KINDS
def test_drafts_change_no_answer(seen: Any, kind: str) -> None:
    """With states that are kept for each token, and with a copy from before the draft."""
    for gap, drafted, accepted in (each for run in seen(kind)["drafts"].values() for each in run):
        assert gap < SURE
        assert 0 < accepted < drafted
