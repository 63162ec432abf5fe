"""Segmentation loses nothing, whatever the text; cuts where sentences end, and not inside what must stay whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.tasks.translate.languages import detect
from edgechat.tasks.translate.protect import keeps_parts, mask, protected_parts
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


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        (
            "{count, plural, one {# file was removed} other {# files were removed}}",
            ["# file was removed", "# files were removed"],
        ),
        (
            "{who, select, female {She has {n, plural, =0 {no parts} other {# parts}}} other {They left {place}}}.",
            ["She has", "no parts", "# parts", "They left {place}", "."],
        ),
        ("{n, selectordinal,\n  one {#st try}\n  other {#th try}\n}", ["#st try", "#th try"]),
        ("Wait for {name}, plural forms are hard.", ["Wait for {name}, plural forms are hard."]),
        ("{count, plural, one {# file", ["{count, plural, one {# file"]),
    ],
)
def test_of_an_icu_message_only_the_texts_of_its_branches_are_segments(text, texts):
    found = segments(text, "en")
    assert "".join(segment.text for segment in found) == text
    assert [segment.text for segment in found if segment.is_text] == texts


@given(MIXED)
def test_what_was_masked_comes_back(text):
    hidden = mask(text)
    assert hidden.restored(hidden.text) == text
    assert keeps_parts(text, text)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Open https://a.b/c?x=1, then wait.", "https://a.b/c?x=1"),
        ("手順はhttps://a.b/setup/をご覧ください。", "https://a.b/setup/"),
        ("视频请见https://video.example.cn/train/07。", "https://video.example.cn/train/07"),
        ("サイトはwww.example.jpです", "www.example.jp"),
        ("Mail me@example.com today.", "me@example.com"),
        ("Press <b>Start</b> now", "<b>"),
        ("Hello {name}, %d of %(total)s", "{name}"),
        ("Gap %dmm", "%d"),
        ("Hello {{ user.name }}!", "{{ user.name }}"),
        ("エラーE-401が１８０度で発生", "E-401"),
        ("Use ${HOME}/bin or $PATH", "${HOME}"),
        ("Read [the docs](https://a.b/c) first", "](https://a.b/c)"),
        ("Set foo_bar with --dry-run", "foo_bar"),
        ("In the file /etc/edge/app.conf it stands", "/etc/edge/app.conf"),
        ("Tom &amp; Jerry", "&amp;"),
        ("The sign [[1]] is ours", "[[1]]"),
    ],
)
def test_what_must_not_change_is_found_and_masked(text, kept):
    assert kept in [part.text for part in protected_parts(text)]
    assert kept in mask(text).originals


@pytest.mark.parametrize("text", ["It costs 1,234.50 dollars", "25Nm", "95MPa", "the 1st and 2nd", "plain text", "30%"])
def test_numbers_and_words_are_not_protected(text):
    assert protected_parts(text) == []


@pytest.mark.parametrize("answer", ["", "[[1]]", "[[1]] [[2]] [[2]]", "[[1]] [[3]]", "1 2", "[[1]] [2]"])
def test_masks_that_were_lost_doubled_or_made_up_are_seen(answer):
    assert mask("{a} and {b}").restored(answer) is None
    assert mask("{a} and {b}").restored("[[2]] と [[ 1 ]]") == "{b} と {a}"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("{done} of {total} images", "{total}枚中{done}枚"),
        ("Replace fuse F12 with type F14", "将保险丝F12更换为F14型"),
        ("ボルトM8を25N·mで", "Tighten M8 to 25 N·m"),
        ("<b>Note</b>: closed.", "<b>注意</b>：関閉。"),
        ("Line<br>break <i>here</i>", "<i>ここ</i>で<br>改行"),
        ("部品Ａ１００を交換", "Replace part A100"),
        ("Move to https://a.b/c now", "https://a.b/cに移動"),
    ],
)
def test_a_translation_that_keeps_all_parts_is_told(source, target):
    assert keeps_parts(source, target)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("{user} stopped job {job}.", "{user}が停止した。"),
        ("Wait {n} s", "{n}秒{n}"),
        ("Wait", "{n}秒待つ"),
        ("Upload of {filename} failed", "{file}失败"),
        ("%s has %d parts", "%d個の部品が%sにある"),
        ("Press <b>Start</b>", "開始</b>を<b>押す"),
        ("<b><i>a</i></b>", "<b><i>あ</b></i>"),
        ("Press <b>Start</b>", "<b>開始を押す"),
        ("Lot Q7-0315", "ロットQ7-0351"),
        ("See https://a.b/c", "https://a.b/d参照"),
        ("Run `reset --hard`", "`reset`を実行"),
    ],
)
def test_parts_that_were_lost_doubled_changed_or_swapped_are_seen(source, target):
    assert not keeps_parts(source, target)


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
