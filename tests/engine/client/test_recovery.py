"""What is done when the engine goes away during a request."""

from __future__ import annotations

import pytest

from edgechat.engine.client.recovery import MAX_GOODBYES, Recovery
from edgechat.engine.state.exit_reason import ExitReason
from edgechat.errors import EngineError


def death(cause: str = "signal", stepped_below: int = 0) -> ExitReason:
    return ExitReason("e1", cause, "SIGKILL", "decode", 0.0, stepped_below=stepped_below)


def test_an_engine_that_was_exiting_is_replaced_without_a_word_but_not_for_ever() -> None:
    recovery = Recovery()
    assert all(recovery.asks_again("idle") for _ in range(MAX_GOODBYES))
    assert not recovery.asks_again("idle")


@pytest.mark.parametrize("goodbye", [None, "stop", "busy"])
def test_any_other_end_is_a_death(goodbye: str | None) -> None:
    assert not Recovery().asks_again(goodbye)


def test_the_first_death_is_reported_and_the_second_ends_the_answer() -> None:
    recovery = Recovery()
    told = recovery.after_death(death())
    assert told.note == "The engine was killed by SIGKILL (decode). It was restarted and continued."
    with pytest.raises(EngineError, match=r"was killed by SIGKILL again \(decode\)"):
        recovery.after_death(death())


def test_ever_smaller_plans_are_tried_and_the_same_one_is_not() -> None:
    recovery = Recovery()
    for size in (3000, 2000, 1000):
        assert recovery.after_death(death("oom", size)).note.endswith("A smaller plan is tried.")
    assert recovery.after_death(death("oom", 1000)).note.endswith("It was restarted and continued.")
    with pytest.raises(EngineError):
        recovery.after_death(death("oom", 1000))


@pytest.mark.parametrize("cause", ["stopped", "template"])
def test_what_would_happen_again_is_not_tried_again(cause: str) -> None:
    with pytest.raises(EngineError) as raised:
        Recovery().after_death(death(cause))
    assert raised.value.cause == cause
