"""A prompt in a script that the model was not made for is noticed before the answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.cli.output.language_hint import script_warning

SENTENCES = {
    "ja": "空はなぜ青いのですか",
    "ko": "하늘은 왜 파란가요",
    "zh": "天空为什么是蓝色的",
    "ru": "Почему небо голубое",
    "ar": "لماذا السماء زرقاء",
    "he": "למה השמיים כחולים",
    "el": "Γιατί είναι γαλάζιος",
    "th": "ทำไมท้องฟ้าเป็นสีฟ้า",
    "hi": "आसमान नीला क्यों है",
    "ta": "வானம் ஏன் நீலமாக இருக்கிறது",
    "bn": "আকাশ নীল কেন",
    "ka": "რატომ არის ცა ლურჯი",
    "hy": "Ինչու է երկինքը կապույտ",
    "am": "ሰማይ ለምን ሰማያዊ ነው",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_script_that_no_language_of_the_model_uses_is_told_with_the_way_out(language):
    warning = script_warning(SENTENCES[language], ("en",), "smollm2")
    assert warning is not None
    assert "smollm2" in warning
    assert "edgechat models pull" in warning


@pytest.mark.parametrize("language", SENTENCES)
@pytest.mark.parametrize("spelling", ["{}", "{}-XX", "{}_Latn"])
def test_a_script_that_the_model_was_made_for_is_no_matter(language, spelling):
    assert script_warning(SENTENCES[language], ("en", spelling.format(language).upper()), "m") is None


def test_kanji_alone_may_be_japanese():
    assert script_warning("東京都庁所在地", ("ja",), "m") is None


def test_japanese_is_not_for_a_model_that_knows_chinese_only():
    assert script_warning(SENTENCES["ja"], ("zh", "en"), "m") is not None


def test_a_known_script_does_not_hide_an_unknown_one_beside_it():
    warning = script_warning(SENTENCES["ja"] + " " + SENTENCES["ru"], ("ja", "en"), "m")
    assert warning is not None
    assert "Cyrillic" in warning


def test_a_quoted_word_is_not_a_script():
    assert script_warning("What does the Japanese word 空 mean, and how is it pronounced?", ("en",), "m") is None


@pytest.mark.parametrize("text", ["", "12345 !?", "Why is the sky blue? Pourquoi, naïve Größe?"])
def test_latin_letters_and_no_letters_are_no_matter(text):
    assert script_warning(text, ("en",), "m") is None


@given(st.text())
def test_where_nothing_is_known_of_the_model_nothing_is_said(text):
    assert script_warning(text, (), "m") is None
