"""Conversations are swapped out of the KV cache to memory and back; when memory is short they stay in the cache."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from edgechat.engine.client import client
from edgechat.engine.client.client import EngineClient
from edgechat.engine.kv_cache.eviction import HOST_SHARE, MAX_HOST_BYTES, MAX_HOST_SEQUENCES
from edgechat.engine.kv_cache.host_pool import HostPool
from edgechat.engine.protocol.events import Done, Event, Text
from edgechat.engine.protocol.request import Message, Request, Wish
from edgechat.models.gguf.header import read_header
from edgechat.paths import Paths
from edgechat.tasks.generator import EngineGenerator
from tests.board.trees import write
from tests.engine.kv_cache.cut_rules import ANY, WHOLE
from tests.models.gguf_writer import starter_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MUCH = 100 * MAX_HOST_BYTES


def tokens(talk: int, length: int = 200) -> tuple[int, ...]:
    return (talk, *range(1, length))


def filled(*talks: int, spare: int = MUCH) -> HostPool:
    """A pool with conversations of one byte each."""
    pool = HostPool(lambda: spare)
    for talk in talks:
        pool.put(tokens(talk), bytearray([talk]), pool.capacity())
    return pool


def test_what_is_put_away_is_found_by_what_goes_on_from_it() -> None:
    pool = filled(1, 2)
    found, common = pool.find((*tokens(2), 7, 8), WHOLE)
    assert found is not None
    assert (found.cells, common) == (bytearray([2]), 200)
    assert pool.find((3, *range(1, 200)), ANY) == (None, 0)
    assert pool.holds(tokens(2)[:100], ANY)
    assert not pool.holds((*tokens(2), 7), ANY)
    assert not pool.holds(tokens(2)[:100], WHOLE)


def test_a_model_that_cannot_go_back_gets_only_what_is_whole() -> None:
    pool = filled(1)
    edited = (*tokens(1)[:150], -1, -1)
    assert pool.find(edited, WHOLE) == (None, 0)
    assert pool.find(edited, ANY)[1] == 150


def test_a_longer_version_replaces_the_shorter_one() -> None:
    pool = filled()
    pool.put(tokens(1, 100), bytearray(3), MUCH)
    pool.put(tokens(1, 200), bytearray(4), MUCH)
    assert pool.sequences == [tokens(1, 200)]
    assert pool.n_bytes == 4


def test_the_oldest_go_first_but_not_the_one_that_goes_on() -> None:
    pool = filled(1, 2, 3)
    going, _ = pool.find(tokens(1), ANY)
    assert going is not None
    pool.touch(going)
    pool.put(tokens(4), bytearray(1), 2)
    assert pool.sequences == [tokens(1), tokens(4)]
    pool.remove(going)
    assert pool.sequences == [tokens(4)]
    assert filled(*range(MAX_HOST_SEQUENCES + 2)).sequences[0] == tokens(2)


def test_a_quarter_of_what_is_free_is_taken_and_never_more_than_the_limit() -> None:
    free = 1000 * HOST_SHARE
    pool = HostPool(lambda: free - pool.n_bytes)
    for talk in range(10):
        assert pool.capacity() == 1000
        pool.put(tokens(talk), bytearray(100), pool.capacity())
    assert pool.n_bytes == 1000
    free = 0
    assert pool.capacity() == 0
    free = MUCH
    assert pool.capacity() == MAX_HOST_BYTES
    pool.clear()
    assert pool.n_bytes == 0


STORY = "The mill by the river ground corn for nine villages, and its wheel turned day and night. "


def answered(events: Iterable[Event]) -> tuple[str, dict[str, Any]]:
    """What was said, and the usage."""
    every = list(events)
    (done,) = [event for event in every if isinstance(event, Done)]
    return "".join(event.text for event in every if isinstance(event, Text)), done.usage


def n_read(usage: dict[str, Any]) -> int:
    """Tokens of the prompt that had to be computed."""
    return int(usage["prompt_tokens"] - usage["cached_tokens"])


class Talk:
    """A conversation of its own, over one engine."""

    def __init__(self, generator: EngineGenerator, name: str, n_ctx: int, *, length: int = 30) -> None:
        self._generator, self._wish = generator, Wish(None, n_ctx)
        self._messages = [
            Message("user", f"{name} tells: " + length * STORY),
            Message("assistant", "I see."),
        ]

    def say(self, words: str) -> tuple[str, dict[str, Any]]:
        """What is answered, and the usage."""
        self._messages.append(Message("user", words))
        request = Request(tuple(self._messages), self._wish, max_tokens=12, sampling={"temperature": 0})
        text, usage = answered(self._generator.events(request))
        self._messages.append(Message("assistant", text))
        return text, usage


@pytest.fixture
def generator() -> Iterator[EngineGenerator]:
    paths = Paths.from_env()
    with contextlib.closing(EngineGenerator(paths)) as generator:
        yield generator
    client.stop(paths)


class Site(Protocol):
    """Changes the engines that are started from here on."""

    def __call__(self, code: str) -> None:
        """Run this at their start."""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    def put(code: str) -> None:
        write(tmp_path / "site", {"sitecustomize.py": code})
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))

    return put


@pytest.mark.engine
def test_two_conversations_that_the_cache_cannot_hold_together_are_not_read_again(generator: EngineGenerator) -> None:
    # So short that llama.cpp adds up the same numbers in the same order with any number of threads.
    n_ctx, length = 256, 6
    with contextlib.closing(EngineGenerator(Paths.from_env())) as alone:
        undisturbed = Talk(alone, "Ann", n_ctx, length=length)
        expected = [undisturbed.say("Where was it?")[0], undisturbed.say("And when?")[0]]
    client.stop(Paths.from_env())

    ann, ben = (Talk(generator, name, n_ctx, length=length) for name in ("Ann", "Ben"))
    first, usage = ann.say("Where was it?")
    assert usage["prompt_tokens"] > n_ctx // 2
    ben.say("Where was it?")
    second, usage = ann.say("And when?")
    assert n_read(usage) < 32
    assert [first, second] == expected
    assert n_read(ben.say("And when?")[1]) < 32


@pytest.mark.engine
def test_a_first_question_that_came_through_a_server_can_be_followed_up() -> None:
    paths = Paths.from_env()
    wish, asked = Wish(None, 2048), []
    try:
        with contextlib.closing(EngineClient(paths, keeps=True)) as server:
            for name in ("Ann", "Ben"):
                question = Message("user", f"{name} tells: {30 * STORY} Where was it?")
                answer, _ = answered(server.generate(Request((question,), wish, max_tokens=12)))
                asked.append((question, Message("assistant", answer)))
            for first in asked:
                messages = (*first, Message("user", "And when?"))
                assert n_read(answered(server.generate(Request(messages, wish, max_tokens=4)))[1]) < 32
    finally:
        client.stop(paths)


@pytest.mark.engine
def test_an_answer_does_not_depend_on_what_was_asked_before(generator: EngineGenerator) -> None:
    """At another place of the cache llama.cpp adds up the same numbers in another order."""

    def ask(words: str, n_tokens: int = 200) -> str:
        request = Request((Message("user", words),), max_tokens=n_tokens, sampling={"temperature": 0})
        return answered(generator.events(request))[0]

    questions = ("Why is the sky blue?", "Tell me a story about a lighthouse keeper.")
    first = [ask(question) for question in questions]
    for n_before in (8, 30):
        ask(f"{n_before} times: {n_before * STORY}", 4)
        assert ask(questions[0]) == first[0]
        ask(f"{n_before} times again: {n_before * STORY}", 4)
        assert ask(questions[1]) == first[1]


@pytest.mark.engine
def test_an_answer_that_the_tokenizer_spells_otherwise_is_not_read_again() -> None:
    path = starter_path()
    spelled = read_header(path).array("tokenizer.ggml.tokens")
    word = "thermometer" * 8
    letters = tuple(spelled.index(letter) for letter in word)
    question, paths = Message("user", "What measures how warm it is?"), Paths.from_env()
    try:
        with contextlib.closing(EngineClient(paths, keeps=True)) as asking:
            request = Request((question,), Wish(None, 1024), max_tokens=len(word) + 4, resume=letters)
            said = word + answered(asking.generate(request))[0]
            messages = (question, Message("assistant", said), Message("user", "Are you sure?"))
            _, usage = answered(asking.generate(Request(messages, Wish(None, 1024), max_tokens=4)))
    finally:
        client.stop(paths)
    assert usage["prompt_tokens"] > len(word)
    assert n_read(usage) < 24


WHOLE_ONLY = """
from edgechat.engine.native.model import Model
Model.is_rewindable = property(lambda self: False, lambda self, value: None)
"""
"""As with sliding windows and recurrent states, of which no part can be taken back."""


@pytest.mark.engine
def test_a_model_that_cannot_go_back_is_followed_up_too(generator: EngineGenerator, site: Site) -> None:
    site(WHOLE_ONLY)
    ann, ben = Talk(generator, "Ann", 1024), Talk(generator, "Ben", 1024)
    for words in ("Where was it?", "And when?"):
        for talk in (ann, ben):
            usage = talk.say(words)[1]
    assert n_read(usage) < 32
    question = Message("user", f"Cid tells: {20 * STORY} Where was it?")
    said, _ = answered(generator.events(Request((question,), Wish(None, 1024), max_tokens=12)))
    messages = (question, Message("assistant", said), Message("user", "And when?"))
    assert n_read(answered(generator.events(Request(messages, Wish(None, 1024), max_tokens=4)))[1]) < 32


FULL = """
from edgechat.engine.kv_cache import eviction
eviction.MAX_HOST_BYTES = 1000
"""


@pytest.mark.engine
def test_a_conversation_that_finds_no_room_elsewhere_stays_in_the_cache(generator: EngineGenerator, site: Site) -> None:
    site(FULL)
    ann, ben = Talk(generator, "Ann", 4096), Talk(generator, "Ben", 4096)
    ann.say("Where was it?")
    ben.say("Where was it?")
    for talk in (ann, ben):
        assert n_read(talk.say("And when?")[1]) < 32
