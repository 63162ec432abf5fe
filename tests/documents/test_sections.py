"""Sections end at headings, keep rows and steps whole, and stay within their bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgechat.documents.block import Block, Kind
from edgechat.documents.sections import MAX_TOKENS, parts_of, sections
from edgechat.documents.token_estimate import estimated_tokens
from edgechat.plaintext import clean

KINDS: list[Kind] = ["heading", "paragraph", "step", "row", "code"]
TEXT = "The pump moves water. " * 30


def test_a_heading_begins_a_section() -> None:
    found = list(sections([Block("A", "heading", 1), Block(TEXT * 3), Block("B", "heading", 2), Block(TEXT * 3)]))
    assert [each.headings for each in found] == [("A",), ("A", "B")]


def test_short_sections_below_one_heading_are_joined_and_keep_their_headings() -> None:
    blocks = [
        Block("A", "heading", 1),
        Block("one"),
        Block("B", "heading", 2),
        Block("two"),
        Block("C", "heading", 1),
        Block("x"),
    ]
    first, second = sections(blocks)
    assert (first.headings, first.inner_headings) == (("A",), ("B",))
    assert first.text == "one\n\n### B\ntwo"
    assert second.headings == ("C",)


def test_neighbours_are_never_shown_under_each_others_heading() -> None:
    blocks = [
        Block("Manual", "heading", 1),
        Block("Install", "heading", 2),
        Block("one"),
        Block("Use", "heading", 2),
        Block("two"),
    ]
    (found,) = sections(blocks)
    assert (found.headings, found.inner_headings) == (("Manual",), ("Install", "Use"))
    assert found.text == "### Install\none\n\n### Use\ntwo"
    assert list(parts_of(found.headings, found.text))[1:] == [
        (("Manual", "Install"), "one\n"),
        (("Manual", "Use"), "two"),
    ]


def test_a_step_and_a_row_stay_whole() -> None:
    for kind in ("step", "row"):
        long = "Turn the screw with 9 Nm. " * 250
        assert MAX_TOKENS < estimated_tokens(long.strip()) < 2 * MAX_TOKENS
        found = list(sections([Block(TEXT), Block(long, kind), Block(TEXT)]))
        assert sum(long.strip() in each.text for each in found) == 1


def test_a_divided_table_has_its_header_in_each_part() -> None:
    rows = [Block(f"E-{number} | means {TEXT[:60]}", "row", header="Code | Meaning") for number in range(200)]
    found = list(sections([Block("Codes", "heading", 1), Block("Code | Meaning", "row"), *rows]))
    assert len(found) > 2
    assert all(each.text.startswith("Code | Meaning\n") for each in found)
    assert sum(each.text.count("E-") for each in found) == 200


def test_control_characters_never_reach_a_section() -> None:
    (found,) = sections([Block("A\x1b[31m", "heading", 1), Block("b\x1b]52;c;x\x07 \u202ec")])
    assert found.headings == ("A[31m",)
    assert found.text == "b]52;c;x c"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["heading", "paragraph", "step", "row", "code"]), st.text(max_size=3000), st.integers(1, 6)
        ),
        max_size=12,
    )
)
def test_no_text_is_lost_and_no_section_exceeds_its_bound(parts: list[tuple[Kind, str, int]]) -> None:
    blocks = [Block(text, kind, level) for kind, text, level in parts]
    found = list(sections(blocks))
    wanted = "".join("".join(clean(each.text).split()) for each in blocks if each.kind != "heading")
    have = "".join(
        "".join(line.split())
        for each in found
        for line in each.text.split("\n")
        if not line.startswith(("## ", "### "))
    )
    if not any("#" in each.text for each in blocks):
        assert have == wanted
    assert all(each.tokens <= 2 * MAX_TOKENS + 400 for each in found)
