"""Which messages are dropped when a conversation no longer fits the context; here each word is one token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from edgechat.engine.protocol.conversation_trimming import MARK, ContextWindow, least_tokens, longest_prompt
from edgechat.engine.protocol.request import Message, Request
from edgechat.errors import ContextOverflowError

if TYPE_CHECKING:
    from edgechat.engine.protocol.events import Trimmed

N_CTX = 400
ANSWER = 40


@dataclass(frozen=True)
class Words:
    """A prompt as the engine makes one."""

    tokens: tuple[str, ...]
    messages: tuple[Message, ...]

    @property
    def n_cells(self) -> int:
        """What of the context it takes."""
        return len(self.tokens)


def build(request: Request) -> Words:
    """Each message costs two tokens beside its words, as templates do."""
    words = (word for each in request.messages for word in ("<", *each.content.split(), ">"))
    return Words(tuple(words), request.messages)


def talk(turns: int, *, system: bool = True) -> tuple[Message, ...]:
    """A conversation of so many questions, the last one open: 22 tokens a question, 14 an answer."""
    messages = [Message("system", "be brief")] if system else []
    for turn in range(turns):
        messages.append(Message("user", f"question {turn} " + "q " * 18))
        messages.append(Message("assistant", f"answer {turn} " + "a " * 10))
    return tuple(messages[:-1])


def ask(budget: ContextWindow, messages: tuple[Message, ...], overflow: str = "trim", summary: str = "") -> Asked:
    request = Request(messages, max_tokens=ANSWER, overflow=overflow, summary=summary)
    return Asked(*budget.fit(request, build))


@dataclass(frozen=True)
class Asked:
    """What is read, and what was said of the rest."""

    prompt: Words
    trimmed: Trimmed | None

    @property
    def first(self) -> str:
        """The first message behind the system's."""
        return next(each.content for each in self.prompt.messages if each.role != "system")


def test_what_fits_is_read_whole() -> None:
    asked = ask(ContextWindow(N_CTX), talk(9))

    assert asked.prompt.messages == talk(9)
    assert asked.trimmed is None


@pytest.mark.parametrize("system", [True, False])
def test_a_long_talk_never_fails_and_is_trimmed_in_large_steps(system: bool) -> None:
    budget, trims, read_since, before = ContextWindow(N_CTX), 0, [], 0
    for turn in range(1, 200):
        messages = talk(turn, system=system)
        asked = ask(budget, messages)
        size = len(asked.prompt.tokens)
        assert size <= longest_prompt(N_CTX, ANSWER)
        assert asked.prompt.messages[-1] == messages[-1], "the newest question is read"
        assert (asked.prompt.messages[0].role == "system") == system, "the system message stays, and nothing else leads"
        assert asked.first.startswith("question")
        assert asked.trimmed is None or asked.trimmed.messages == len(messages) - len(asked.prompt.messages)
        if asked.trimmed is not None and asked.trimmed.is_new:
            trims += 1
            read_since.append(before)
            assert size <= longest_prompt(N_CTX, ANSWER) - N_CTX // 4, "a quarter is free afterwards"
            before = 0
        elif turn > 1:
            before += 36
    # 36 tokens a turn, of which a trim frees at least 100.
    assert trims > 10
    assert min(read_since) > N_CTX // 4 - 36


def test_the_turns_behind_a_trim_begin_where_it_did() -> None:
    budget = ContextWindow(N_CTX)
    trimmed = ask(budget, talk(12))
    assert trimmed.trimmed is not None
    after = ask(budget, talk(13))

    assert after.prompt.messages[: len(trimmed.prompt.messages)] == trimmed.prompt.messages, "the cache knows it"
    assert after.trimmed is not None
    assert (after.trimmed.messages, after.trimmed.is_new) == (trimmed.trimmed.messages, False)


def test_another_conversation_is_not_cut_where_this_one_was() -> None:
    budget = ContextWindow(N_CTX)
    ask(budget, talk(12))
    other = (Message("system", "be kind"), *talk(3)[1:])

    assert ask(budget, other).trimmed is None


def test_a_question_that_fills_the_context_stays_alone() -> None:
    long = Message("user", "w " * 380)
    asked = ask(ContextWindow(N_CTX), (*talk(5), Message("assistant", "yes"), long))

    assert asked.prompt.messages == (talk(1)[0], long)


def test_a_question_too_long_by_itself_is_left_to_be_refused() -> None:
    asked = ask(ContextWindow(N_CTX), (Message("user", "w " * 500),))

    assert len(asked.prompt.tokens) == 502
    assert asked.trimmed is None


def test_refused_is_what_does_not_say_otherwise() -> None:
    asked = ask(ContextWindow(N_CTX), talk(20), "refuse")

    assert asked.prompt.messages == talk(20)
    assert asked.trimmed is None


def test_who_wants_a_summary_is_told_what_would_go() -> None:
    budget = ContextWindow(N_CTX)
    with pytest.raises(ContextOverflowError) as caught:
        ask(budget, talk(12), "summarize")

    dropped = caught.value.dropped
    assert dropped > 0
    asked = ask(budget, talk(12), "summarize", "They spoke of pumps.")
    assert asked.trimmed is not None
    assert (asked.trimmed.messages, asked.trimmed.summary) == (dropped, "They spoke of pumps.")
    assert asked.first == f"{MARK}\nThey spoke of pumps.\n\n{talk(12)[1 + dropped].content}"
    # It stays for the turns that follow, whose clients send all of the conversation again.
    after = ask(budget, talk(13), "summarize")
    assert after.prompt.messages[: len(asked.prompt.messages)] == asked.prompt.messages


def test_a_summary_is_read_although_the_request_for_it_was_trimmed() -> None:
    """What is summed up may be too long as well; its cut must not stand for that of the conversation."""
    budget, messages = ContextWindow(N_CTX), (*talk(7), Message("assistant", "a " * 10), Message("user", "q " * 150))
    with pytest.raises(ContextOverflowError) as caught:
        ask(budget, messages, "summarize")
    dropped = caught.value.dropped
    system, *body = messages
    wish = Message("user", "Summarize. " + "w " * 200)
    assert ask(budget, (system, *body[:dropped], wish)).trimmed is not None

    asked = ask(budget, messages, "summarize", "They spoke of pumps.")
    assert asked.trimmed is not None
    assert (asked.trimmed.messages, asked.trimmed.summary) == (dropped, "They spoke of pumps.")
    assert asked.first.startswith(MARK)


def test_a_conversation_taken_back_to_the_point_of_a_cut_is_read_all_the_same() -> None:
    budget = ContextWindow(N_CTX)
    cut = ask(budget, talk(12)).trimmed
    assert cut is not None
    taken_back = talk(12)[: 1 + cut.messages]

    assert ask(budget, taken_back).prompt.messages[-1] == taken_back[-1]


def test_a_summary_is_counted_too() -> None:
    budget, summary = ContextWindow(N_CTX), "s " * 60
    asked = ask(budget, talk(12), "summarize", summary)

    assert len(asked.prompt.tokens) <= longest_prompt(N_CTX, ANSWER) - N_CTX // 4


def test_the_answers_room_is_a_quarter_at_most() -> None:
    assert longest_prompt(4096, None) == 3072
    assert longest_prompt(4096, 5000) == 3072
    assert longest_prompt(4096, 100) == 3996
    assert longest_prompt(512, None) == 384


def test_the_fewest_tokens_leave_out_what_templates_and_tokenizers_may() -> None:
    padded = (Message("user", " \u2003\u3000\n" * 1000 + "abcdefg hij"), Message("assistant", "thought " * 1000))
    assert least_tokens(padded, 5) == 2
    assert least_tokens((*padded, Message("system", "k")), 5) == 3
    assert least_tokens((Message("user", ""),), 5) == 0
