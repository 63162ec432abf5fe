"""Requests are prepared singly beside running answers, and whoever cancels or leaves is heard before."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgechat.engine.client.client import EngineClient
from edgechat.engine.decoding.inbox import Mailbag
from edgechat.engine.protocol.events import Done, Event
from edgechat.engine.protocol.request import Message, Request, Wish
from edgechat.errors import ContextOverflowError

if TYPE_CHECKING:
    from edgechat.engine.decoding.loop import Inbox

ROOT = Path(__file__).parents[3]
HI = Request((Message("user", "hi"),))
BATCH = Request((Message("user", "hi"),), is_batch=True)


class Reader:
    """Whoever asks, and what it was sent."""

    def __init__(self) -> None:
        self.got: list[tuple[int, str]] = []

    def send(self, event: Event, request_id: int) -> None:
        assert isinstance(event, Done)
        self.got.append((request_id, event.finish_reason))


def bag(*mail: tuple[str, Any, Any]) -> tuple[Mailbag, Inbox]:
    inbox: Inbox = queue.SimpleQueue()
    for each in mail:
        inbox.put(each)
    return Mailbag(inbox), inbox


def test_who_cancels_or_leaves_is_heard_before_any_request_is_prepared() -> None:
    one: Any = Reader()
    two: Any = Reader()
    mailbag, _ = bag(
        ("generate", one, (1, HI)),
        ("generate", two, (1, HI)),
        ("generate", one, (2, HI)),
        ("generate", two, (2, HI)),
        ("cancel", one, 1),
        ("wake", one, None),
        ("gone", two, None),
    )
    assert list(mailbag.collect(0.0)) == [(one, 1), (two, None)]
    assert one.got == [(1, "cancelled")]
    assert two.got == [(1, "cancelled"), (2, "cancelled")]
    assert [request_id for _, request_id, _ in mailbag.requests()] == [2]
    assert len(mailbag) == 0


def test_what_is_not_prepared_now_stays_and_is_not_waited_beside() -> None:
    reader: Any = Reader()
    mailbag, inbox = bag(*(("generate", reader, (number, HI)) for number in range(3)))
    assert list(mailbag.collect(60.0)) == []
    assert next(mailbag.requests())[1] == 0
    inbox.put(("generate", reader, (3, HI)))
    assert list(mailbag.collect(0.0)) == []
    assert len(mailbag) == 3
    assert list(mailbag.collect(600.0)) == [], "there is something to do"
    assert [request_id for _, request_id, _ in mailbag.requests()] == [1, 2, 3]


def test_what_somebody_watches_is_prepared_first() -> None:
    reader = Reader()
    mailbag, _ = bag(*(("generate", reader, (number, each)) for number, each in enumerate((BATCH, HI, BATCH, HI))))
    assert list(mailbag.collect(0.0)) == []
    assert [request_id for _, request_id, _ in mailbag.requests()] == [1, 3, 0, 2]


@pytest.mark.engine
def test_what_cannot_fit_is_refused_without_counting_its_tokens(cli, paths) -> None:
    with contextlib.closing(EngineClient(paths)) as client:
        wish = Wish(n_ctx=512)
        with pytest.raises(ContextOverflowError, match="tokens or more") as caught:
            list(client.generate(Request((Message("user", "pump " * 400_000),), wish)))
        assert caught.value.prompt_tokens > caught.value.n_ctx >= 512
        # By its tokens: white space may be left out by a template, and four characters a token are not too many.
        with pytest.raises(ContextOverflowError, match=r"The prompt is \d+ tokens;"):
            list(client.generate(Request((Message("user", "pump " * 2000),), wish)))
        assert isinstance(list(client.generate(Request(HI.messages, wish, max_tokens=1)))[-1], Done)


@pytest.mark.engine
def test_the_loop_prepares_one_request_a_turn_beside_others_and_looks_at_each_picture_once(home: Path) -> None:
    command = [sys.executable, "-m", "tests.engine.decoding.loop_child"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"prepared": [2, 3, 4, 0], "looks": 1}
