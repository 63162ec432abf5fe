"""Interactive questions beside batch work, on the real engine."""

from __future__ import annotations

import contextlib
import itertools
import threading

import pytest

from edgechat.engine.client.client import EngineClient
from edgechat.engine.protocol.events import Done, Prefill, Started, Text
from edgechat.engine.protocol.request import Message, Request, Wish
from edgechat.errors import EngineError

pytestmark = pytest.mark.engine
ENDLESS = "What is the capital of France?"
N_CTX = 2048


def request(max_tokens: int, *, is_batch: bool) -> Request:
    """Greedy, this one's answer never ends by itself."""
    return Request(
        (Message("user", ENDLESS),),
        wish=Wish(n_ctx=N_CTX),
        sampling={"temperature": 0.0},
        max_tokens=max_tokens,
        is_batch=is_batch,
    )


def test_a_question_does_not_wait_for_batch_work_that_fills_the_context(paths, cli):
    started = [threading.Event() for _ in range(3)]
    ended = [threading.Event() for _ in range(3)]
    clients = [EngineClient(paths) for _ in range(3)]

    def work(number: int) -> None:
        with contextlib.suppress(EngineError):  # cut off at the end of the test
            for event in clients[number].generate(request(700, is_batch=True)):
                if isinstance(event, Started):
                    started[number].set()
                elif isinstance(event, Done):
                    ended[number].set()

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(3)]
    for number in (0, 1):
        threads[number].start()
        assert started[number].wait(60)
    threads[2].start()  # two thirds of the context are taken: this one waits

    asking = EngineClient(paths)
    last = list(asking.generate(request(8, is_batch=False)))[-1]
    asking.close()
    assert isinstance(last, Done)
    assert last.usage["completion_tokens"] == 8
    assert not any(each.is_set() for each in ended)
    assert not started[2].is_set()
    for client in clients:
        client.interrupt()
    for thread in threads:
        thread.join(30)


@pytest.mark.parametrize("is_batch", [True, False])
def test_prompts_are_read_in_large_pieces_where_nobody_watches_an_answer(paths, cli, is_batch):
    assert cli("ask", "-n", "1", "--ctx", str(N_CTX), "hi").returncode == 0
    is_answering = threading.Event()
    long = "Count: " + " ".join(str(n * 7919 % 1000) for n in range(150))
    asked = Request((Message("user", long),), Wish(n_ctx=N_CTX), {"temperature": 0.0}, 1, is_batch=True)

    def answer(client: EngineClient) -> None:
        with contextlib.suppress(EngineError):  # cut off at the end of the test
            for event in client.generate(request(900, is_batch=is_batch)):
                if isinstance(event, Text):
                    is_answering.set()

    with contextlib.closing(EngineClient(paths)) as beside, contextlib.closing(EngineClient(paths)) as client:
        thread = threading.Thread(target=answer, args=(beside,), daemon=True)
        thread.start()
        assert is_answering.wait(60)
        events = list(client.generate(asked))
        beside.interrupt()
        thread.join(30)
    usage = next(each.usage for each in events if isinstance(each, Done))
    # The last piece is followed by the answer instead of a report.
    read = [each.done for each in events if isinstance(each, Prefill)]
    ends = [usage["cached_tokens"], *read, usage["prompt_tokens"]]
    pieces = [b - a for a, b in itertools.pairwise(ends)]

    # BackgroundCall an answer that is watched a step may take twice as long; beside one that is not, a second.
    assert (max(pieces) >= 64) == is_batch, pieces
