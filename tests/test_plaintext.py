"""What models and files say reaches a terminal as text and nothing else."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.plaintext import clean, clean_line

# Plain text and what terminals obey, often side by side.
NASTY = st.lists(
    st.one_of(
        st.text(st.characters(), max_size=5),
        st.sampled_from(
            ["\x1b[31m", "\x1b]0;title\x07", "\x9b2J", "\x90q\x9c", "\r", "\b", "\x7f", "\u202e", "\u2066", "\u2028"]
        ),
    ),
    max_size=12,
).map("".join)
BIDI_CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(NASTY)
def test_no_control_character_survives_but_newline_and_tab(text):
    for character in clean(text):
        assert character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"}
        assert unicodedata.bidirectional(character) not in BIDI_CONTROLS
        assert character not in "\u200e\u200f\u061c"


@given(NASTY, st.lists(st.integers(0, 60), max_size=6))
def test_cleaning_a_stream_piece_by_piece_gives_what_cleaning_the_whole_would(text, cuts):
    edges = [0, *sorted(min(i, len(text)) for i in cuts), len(text)]
    assert "".join(clean(text[a:b]) for a, b in itertools.pairwise(edges)) == clean(text)


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs", "Co"])))
def test_text_in_any_script_is_left_alone(text):
    assert clean(text) == text


def test_joined_emoji_and_scripts_that_need_joiners_stay_whole():
    text = "👩‍👩‍👧 می‌خواهم क्‍ष"
    assert clean(text) == text


@given(NASTY)
def test_clean_text_can_be_encoded_and_cleaned_again(text):
    assert clean(clean(text)) == clean(text)
    clean(text).encode()


@given(NASTY)
def test_a_line_is_one_line(text):
    line = clean_line(text)
    assert len(line.splitlines()) <= 1
    assert "\t" not in line
    assert line == line.strip()


@pytest.mark.parametrize(
    ("text", "line"), [("a\n b\tc\r\n", "a b c"), ("", ""), ("\x1b[1mbold\x1b[0m", "[1mbold[0m"), (" \u2028 x", "x")]
)
def test_names_and_messages_become_one_line(text, line):
    assert clean_line(text) == line
