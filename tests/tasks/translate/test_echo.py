"""Our own words in an answer are seen, and translations that happen to share some with them are left alone."""

from __future__ import annotations

import pytest

from edgechat.tasks.translate.echo import is_echo
from edgechat.tasks.translate.examples import examples, repeats_example
from edgechat.tasks.translate.languages import LANGUAGES, scripts_of
from edgechat.tasks.translate.numerals import number_differences
from edgechat.tasks.translate.question import prompt_lines

ENGLISH = prompt_lines(source="en", target="ja", wording="examples", prompts={})
INTO_ENGLISH = prompt_lines(source="ja", target="en", wording="examples", prompts={})
HUNYUAN = {"translate_zh": "将以下文本翻译为{target_zh}，注意只需要输出翻译后的结果，不要额外解释：\n\n{text}"}
HUNYUAN["translate"] = "Translate the following segment into {target}, without additional explanation.\n\n{text}"
CHINESE = prompt_lines(source="zh", target="ja", wording="own", prompts=HUNYUAN)
INTO_CHINESE = prompt_lines(source="en", target="zh", wording="own", prompts=HUNYUAN)


@pytest.mark.parametrize(
    ("answer", "source", "lines", "target"),
    [
        ("Reply with the translation only.", "Notice", ENGLISH, "ja"),
        ("REPLY WITH - the translation, only", "Notice", ENGLISH, "ja"),
        ("Ｒｅｐｌｙ ｗｉｔｈ ｔｈｅ ｔｒａｎｓｌａｔｉｏｎ ｏｎｌｙ", "Notice", ENGLISH, "ja"),
        ("お知らせ Translate from English to Japanese です", "Notice", ENGLISH, "ja"),
        ("reply with the translation above", "Notice", ENGLISH, "de"),
        ("Reply with the translation only.", "注意", INTO_ENGLISH, "en"),
        ("Notice: reply with the translation only", "注意", INTO_ENGLISH, "en"),
        # The instruction, translated.
        ("翻訳のみを返信してください。", "Notice", ENGLISH, "ja"),
        ("英語から日本語に翻訳してください。", "Notice", ENGLISH, "ja"),
        ("只回复翻译。", "Notice", ENGLISH, "zh"),
        ("从英语翻译成中文。", "Notice", ENGLISH, "zh"),
        # An example.
        ("使用前に望遠鏡を点検してください。", "Notice", ENGLISH, "ja"),
        ("Please check the telescope before use.", "注意", INTO_ENGLISH, "en"),
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
        ("「Reply with the translation only」と表示", "It shows: reply with the translation only.", ENGLISH, "ja"),
        ("翻訳のみを返信してください。", "Reply with the translation only.", ENGLISH, "ja"),
        ("Reply with the part number.", "部品番号を返信してください。", INTO_ENGLISH, "en"),
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
    assert ENGLISH[0] == "Translate from English to Japanese. Reply with the translation only."


def test_a_rare_word_of_an_example_is_a_leak_unless_the_text_has_it():
    assert repeats_example("The shaft lies under the telescope.", "軸が下にあります。")
    assert repeats_example("パン焼き機が停止しました。", "The machine stopped.")
    assert not repeats_example("The telescope is out of focus.", "望遠鏡の焦点が合っていない。")
    assert not repeats_example("The machine stopped.", "機械が停止しました。")


@pytest.mark.parametrize("source", sorted(LANGUAGES))
def test_every_pair_of_languages_has_examples_in_the_right_scripts(source):
    for target in LANGUAGES:
        turns = examples(source, target)
        assert len(turns) == 2
        for given, said in turns:
            assert set(scripts_of(given)) <= set(LANGUAGES[source].scripts)
            assert set(scripts_of(said)) <= set(LANGUAGES[target].scripts)
            assert number_differences(given, said, source, target) == ([], [])
