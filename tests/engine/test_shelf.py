"""Earlier conversations leave the cache for a new one, and come back whole; where memory is short they stay in it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from edgechat.engine import client
from edgechat.engine.client import EngineClient
from edgechat.engine.events import Done, Text
from edgechat.engine.request import Message, Request, Wish
from edgechat.engine.shelf import LEAST, LIMIT_BYTES, PART, Shelf
from edgechat.models.gguf import read_header
from edgechat.paths import Paths
from edgechat.tasks.engine_generator import EngineGenerator
from tests.board.trees import write
from tests.models.gguf_writer import starter_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MUCH = 100 * LIMIT_BYTES


def tokens(talk: int, length: int = 200) -> tuple[int, ...]:
    return (talk, *range(1, length))


def test_what_is_put_away_is_found_by_what_goes_on_from_it() -> None:
    shelf = Shelf(lambda: MUCH)
    for talk in (1, 2):
        shelf.put(tokens(talk), bytearray([talk]))
    found, common = shelf.find((*tokens(2), 7, 8), is_rewindable=False)
    assert found is not None
    assert (found.cells, common) == (bytearray([2]), 200)
    assert shelf.find((3, *range(1, 200)), is_rewindable=True) == (None, 0)


def test_a_model_that_cannot_go_back_gets_only_what_is_whole() -> None:
    shelf = Shelf(lambda: MUCH)
    shelf.put(tokens(1), bytearray(1))
    edited = (*tokens(1)[:150], -1, -1)
    assert shelf.find(edited, is_rewindable=False) == (None, 0)
    assert shelf.find(edited, is_rewindable=True)[1] == 150


@pytest.mark.parametrize(("n_taken", "is_kept"), [(200, False), (201 - LEAST, False), (200 - LEAST, True)])
def test_what_goes_on_leaves_the_shelf_and_what_branches_stays(n_taken: int, is_kept: bool) -> None:
    shelf = Shelf(lambda: MUCH)
    shelf.put(tokens(1), bytearray(5))
    (found, _) = shelf.find(tokens(1), is_rewindable=True)
    assert found is not None
    shelf.taken(found, n_taken)
    assert shelf.n_bytes == (5 if is_kept else 0)


def test_a_longer_version_replaces_the_shorter_one() -> None:
    shelf = Shelf(lambda: MUCH)
    shelf.put(tokens(1, 100), bytearray(3))
    shelf.put(tokens(1, 200), bytearray(4))
    assert shelf.n_bytes == 4


def test_the_oldest_go_when_the_shelf_is_full() -> None:
    shelf, third = Shelf(lambda: MUCH), LIMIT_BYTES // 3
    for talk in (1, 2, 3):
        assert shelf.makes_room(third)
        shelf.put(tokens(talk), bytearray(third))
    assert shelf.makes_room(third)
    assert shelf.find(tokens(1), is_rewindable=True) == (None, 0)
    assert shelf.find(tokens(2), is_rewindable=True)[1] == 200
    assert not shelf.makes_room(LIMIT_BYTES + 1)


def test_a_quarter_of_what_is_free_is_taken_and_nothing_goes_where_that_is_little() -> None:
    free = 1000 * PART
    shelf = Shelf(lambda: free - shelf.n_bytes)
    assert not shelf.makes_room(1001)
    for talk in range(10):
        assert shelf.makes_room(100)
        shelf.put(tokens(talk), bytearray(100))
    assert not shelf.makes_room(1)
    assert shelf.find(tokens(0), is_rewindable=True)[1] == 200
    shelf.clear()
    assert shelf.makes_room(1000)
    free = 0
    assert not shelf.makes_room(1)


STORY = "The mill by the river ground corn for nine villages, and its wheel turned day and night. "


class Talk:
    """A conversation of its own, over one engine."""

    def __init__(self, generator: EngineGenerator, name: str, n_ctx: int) -> None:
        self._generator, self._wish = generator, Wish(None, n_ctx)
        self._messages = [
            Message("user", f"{name} tells: " + 30 * STORY),
            Message("assistant", "I see."),
        ]

    def say(self, words: str) -> tuple[str, dict[str, Any]]:
        """What is answered, and the usage."""
        self._messages.append(Message("user", words))
        request = Request(tuple(self._messages), self._wish, max_tokens=12, sampling={"temperature": 0})
        events = list(self._generator.events(request))
        (done,) = [event for event in events if isinstance(event, Done)]
        text = "".join(event.text for event in events if isinstance(event, Text))
        self._messages.append(Message("assistant", text))
        return text, done.usage


@pytest.fixture
def generator() -> Iterator[EngineGenerator]:
    paths = Paths.from_env()
    with contextlib.closing(EngineGenerator(paths)) as generator:
        yield generator
    client.stop(paths)


@pytest.mark.engine
def test_two_conversations_that_the_cache_cannot_hold_together_are_not_read_again(generator: EngineGenerator) -> None:
    with contextlib.closing(EngineGenerator(Paths.from_env())) as alone:
        undisturbed = Talk(alone, "Ann", 1024)
        expected = [undisturbed.say("Where was it?")[0], undisturbed.say("And when?")[0]]
    client.stop(Paths.from_env())

    ann, ben = Talk(generator, "Ann", 1024), Talk(generator, "Ben", 1024)
    first, usage = ann.say("Where was it?")
    assert usage["prompt_tokens"] > 1024 // 2
    ben.say("Where was it?")
    second, usage = ann.say("And when?")
    assert usage["prompt_tokens"] - usage["cached_tokens"] < 32
    assert [first, second] == expected
    usage = ben.say("And when?")[1]
    assert usage["prompt_tokens"] - usage["cached_tokens"] < 32


@pytest.mark.engine
def test_a_first_question_that_came_through_a_server_can_be_followed_up() -> None:
    paths = Paths.from_env()
    wish, asked = Wish(None, 2048), []
    try:
        with contextlib.closing(EngineClient(paths, keeps=True)) as server:
            for name in ("Ann", "Ben"):
                question = Message("user", f"{name} tells: {30 * STORY} Where was it?")
                events = list(server.generate(Request((question,), wish, max_tokens=12)))
                answer = "".join(event.text for event in events if isinstance(event, Text))
                asked.append((question, Message("assistant", answer)))
            for first in asked:
                messages = (*first, Message("user", "And when?"))
                (done,) = [
                    event for event in server.generate(Request(messages, wish, max_tokens=4)) if isinstance(event, Done)
                ]
                assert done.usage["prompt_tokens"] - done.usage["cached_tokens"] < 32
    finally:
        client.stop(paths)


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
            said = word + "".join(event.text for event in asking.generate(request) if isinstance(event, Text))
            messages = (question, Message("assistant", said), Message("user", "Are you sure?"))
            (done,) = [
                event
                for event in asking.generate(Request(messages, Wish(None, 1024), max_tokens=4))
                if isinstance(event, Done)
            ]
    finally:
        client.stop(paths)
    assert done.usage["prompt_tokens"] > len(word)
    assert done.usage["prompt_tokens"] - done.usage["cached_tokens"] < 24


FULL = """
from edgechat.engine import shelf
shelf.LIMIT_BYTES = 1000
"""


@pytest.mark.engine
def test_a_conversation_that_finds_no_room_elsewhere_stays_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generator: EngineGenerator
) -> None:
    write(tmp_path / "site", {"sitecustomize.py": FULL})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    ann, ben = Talk(generator, "Ann", 4096), Talk(generator, "Ben", 4096)
    ann.say("Where was it?")
    ben.say("Where was it?")
    for talk in (ann, ben):
        usage = talk.say("And when?")[1]
        assert usage["prompt_tokens"] - usage["cached_tokens"] < 32
