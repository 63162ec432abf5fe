"""Passages may be quoted: each stands in its section, and none is too long for a grammar."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgechat.documents.block import Block
from edgechat.documents.sections import sections
from edgechat.tasks.manual.passages import LONGEST, MAX_PASSAGES, heading_of, passages, stands_in


def test_sentences_steps_and_rows() -> None:
    text = "Open the valve. Then\nclose it.\n\n1. First step.\n2. Second step.\n\nCode | Text\nE-1 | hot\n\n"
    text += "停止します。再起動します。"
    assert passages(text) == [
        "Open the valve.", "Then close it.", "First step.", "Second step.", "Code | Text", "E-1 | hot",
        "停止します。", "再起動します。",
    ]  # fmt: skip


def test_a_row_of_markdown_begins_with_its_first_word() -> None:
    text = "| Code | Meaning |\n|---|---|\n| E-402 | Motor too hot |"
    assert passages(text) == ["Code | Meaning", "E-402 | Motor too hot"]


@given(st.text(alphabet=st.sampled_from("ab .,。\n|1-#x、"), max_size=3000))
def test_every_passage_stands_in_its_section(text: str) -> None:
    for section in sections([Block(text)]):
        found = passages(section.text)
        assert len(found) <= MAX_PASSAGES
        for each in found:
            assert len(each) <= LONGEST
            assert stands_in(each, section.text)


def test_another_text_does_not_stand_there() -> None:
    assert not stands_in("", "a b")
    assert not stands_in("A b", "a b")
    assert stands_in("a b", "a\n b")


def test_headings_between_are_kept_and_lines_that_look_like_one_are_none() -> None:
    blocks = [
        Block("A", "heading", 1),
        Block("one\n### not a heading\ntwo"),
        Block("B", "heading", 2),
        Block("C", "heading", 3),
        Block("three"),
    ]
    (found,) = sections(blocks)
    assert found.inner_headings == ("B › C",)
    assert heading_of("two", found.headings, found.text) == ("A",)
    assert heading_of("three", found.headings, found.text) == ("A", "B › C")
