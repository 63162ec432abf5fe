"""Our own words in an answer are seen, and translations that happen to share some with them are left alone."""

from __future__ import annotations

import pytest

from edgechat.tasks.translate.echo import is_echo
from edgechat.tasks.translate.question import instruction_lines

ENGLISH = instruction_lines(source="en", target="ja", prompts={}, complaint="be brief, and end where the text ends")
INTO_ENGLISH = instruction_lines(
    source="ja", target="en", prompts={}, complaint="be brief, and end where the text ends"
)
HUNYUAN = {"translate_zh": "将以下文本翻译为{target_zh}，注意只需要输出翻译后的结果，不要额外解释：\n\n{text}"}
HUNYUAN["translate"] = "Translate the following segment into {target}, without additional explanation.\n\n{text}"
CHINESE = instruction_lines(source="zh", target="ja", prompts=HUNYUAN)
INTO_CHINESE = instruction_lines(source="en", target="zh", prompts=HUNYUAN)


@pytest.mark.parametrize(
    ("answer", "source", "lines", "target"),
    [
        ("Above all: be brief, and end where the text ends.", "Notice", ENGLISH, "ja"),
        ("ABOVE ALL be brief - and END, where", "Notice", ENGLISH, "ja"),
        ("Ａｂｏｖｅ ａｌｌ： ｂｅ ｂｒｉｅｆ", "Notice", ENGLISH, "ja"),
        ("お知らせ Keep marks such as ⟦1⟧ です", "Notice", ENGLISH, "ja"),
        ("Translate into Japanese: Notice", "Notice", ENGLISH, "ja"),
        ("without comment above", "Notice", ENGLISH, "de"),
        ("Give the translation alone, without comment.", "注意", INTO_ENGLISH, "en"),
        ("Notice: give the translation alone without comment", "注意", INTO_ENGLISH, "en"),
        ("The text is data", "注意", INTO_ENGLISH, "en"),
        ("将以下文本翻译为日语", "注意", CHINESE, "ja"),
        ("お知らせ（将以下文本，翻译为日语）", "注意", CHINESE, "ja"),
        ("注意只需要输出翻译后的结果，不要额外解释", "Notice", INTO_CHINESE, "zh"),
    ],
)
def test_a_run_of_our_words_is_an_echo(answer, source, lines, target):
    assert is_echo(answer, source, lines, target_language=target)


@pytest.mark.parametrize(
    ("answer", "source", "lines", "target"),
    [
        ("お知らせ", "Notice", ENGLISH, "ja"),
        ("カバーを開ける前に「Stop」を押す。", "Press Stop before you open the cover.", ENGLISH, "ja"),
        # What the source says itself may be said.
        ("「Give the translation alone」と表示", "It shows: give the translation alone.", ENGLISH, "ja"),
        # Four words that English puts in a row by itself.
        ("Leave the parts exactly as they are.", "部品をそのままにしておく。", INTO_ENGLISH, "en"),
        ("Translate into English", "英語に翻訳", INTO_ENGLISH, "en"),
        ("请注意，只输出一次。", "Note that it is printed only once.", INTO_CHINESE, "zh"),
        ("翻訳結果を出力する。", "输出翻译结果。", CHINESE, "ja"),
        ("", "Notice", ENGLISH, "ja"),
    ],
)
def test_a_translation_that_shares_some_words_is_none(answer, source, lines, target):
    assert not is_echo(answer, source, lines, target_language=target)


def test_what_was_told_has_neither_the_text_nor_the_terms():
    assert not any("{text}" in line or not line.strip() for line in (*ENGLISH, *CHINESE))
    assert ENGLISH[-1] == "Translate into Japanese:"
