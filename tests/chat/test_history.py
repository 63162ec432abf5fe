"""What a person does with conversations: they come back as they were said, in the order in which they were said."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from edgechat.chat.conversation import Message, title_from, utc_time
from edgechat.chat.history import History, history_file
from edgechat.errors import InvalidInputError, StateError

if TYPE_CHECKING:
    from edgechat.paths import Paths


def talk(history: History, *exchanges: tuple[str, str]) -> int:
    number = history.start().id
    for question, reply in exchanges:
        history.add_question(number, question)
        with history.start_answer(number, "small", "Q4_K_M") as answer:
            answer.append(reply)
            answer.finish("stop", usage={"prompt_tokens": 7}, timing={"decode_tps": 1.5})
    return number


def texts(history: History, number: int) -> list[str]:
    return [message.content for message in history.messages(number)]


def test_a_conversation_comes_back_as_it_was_said(history: History, paths: Paths) -> None:
    hostile = "\x1b[31mred\x1b]8;;http://x\x07 \u202e\0 東京 🙂\r\n"
    number = talk(history, (hostile, hostile))
    history.close()
    with History.open(paths) as again:
        question, answer = again.messages(number)
        assert (question.role, question.content, question.status) == ("user", hostile, "complete")
        assert (answer.role, answer.content, answer.finish_reason) == ("assistant", hostile, "stop")
        assert (answer.model, answer.quant) == ("small", "Q4_K_M")
        assert (answer.usage, answer.timing) == ({"prompt_tokens": 7}, {"decode_tps": 1.5})
        assert again.conversation(number).model == "small:Q4_K_M"


def test_half_a_surrogate_pair_is_kept_as_a_replacement(history: History) -> None:
    number = history.start(system="\udcff").id
    assert history.add_question(number, "a\udcffb").content == "a\ufffdb"
    assert history.conversation(number).system == "\ufffd"
    assert history.rename(number, "x\ud800").title == "x\ufffd"


@pytest.mark.parametrize("years", [(1970, 2099, 1970), (2099, 1971, 2030)])
def test_order_and_recency_do_not_ask_the_clock(
    history: History, monkeypatch: pytest.MonkeyPatch, years: tuple[int, ...]
) -> None:
    numbers = []
    for year in years:
        monkeypatch.setattr(time, "time", lambda year=year: (year - 1970) * 31_556_952.0 + 86_400)
        numbers.append(talk(history, (f"in {year}", "yes"), ("second", "third")))
    assert [each.id for each in history.conversations()] == numbers[::-1]
    for number, year in zip(numbers, years, strict=True):
        assert texts(history, number) == [f"in {year}", "yes", "second", "third"]
        created = history.conversation(number).created_at
        assert created is None if year < 2024 else created is not None and created.startswith(str(year))
    history.add_question(numbers[0], "one more")
    last = history.last()
    assert last is not None
    assert last.id == numbers[0]


@pytest.mark.parametrize("seconds", [0.0, 1_000_000_000.0, 1_704_067_199.0, -1e18, 1e18])
def test_an_unset_clock_gives_no_date(seconds: float) -> None:
    assert utc_time(seconds) is None


def test_a_set_clock_gives_utc() -> None:
    assert utc_time(1_704_067_200.0) == "2024-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Hello there", "Hello there"),
        ("\n\n  second line says it \nthird", "second line says it"),
        ("word " * 30, "word " * 11 + "word…"),
        ("東" * 80, "東" * 60 + "…"),
        ("\x1b[2J\u202eevil", "[2Jevil"),
        ("\n \n", ""),
    ],
)
def test_titles_come_from_the_first_line_that_says_something(history: History, text: str, title: str) -> None:
    assert title_from(text) == title
    number = history.start().id
    history.add_question(number, text)
    assert history.conversation(number).title == title


def test_a_given_title_stays_and_a_rename_is_found(history: History) -> None:
    number = history.start(title="Pump").id
    history.add_question(number, "something else")
    assert history.conversation(number).title == "Pump"
    assert history.rename(number, " The \x1bblue\n\u202evalve ").title == "The blue valve"
    assert [hit.conversation for hit in history.search("valve")] == [number]
    assert history.search("pump") == []
    with pytest.raises(InvalidInputError, match="at least one character"):
        history.rename(number, " \n")


def test_delete_can_be_undone_until_purged(history: History, paths: Paths) -> None:
    kept, gone = talk(history, ("the blue valve", "ok")), talk(history, ("the secretword", "noted"))
    history.delete(gone)
    assert [each.id for each in history.conversations()] == [kept]
    assert [each.id for each in history.conversations(is_deleted=True)] == [gone]
    assert history.search("secretword") == []
    history.restore(gone)
    assert texts(history, gone) == ["the secretword", "noted"]
    assert len(history.search("secretword")) == 1
    history.delete(gone)
    assert history.purge([kept, gone]) == 1, "what was not deleted is not purged"
    assert texts(history, kept) == ["the blue valve", "ok"]
    with pytest.raises(InvalidInputError, match=f"no conversation {gone}"):
        history.conversation(gone)
    assert history.check_integrity() == []
    assert talk(history, ("next", "ok")) > gone, "numbers are never given again"
    for file in history_file(paths).parent.glob("history.db*"):
        assert b"secretword" not in file.read_bytes(), "purged text is overwritten, also in the index"


def test_a_fork_holds_what_was_said_until_there_and_goes_its_own_way(history: History) -> None:
    number = talk(history, ("one", "two"), ("three", "four"))
    history.set_system(number, "Be brief.")
    fork = history.fork(history.messages(number)[1].id)
    assert fork.system == "Be brief."
    history.add_question(fork.id, "five")
    assert texts(history, fork.id) == ["one", "two", "five"]
    assert texts(history, number) == ["one", "two", "three", "four"]
    answer = history.messages(fork.id)[1]
    assert (answer.usage, answer.model) == ({"prompt_tokens": 7}, "small")
    history.delete(number)
    history.purge()
    assert texts(history, fork.id) == ["one", "two", "five"]
    assert history.conversation(fork.id).forked_from is None


def test_a_fork_of_an_answer_in_the_making_holds_what_there_is(history: History) -> None:
    number = history.start().id
    history.add_question(number, "go")
    with history.start_answer(number) as answer:
        answer.append("so far")
        answer.flush()
        copy = history.messages(history.fork(answer.message).id)[-1]
        assert (copy.content, copy.status, copy.finish_reason) == ("so far", "partial", "interrupted")
        answer.append(" and on")
    assert texts(history, number) == ["go", "so far and on"]


def test_retracted_messages_are_left_out_and_then_go_for_good(history: History) -> None:
    number = talk(history, ("one", "two"), ("three", "fourfold"))
    third = history.messages(number)[2].id
    history.retract(third)
    history.add_question(number, "other")
    assert texts(history, number) == ["one", "two", "other"]
    assert history.search("fourfold") == []
    history.purge()
    assert texts(history, number) == ["one", "two", "other"]
    assert history.check_integrity() == []


def test_a_long_conversation_is_read_page_by_page(history: History) -> None:
    number = history.start().id
    said = [history.add_question(number, str(i)).id for i in range(10)]
    newest = history.messages(number, 3)
    assert [message.content for message in newest] == ["7", "8", "9"]
    assert [message.content for message in history.messages(number, 3, before=newest[0].id)] == ["4", "5", "6"]
    assert [message.content for message in history.messages(number, 3, before=said[1])] == ["0"]


@pytest.mark.parametrize("act", ["add_question", "start_answer", "rename", "delete", "restore", "transcript"])
def test_a_conversation_that_is_not_there_is_named(history: History, act: str) -> None:
    arguments = {"add_question": ("x",), "rename": ("x",)}.get(act, ())
    with pytest.raises(InvalidInputError, match=r"There is no conversation 77.*history list"):
        getattr(history, act)(77, *arguments)


def test_two_open_histories_and_many_threads_write_at_once(history: History, paths: Paths) -> None:
    number = history.start().id
    faults: list[BaseException] = []

    def write(kept: History, name: str) -> None:
        try:
            for i in range(20):
                kept.add_question(number, f"{name}{i}")
        except BaseException as fault:  # noqa: BLE001 - told to the test's own thread
            faults.append(fault)

    with History.open(paths) as other:
        threads = [threading.Thread(target=write, args=(kept, name)) for kept, name in
                   [(history, "a"), (history, "b"), (other, "c"), (other, "d")]]  # fmt: skip
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert faults == []
    said = texts(history, number)
    for name in "abcd":
        assert [text for text in said if text[0] == name] == [f"{name}{i}" for i in range(20)]


class TestAnswer:
    """Text in the making."""

    def test_batches_by_size_and_time_and_says_what_is_on_disk(self, history: History, paths: Paths) -> None:
        number = history.start().id
        answer = history.start_answer(number)
        now = 0.0
        answer._clock = lambda: now
        answer._written_at = 0.0

        def on_disk() -> str:
            with History.open(paths) as other:
                return other.messages(number)[-1].content

        assert answer.append("a") is False
        assert on_disk() == ""
        now = 1.1
        assert answer.append("b") is True
        assert on_disk() == "ab"
        assert answer.append("c") is False
        assert answer.append("d" * 3000) is True
        assert on_disk() == "abc" + "d" * 3000
        answer.append("e")
        answer.finish("stop")
        assert on_disk().endswith("de")

    def test_thoughts_stand_apart(self, history: History) -> None:
        number = history.start().id
        with history.start_answer(number) as answer:
            answer.append("hm", is_thought=True)
            answer.append("yes")
            answer.finish("stop")
        (message,) = history.messages(number)
        assert (message.thought, message.content) == ("hm", "yes")

    @pytest.mark.parametrize(
        ("reason", "status"),
        [("stop", "complete"), ("length", "complete"), ("cancelled", "partial"), ("timeout", "partial")],
    )
    def test_how_it_ended_is_kept(self, history: History, reason: str, status: str) -> None:
        number = history.start().id
        with history.start_answer(number) as answer:
            answer.append("so far")
            answer.finish(reason)
        (message,) = history.messages(number)
        assert (message.status, message.finish_reason, message.content) == (status, reason, "so far")

    def test_left_by_an_error_it_is_partial_and_found(self, history: History) -> None:
        number = history.start().id
        answer = history.start_answer(number)
        answer.append("the pump")
        with pytest.raises(KeyboardInterrupt), answer:
            raise KeyboardInterrupt
        (message,) = history.messages(number)
        assert (message.status, message.finish_reason, message.content) == ("partial", "interrupted", "the pump")
        assert [hit.message for hit in history.search("pump")] == [message.id]

    def test_another_process_leaves_a_living_writer_alone(self, history: History, paths: Paths) -> None:
        number = history.start().id
        with history.start_answer(number) as answer:
            answer.append("still here")
            answer.flush()
            with History.open(paths) as other:
                assert [(m.status, m.content) for m in other.messages(number)] == [("streaming", "still here")]
            answer.append(".")
            answer.finish("stop")
        assert [(m.status, m.content) for m in history.messages(number)] == [("complete", "still here.")]
        assert list((history_file(paths).parent / "writing").iterdir()) == []

    def test_a_conversation_removed_under_it_is_said(self, history: History, paths: Paths) -> None:
        number = history.start().id
        answer = history.start_answer(number)
        answer.append("lost")
        with History.open(paths) as other:
            other.delete(number)
            other.purge()
        with pytest.raises(StateError, match="removed while its answer was being written"):
            answer.finish("stop")
        with pytest.raises(StateError, match="removed"):
            answer.close()


def test_imported_conversations_are_kept_all_or_none(history: History) -> None:
    good = history.transcript(talk(history, ("a", "b")))
    bad = Message("robot", "x")  # type: ignore[arg-type]
    before = history.conversations()
    with pytest.raises(Exception, match="CHECK constraint"):
        history.add(
            [type(good)(type(good.conversation)(), good.messages), type(good)(good.conversation.__class__(), (bad,))]
        )
    assert history.conversations() == before
