"""Answers that are written together do not disturb each other, on the real engine and the real starter model."""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

import pytest

from edgechat.engine.client.client import EngineClient
from edgechat.engine.protocol.events import Done, Prefill, Text
from edgechat.engine.protocol.request import Message, Request, Wish

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.paths import Paths
    from tests.command import Cli

pytestmark = pytest.mark.engine

WISHES = (
    "Count from 1 to 100.",
    "Say the word pump again and again, fifty times.",
    "Write the letters of the alphabet, one in a line.",
    "Count from 1 to 100, please.",
)
"""What is said next is clear here. The logits of a batch of three and of one of four are the same to the last bit, but
those of a single row are not, and which answer is alone at its beginning is a matter of milliseconds."""
WISH = Wish(n_ctx=2048)


def at_once(*calls: Callable[[], None]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)


def together(paths: Paths, *, cancelled: int | None = None) -> list[str]:
    """Four greedy answers at once; one of them is cancelled after its second piece of text."""
    texts = [""] * len(WISHES)

    def answer(number: int, client: EngineClient) -> None:
        question = Message("user", WISHES[number])
        pieces = 0
        events = client.generate(Request((question,), WISH, {"temperature": 0}, 48))
        for event in events:
            if isinstance(event, Text):
                texts[number] += event.text
                pieces += 1
                if number == cancelled and pieces == 2:
                    events.close()  # type: ignore[attr-defined]  # it is a generator
                    return

    with ExitStack() as stack:
        clients = [stack.enter_context(closing(EngineClient(paths))) for _ in WISHES]
        at_once(*(partial(answer, number, client) for number, client in enumerate(clients)))
    return texts


def test_cancelling_one_of_four_changes_nothing_in_the_other_three(cli: Cli, paths: Paths) -> None:
    assert cli("ask", "-n", "1", "--ctx", "2048", "hi").returncode == 0
    together(paths)  # from here on the same cells serve: prompts read in other pieces differ in their last bits
    whole = together(paths)
    cut = together(paths, cancelled=1)

    assert all(len(text) > 30 for text in whole)
    assert len(cut[1]) < len(whole[1])
    assert [cut[number] for number in (0, 2, 3)] == [whole[number] for number in (0, 2, 3)]


def test_a_short_prompt_does_not_wait_for_all_of_a_long_one(cli: Cli, paths: Paths) -> None:
    # So long that no machine reads it in the second that a step may take while nobody else is there.
    long = "Count the numbers: " + " ".join(str(n * 7919 % 1000) for n in range(1800))
    wish = Wish(n_ctx=8192)
    assert cli("ask", "-n", "1", "--ctx", "8192", "hi").returncode == 0
    unread: list[int] = []
    is_read, is_answered = threading.Event(), threading.Event()

    def read_long() -> None:
        with closing(EngineClient(paths)) as client:
            for event in client.generate(Request((Message("user", long),), wish, {"temperature": 0}, 1)):
                if isinstance(event, Prefill):
                    unread.append(event.total - event.done)
                    is_read.set()
                if is_answered.is_set():
                    break
        is_read.set()

    def answer_short() -> None:
        assert is_read.wait(60)
        with closing(EngineClient(paths)) as client:
            events = client.generate(Request((Message("user", "Name one color."),), wish, {"temperature": 0}, 4))
            if any(isinstance(event, Done) for event in events):
                is_answered.set()

    at_once(read_long, answer_short)

    assert is_answered.is_set()
    assert unread[-1] > 0
