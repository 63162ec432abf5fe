"""Drafts in the cache: which cells a draft may take, what is taken back, and when the board rests instead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgechat.engine.decoding.read_ahead import Drafts, Place, may_read
from edgechat.engine.protocol.request import Message, Request
from edgechat.engine.throttle.monitor import ThrottleMonitor
from edgechat.engine.throttle.throttle_levels import Throttle
from tests.engine.kv_cache.cut_rules import ANY, WHOLE

TALK = tuple(range(100))
TYPED = (*TALK, 1001, 1002, 1003)
DRAFT = Request((Message("user", "Why"),), prefill_only=True)
KEPT = Request((Message("system", "Be kind."), Message("user", "")), prefill_only=True, keep_on_disk=True)


def place(drafts: Drafts, prompt: tuple[int, ...], retained: dict[int, Any]) -> Place:
    return drafts.place(prompt, retained, ANY, can_share=True)


def test_a_draft_continues_its_conversation_and_shares_the_beginning_of_others():
    drafts = Drafts()
    other = (*TALK[:24], *range(2000, 2200))
    assert place(drafts, TYPED, {3: other, 5: TALK}) == Place(slot=5, n_tokens=100)
    assert place(drafts, TYPED, {3: other, 5: (*TALK, 8, 9)}) == Place(slot=5, n_tokens=100)
    assert place(drafts, TYPED, {3: other}) == Place(donor=3, n_tokens=24)
    # A conversation that goes on differently is left whole, however much of it is the same.
    assert place(drafts, TYPED, {5: (*TALK, *range(2000, 2050))}) == Place(donor=5, n_tokens=100)
    assert place(drafts, TYPED, {3: (7, 8, 9)}) == Place()
    assert drafts.place(TYPED, {5: (*TALK, 7)}, WHOLE, can_share=False) == Place()
    assert drafts.place(TYPED, {5: TALK}, WHOLE, can_share=False) == Place(slot=5, n_tokens=100)


def test_an_earlier_draft_may_be_cut_down_to_the_conversation_before_it():
    drafts = Drafts()
    drafts.start("me", base=60)
    left = (*TALK[:60], *range(3000, 3200))
    drafts.end(5, left)
    assert place(drafts, (*TALK[:60], 1), {5: left}) == Place(slot=5, n_tokens=60)
    assert drafts.base(5, 60, {5: left}) == 60
    assert drafts.base(5, 80, {5: left}) == 60
    assert place(drafts, (*TALK[:50], 1), {5: left}) == Place(donor=5, n_tokens=50), "the conversation is no draft"
    # Once something else is in the slot, the note is worthless.
    assert place(drafts, (*TALK[:60], 1), {5: tuple(left)[:-1]}) == Place(donor=5, n_tokens=60)


def test_a_clients_next_draft_takes_back_the_one_before_and_leaves_those_of_others():
    drafts = Drafts()
    mine, short, yours = (*TALK, 1), (1, 2, 3, 4), (*TALK, 2)
    for slot, reader, tokens, base in ((1, "me", mine, 100), (2, "me", short, 3), (3, "you", yours, 100)):
        drafts.start(reader, base)
        drafts.end(slot, tokens)
    retained = {1: mine, 2: short, 3: yours}
    assert list(drafts.replaced("me", retained)) == [(1, 100), (2, 0)]
    assert list(drafts.replaced("me", retained)) == []
    assert list(drafts.replaced("you", retained)) == [(3, 100)]


@pytest.mark.parametrize(
    ("throttle", "is_on_battery", "reads"),
    [
        (Throttle(), False, True),
        (Throttle(), True, False),
        (replace(Throttle(), level=1), False, False),
        (replace(Throttle(), is_tight=True), False, False),
    ],
)
def test_drafts_wait_for_better_days_and_commands_do_not(throttle, is_on_battery, reads):
    monitor = ThrottleMonitor()
    monitor.throttle, monitor.is_on_battery = throttle, is_on_battery
    assert may_read(DRAFT, monitor) == reads
    assert may_read(KEPT, monitor)
