"""Requests are prepared one at a time beside running answers, and cancellations take effect before."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgechat.engine.client.client import EngineClient
from edgechat.engine.decoding.request_queue import RequestQueue
from edgechat.engine.protocol.events import Done, Event
from edgechat.engine.protocol.request import Message, Request, Wish
from edgechat.errors import ContextOverflowError

ROOT = Path(__file__).parents[3]
HI = Request((Message("user", "hi"),))
BATCH = Request((Message("user", "hi"),), is_batch=True)


class Reader:
    """A client, and what it was sent."""

    is_guest = False

    def __init__(self) -> None:
        self.got: list[tuple[int, str]] = []

    def send(self, event: Event, request_id: int) -> None:
        assert isinstance(event, Done)
        self.got.append((request_id, event.finish_reason))


def taken(requests: RequestQueue) -> list[int]:
    """The numbers of all requests, in the order in which they are prepared."""
    return [queued.request_id for queued in iter(requests.take, None)]


def test_cancellations_take_effect_before_any_request_is_prepared() -> None:
    one: Any = Reader()
    two: Any = Reader()
    requests = RequestQueue()
    for number in (1, 2):
        requests.put(one, number, HI)
        requests.put(two, number, HI)
    requests.cancel(one, 1)
    requests.wake()
    requests.cancel(two, None)
    assert one.got == [(1, "cancelled")]
    assert two.got == [(1, "cancelled"), (2, "cancelled")]
    assert requests.cancellations(0.0) == [(two, None)]
    assert taken(requests) == [2]
    assert len(requests) == 0


def test_what_has_left_the_queue_is_cancelled_by_the_loop_and_a_number_may_be_used_again() -> None:
    reader: Any = Reader()
    requests = RequestQueue()
    requests.put(reader, 1, HI)
    assert taken(requests) == [1]
    requests.cancel(reader, 1)
    assert requests.cancellations(60.0) == [(reader, 1)]
    requests.put(reader, 2, HI)
    requests.cancel(reader, 2)
    requests.put(reader, 2, HI)
    assert requests.cancellations(0.0) == []
    assert taken(requests) == [2]


def test_what_is_not_prepared_now_stays_and_is_not_waited_beside() -> None:
    reader: Any = Reader()
    requests = RequestQueue()
    for number in range(3):
        requests.put(reader, number, HI)
    assert requests.cancellations(60.0) == []
    first = requests.take()
    assert first is not None
    assert first.request_id == 0
    requests.put(reader, 3, HI)
    assert requests.cancellations(600.0) == [], "there is something to do"
    assert len(requests) == 3
    assert taken(requests) == [1, 2, 3]


def test_a_wake_ends_the_wait() -> None:
    requests = RequestQueue()
    threading.Timer(0.05, requests.wake).start()
    began = time.monotonic()
    assert requests.cancellations(60.0) == []
    assert time.monotonic() - began < 30


def test_interactive_requests_are_prepared_first() -> None:
    reader: Any = Reader()
    requests = RequestQueue()
    for number, each in enumerate((BATCH, HI, BATCH, HI)):
        requests.put(reader, number, each)
    assert taken(requests) == [1, 3, 0, 2]


def test_drafts_come_last_wait_for_answers_and_are_replaced_by_their_client() -> None:
    one: Any = Reader()
    two: Any = Reader()
    requests = RequestQueue()
    draft = replace(HI, prefill_only=True)
    requests.put(one, 1, draft)
    requests.put(two, 1, draft)
    requests.put(one, 2, draft)
    requests.put(two, 2, BATCH)
    assert (one.got, two.got) == ([(1, "cancelled")], [(1, "cancelled")])
    assert requests.first_wish(0.0) == BATCH.wish
    first = requests.take(prefills=False)
    assert first is not None
    assert first.request_id == 2
    assert requests.take(prefills=False) is None
    assert taken(requests) == [2]


def test_what_is_to_be_kept_on_disk_is_not_replaced() -> None:
    reader: Any = Reader()
    requests = RequestQueue()
    kept = Request((Message("system", "Be kind."), Message("user", "")), prefill_only=True, keep_on_disk=True)
    for number in (1, 2):
        requests.put(reader, number, kept)
    assert reader.got == []
    assert taken(requests) == [1, 2]


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
def test_the_loop_serves_others_while_it_prepares_and_decodes_each_picture_once(home: Path) -> None:
    command = [sys.executable, "-m", "tests.engine.decoding.loop_child"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert (seen["prepared"], seen["looks"]) == ([2, 3, 4, 0], 1)
    # While a large enum is compiled, a running answer goes on, and a later question is answered whole.
    assert seen["enum"] == {"running": True, "later": True, "refused": []}
