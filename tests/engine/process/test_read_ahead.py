"""Prefill-only requests on the real engine: what the question reads then, who goes first, what is left on disk."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgechat.engine.client import client
from edgechat.engine.client.client import EngineClient
from edgechat.engine.client.draft_reader import DraftReader
from edgechat.engine.native.state import tokens_of
from edgechat.engine.protocol.events import Done, Event, Prefill, Prefilled, Text
from edgechat.engine.protocol.request import Message, Request, Wish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.paths import Paths

pytestmark = pytest.mark.engine
N_CTX = 1024
TAIL = 16
"""Tokens that may be left to read at Enter: the last word, and the template behind the question."""
SECRET = "The safe opens with the number nine hundred and eleven"
"""Must be found nowhere."""
LONG = "Count: " + " ".join(str(n * 7919 % 1000) for n in range(60))
"""About 240 tokens."""


@pytest.fixture
def link(paths: Paths) -> Iterator[EngineClient]:
    """A client that stays connected."""
    with contextlib.closing(EngineClient(paths, keeps=True)) as connected:
        yield connected
    client.stop(paths)


def request(*texts: str, n: int = 4) -> Request:
    """The user's and the assistant's messages in turn."""
    roles = ("user", "assistant")
    messages = tuple(Message(roles[i % 2], text) for i, text in enumerate(texts))
    return Request(messages, Wish(n_ctx=N_CTX), {"temperature": 0.0}, n)


def answer(link: EngineClient, asked: Request) -> tuple[str, dict[str, int]]:
    events = list(link.generate(asked))
    return "".join(e.text for e in events if isinstance(e, Text)), next(e.usage for e in events if isinstance(e, Done))


def test_the_question_reads_only_what_its_draft_did_not(link: EngineClient, paths: Paths) -> None:
    hello, _ = answer(link, request("Hello there."))
    talk, question = ("Hello there.", hello), "Please tell me in one short sentence what the capital of France is"
    with contextlib.closing(EngineClient(paths)) as typing:
        half = typing.prefill(request(*talk, question[:40]))
        whole = typing.prefill(request(*talk, question))
        assert half.is_complete
        assert whole.is_complete
        assert half.cached_tokens > 0
        assert whole.read_tokens <= whole.prompt_tokens - half.prompt_tokens + TAIL
        assert typing.prefill(request(*talk, question)).read_tokens == 0
        # Asked as it was after a pause, nothing but the last token is left.
        asked = request(*talk, question)
        assert typing.prefill(replace(asked, prefill_only=True, prefill_whole=True)).is_complete
        _, usage = answer(link, asked)
        assert usage["prompt_tokens"] - usage["cached_tokens"] == 1
        _, usage = answer(link, request(*talk, question + " called?"))
        assert usage["prompt_tokens"] - usage["cached_tokens"] <= TAIL
        # What was deleted again is taken back, and the conversation before it is still there.
        typing.prefill(request(*talk, SECRET))
        other = typing.prefill(request(*talk, "Sing"))
        assert other.read_tokens <= TAIL
        for text in (LONG, f"{LONG} 5"):
            limited = typing.prefill(replace(request(*talk, text), prefill_only=True, prefill_limit=30))
            assert limited.is_complete
            assert limited.prompt_tokens <= other.prompt_tokens + 30


def test_questions_come_first_and_parked_conversations_stay(link: EngineClient, paths: Paths) -> None:
    parked, _ = answer(link, request(LONG))
    is_reading, far, reasons = threading.Event(), list[Prefilled](), list[str]()
    reading = EngineClient(paths)

    def read() -> None:
        for event in reading.generate(replace(request("Again. " + 2 * LONG[::-1]), prefill_only=True)):
            if isinstance(event, Prefill):
                is_reading.set()
            elif isinstance(event, Prefilled):
                far.append(event)
            elif isinstance(event, Done):
                reasons.append(event.finish_reason)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert is_reading.wait(60)
    _, usage = answer(link, request(LONG, parked, "What is two plus two?"))
    thread.join(60)
    assert usage["completion_tokens"] > 0
    assert [each.is_complete for each in far] == [False]
    assert reasons == ["cancelled"]
    # Beside the parked conversation there is no place for this.
    for word in ("One. ", "Two. "):
        assert reading.prefill(request(word + 4 * LONG)).read_tokens == 0
    reading.close()
    _, usage = answer(link, request(LONG, parked, "Go on."))
    assert usage["prompt_tokens"] - usage["cached_tokens"] <= 2 * TAIL


def test_a_draft_waits_for_the_answer_of_another_client_and_is_replaced_by_the_next(
    link: EngineClient, paths: Paths
) -> None:
    drafts, seen = DraftReader(paths, 2048), list[Event]()
    with contextlib.closing(EngineClient(paths)) as typing:
        for event in link.generate(request("What is the capital of France?", n=40)):
            if isinstance(event, Text) and not seen:
                assert drafts.read(request("An old draft that is replaced"))
                assert drafts.read(request(SECRET))
            seen.append(event)
        assert isinstance(seen[-1], Done)
        assert seen[-1].usage["completion_tokens"] == 40
        # Read after the answer; asked once more, nothing is left to read.
        assert typing.prefill(request(SECRET)).is_complete
    drafts.stop()


def test_a_draft_leaves_nothing_on_disk(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECHAT_LOG_ANSWERS", "full")
    with contextlib.closing(EngineClient(paths, keeps=True)) as link:
        asked = replace(request("Hello there."), keep="conversation 1")
        hello, usage = answer(link, asked)
        draft = replace(request("Hello there.", hello, f"{SECRET}. {LONG}"), keep="conversation 1")
        read = link.prefill(draft)
        answer(link, request("Another question."))
    client.stop(paths)
    assert read.is_complete
    files = [file for file in paths.state.parent.rglob("*") if file.is_file()]
    assert any("Hello there" in file.read_text(errors="replace") for file in files)
    assert not [file for file in files if SECRET[:20] in file.read_text(errors="replace")]
    kept = [tokens_of(file) for file in files if file.suffix == ".kv"]
    assert kept
    assert max(map(len, kept)) <= usage["prompt_tokens"] + usage["completion_tokens"]


def test_instructions_are_read_once_and_found_by_the_next_engine(link: EngineClient, paths: Paths) -> None:
    system = Message("system", f"You know this. {LONG}")
    prepare = Request((system, Message("user", "")), Wish(n_ctx=N_CTX), prefill_only=True, keep_on_disk=True)
    first = link.prefill(prepare)
    assert first.is_complete
    assert first.is_kept
    client.stop(paths)
    with contextlib.closing(EngineClient(paths)) as later:
        _, usage = answer(later, replace(prepare, messages=(system, Message("user", "Why?")), prefill_only=False,
                                         keep_on_disk=False, max_tokens=2))  # fmt: skip
        assert usage["cached_tokens"] >= first.prompt_tokens
        again = later.prefill(prepare)
        assert again.is_kept
        assert again.read_tokens == 0
