"""Bytes of tokens become text: the same text however they are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgechat.engine.text.detokenizer import THINK_TAGS, Detokenizer, open_thought

# Few letters, so that stop strings, tags and their beginnings meet often.
WORDS = [
    "a",
    "b",
    "ab",
    "abc",
    "bc",
    "\n",
    " ",
    "<",
    "<think",
    "<think>",
    "</think>",
    "[THINK]",
    "[/THINK]",
    "é",
    "日",
    "🙂",
]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=12).map("".join)
BYTES = st.one_of(
    TEXTS.map(str.encode),
    st.binary(max_size=30),
    st.tuples(TEXTS, st.binary(max_size=3), TEXTS).map(lambda t: t[0].encode() + t[1] + t[2].encode()),
)
STOPS = st.lists(TEXTS.filter(bool), max_size=3).map(tuple)
STARTS = st.sampled_from([None, "</think>"])


def run(pieces: list[bytes], stop: tuple[str, ...] = (), start: str | None = None) -> tuple[str, str, bool]:
    """Answer, thoughts, and whether a stop string was met."""
    reply = Detokenizer(stop, start)
    out = [piece for data in pieces for piece in reply.feed(data)] + reply.finish()
    answer, thoughts = ("".join(p.text for p in out if p.is_thought is kind) for kind in (False, True))
    return answer, thoughts, reply.is_stopped


@given(BYTES, st.lists(st.integers(0, 60), max_size=10), STOPS, STARTS)
@example(b"ab<think>x</think>", [2], (), None)
@example(b"abcd", [3], ("abcd", "bc"), None)
@example(b"<think>a</think>b", [9], ("</think>",), None)
def test_any_cutting_of_the_bytes_gives_the_same_text(data, cuts, stop, start):
    edges = [0, *sorted(min(i, len(data)) for i in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert run(pieces, stop, start) == run([data], stop, start)
    assert run([bytes([byte]) for byte in data], stop, start) == run([data], stop, start)


@given(st.text(st.characters(exclude_characters="<[", exclude_categories=["Cs"])))
def test_text_without_tags_comes_out_as_it_went_in(text):
    assert run([bytes([byte]) for byte in text.encode()]) == (text, "", False)


@given(TEXTS, STOPS)
def test_an_answer_ends_before_its_stop_string(text, stop):
    answer, _, is_stopped = run([text.encode()], stop)
    assert not any(each in answer for each in stop)
    if is_stopped:
        assert any(each in text for each in stop)


def test_a_character_that_two_tokens_share_is_never_shown_in_halves():
    reply = Detokenizer()
    assert [p.text for p in reply.feed("日".encode()[:2])] == []
    assert [p.text for p in reply.feed("日".encode()[2:])] == ["日"]


def test_half_a_character_at_the_end_is_marked_and_not_lost():
    assert run([b"ok\xe6\x97"]) == ("ok\ufffd", "", False)


def test_a_stop_string_split_over_tokens_is_found_and_its_beginning_never_shown():
    reply = Detokenizer(("###",))
    shown = [p.text for data in (b"one #", b"#", b"#two") for p in reply.feed(data)]
    assert "".join(shown) == "one "
    assert reply.is_stopped
    assert reply.feed(b"more") == []
    assert reply.finish() == []


def test_what_only_looked_like_a_stop_string_is_shown_after_all():
    assert run([b"one #", b"# two"], ("###",)) == ("one ## two", "", False)


@pytest.mark.parametrize(("opening", "closing"), THINK_TAGS)
def test_thoughts_are_kept_apart_and_the_blank_lines_behind_them_dropped(opening, closing):
    text = f"{opening}\nhm\n{closing}\n\nYes."
    assert run([text.encode()]) == ("Yes.", "\nhm\n", False)


def test_a_thought_that_the_prompt_opened_ends_at_its_closing_tag():
    assert run([b"hm</th", b"ink>\n\nYes."], start="</think>") == ("Yes.", "hm", False)


def test_a_stop_string_inside_a_thought_does_not_end_the_answer():
    assert run([b"<think>a STOP b</think>c STOP d"], ("STOP",)) == ("c ", "a STOP b", True)


def test_a_tag_quoted_in_the_middle_of_an_answer_is_text():
    text = "Qwen writes <think> before it thinks."
    assert run([text.encode()]) == (text, "", False)


def test_an_unfinished_thought_is_still_a_thought():
    assert run([b"<think>never end", b"</thi"]) == ("", "never end</thi", False)


@pytest.mark.parametrize(
    ("tail", "closing"),
    [("<|im_start|>assistant\n", None), ("assistant\n<think>\n", "</think>"), ("<think>\n\n</think>\n\n", None)],
)
def test_a_thought_opened_by_the_template_is_noticed(tail, closing):
    assert open_thought(tail) == closing
