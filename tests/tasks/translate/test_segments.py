"""Segmentation loses nothing, whatever the text; cuts where sentences end, and not inside what must stay whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.tasks.translate.languages import detect
from edgechat.tasks.translate.protect import mask
from edgechat.tasks.translate.segments import MAX_EAST, MAX_LATIN, segments

LANGUAGES = ["en", "ja", "zh", "de", "und"]
PARTS = (
    *("Dr. Smith", " ", "  ", "\n", "\r\n", "。", "！？", ".", "! ", "「行こう。」", "今日は", "你好", "e.g. ", "3.5"),
    *("`a. b`", "https://a.b/c?d=1.", "{x. y}", "\u3000", "\u2028", "\x85", "(", "”", "…", "<b>", "𠮷野家", "a" * 70),
)
MIXED = st.lists(st.sampled_from(PARTS) | st.text(max_size=6), max_size=40).map("".join)


@given(MIXED, st.sampled_from(LANGUAGES))
def test_the_segments_are_the_text_to_the_last_byte(text, language):
    assert "".join(segment.text for segment in segments(text, language)) == text


@given(st.text(max_size=300), st.sampled_from(LANGUAGES))
def test_no_text_of_unicode_loses_anything(text, language):
    assert "".join(segment.text for segment in segments(text, language)).encode(
        "utf-8", "surrogatepass"
    ) == text.encode("utf-8", "surrogatepass")


@given(MIXED, st.sampled_from(LANGUAGES))
def test_what_lies_between_is_white_space_and_sentences_have_none_around_them(text, language):
    for segment in segments(text, language):
        assert segment.is_text == bool(segment.text.strip())
        if segment.is_text:
            assert segment.text == segment.text.strip()


@pytest.mark.parametrize(
    ("language", "text", "sentences"),
    [
        ("en", "Dr. Smith paid $3.50. Was it much? No!", ["Dr. Smith paid $3.50.", "Was it much?", "No!"]),
        ("en", "See Fig. 3 of v1.2.3, e.g. here.", ["See Fig. 3 of v1.2.3, e.g. here."]),
        ("ja", "晴れです。「行こう。」と言った。本当？", ["晴れです。", "「行こう。」と言った。", "本当？"]),
        ("zh", "你好。今天天气很好！你去吗？", ["你好。", "今天天气很好！", "你去吗？"]),
        ("en", "one line\nand another", ["one line", "and another"]),
        ("en", "Run `make. Then stop` now. Done.", ["Run `make. Then stop` now.", "Done."]),
    ],
)
def test_sentences_end_where_people_end_them(language, text, sentences):
    assert [segment.text for segment in segments(text, language) if segment.is_text] == sentences


def test_no_segment_is_longer_than_a_small_context_takes():
    for text, limit in (("漢字、" * 500, MAX_EAST), ("word, " * 1000, MAX_LATIN), ("x" * 5000, MAX_LATIN)):
        found = segments(text, "und")
        assert "".join(segment.text for segment in found) == text
        assert max(len(segment.text) for segment in found) <= limit


@given(MIXED)
def test_what_was_taken_out_comes_back(text):
    hidden = mask(text)
    assert hidden.faults(hidden.text) == []
    assert hidden.restored(hidden.text, narrow=False) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Open https://a.b/c?x=1, then wait.", "https://a.b/c?x=1"),
        ("Mail me@example.com today.", "me@example.com"),
        ("Press <b>Start</b> now", "<b>"),
        ("Hello {name}, %d of %(total)s", "{name}"),
        ("Hello {{ user.name }}!", "{{ user.name }}"),
        ("エラーE-401が１８０度で発生", "E-401"),
        ("Use ${HOME}/bin or $PATH", "${HOME}"),
        ("Read [the docs](https://a.b/c) first", "](https://a.b/c)"),
        ("Set foo_bar with --dry-run", "foo_bar"),
        ("It costs 1,234.50 dollars", "1,234.50"),
        ("In the file /etc/edge/app.conf it stands", "/etc/edge/app.conf"),
        ("Tom &amp; Jerry", "&amp;"),
        ("The sign ⟦1⟧ is ours", "⟦"),
    ],
)
def test_what_must_not_change_is_taken_out(text, kept):
    assert any(kept in original for original in mask(text).originals)


@pytest.mark.parametrize("answer", ["", "⟦1⟧", "⟦1⟧ ⟦2⟧ ⟦2⟧", "⟦1⟧ ⟦3⟧", "⟦1⟧ ⟦2⟧ ⟧", "1 2"])
def test_marks_that_were_lost_doubled_or_made_up_are_seen(answer):
    assert mask("{a} and {b}").faults(answer)
    assert not mask("{a} and {b}").faults("⟦2⟧ と ⟦ 1 ⟧")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("今日は晴れです", "ja"),
        ("ERROR: 温度が高い", "ja"),
        ("东京", "und"),
        ("東京都", "und"),
        ("你好，今天天气非常好，我们去公园散步吧，然后吃饭", "zh"),
        ("제품을 확인하십시오", "ko"),
        ("Das ist ein gutes Beispiel für einen deutschen Satz.", "de"),
        ("Please check the conveyor before you start it.", "en"),
        ("12:30 --", "und"),
        ("", "und"),
    ],
)
def test_the_language_is_told_or_said_to_be_unknown(text, code):
    assert detect(text) == code
