"""Search finds what a person remembers: short Japanese words, beginnings of others, whatever signs they type."""

# ruff: noqa: RUF001 - texts of many scripts
from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.chat.history import History
from edgechat.paths import Paths
from edgechat.storage import search_terms

NOWHERE = Paths.from_env({"EDGECHAT_HOME": "/nonexistent"})
"""Histories opened there to read are empty, and in memory."""

TEXTS = {
    "weather": "明日の東京都の天気は晴れです。",
    "english": "The Pump's valve was replaced; see manual v2.1 (x86-64).",
    "accents": "Un café à Besançon, naïve Straße",
    "kana": "ﾊﾞﾙﾌﾞとポンプを交換しました",
    "korean": "서울에서 회의가 있습니다",
    "thai": "ปั๊มน้ำเสียแล้ว",
    "hindi": "पंप खराब हो गया",
    "single": "水。火",
    "chinese": "请更换阀门,然后重新启动",
    "mixed": "GPT東京Tower123号機",
    "full width": "ＡＢＣ　１２３",
    "russian": "Насос сломался",
}


@pytest.fixture
def filled(history: History) -> History:
    number = history.start(title="x").id
    for text in TEXTS.values():
        history.add_question(number, text)
    return history


def found(history: History, wanted: str) -> set[str]:
    names = {text: name for name, text in TEXTS.items()}
    messages = {message.id: message.content for message in history.messages(1)}
    return {names[messages[hit.message]] for hit in history.search(wanted) if hit.message is not None}


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("東京", {"weather", "mixed"}),
        ("東京都", {"weather"}),
        ("京都", {"weather"}),  # as a run of characters it is there
        ("天気 東京", {"weather"}),
        ("都天", set()),
        ("水", {"single"}),
        ("火", {"single"}),
        ("水火", set()),
        ("バルブ", {"kana"}),
        ("ﾊﾞﾙﾌﾞ", {"kana"}),
        ("ポンプ", {"kana"}),
        ("阀门", {"chinese"}),
        ("회의", {"korean"}),
        ("서울", {"korean"}),
        ("น้ำ", {"thai"}),
        ("खराब", {"hindi"}),
        ("pump", {"english"}),
        ("PUM", {"english"}),
        ("ump", set()),
        ("pump valve", {"english"}),
        ("pump 東京", set()),
        ("x86-64", {"english"}),
        ("v2.1", {"english"}),
        ("pump's", {"english"}),
        ("cafe", {"accents"}),
        ("CAFÉ", {"accents"}),
        ("besancon", {"accents"}),
        ("strasse", {"accents"}),
        ("naïve", {"accents"}),
        ("nai\u0308ve", {"accents"}),
        ("abc", {"full width"}),
        ("１２３", {"full width"}),  # in Tower123 no word begins with it
        ("tower", {"mixed"}),
        ("号機", {"mixed"}),
        ("насос", {"russian"}),
    ],
)
def test_words_are_found(filled: History, wanted: str, name: set[str]) -> None:
    assert found(filled, wanted) == name


@pytest.mark.parametrize(
    "typed",
    ['"', '"pump', "pump AND", "OR", "NOT pump", "NEAR(pump valve, 2)", "terms: pump", "pump*", "-pump", "^pump",
     "(pump", "{pump}", "'; DROP TABLE words; --", "pump\0valve", "+", "", "   ", "💧", "\\", "%", "_", "pump:*", '""',
     "a" * 5000, "東" * 5000, "w " * 5000],
)  # fmt: skip
def test_signs_of_the_query_language_are_only_text(filled: History, typed: str) -> None:
    filled.search(typed)
    assert found(filled, "pump") == {"english"}


@pytest.mark.parametrize("typed", ["(pump", "pump*", '"pump"', "^pump", "-pump", "pump:"])
def test_signs_around_a_word_do_not_hide_it(filled: History, typed: str) -> None:
    assert found(filled, typed) == {"english"}


@given(st.text(max_size=60), st.text(max_size=30))
def test_any_query_on_any_text_is_answered(text: str, typed: str) -> None:
    with History.open_to_read(NOWHERE) as history:
        number = history.start(title="t").id
        history.add_question(number, text)
        for hit in history.search(typed):
            assert all(0 <= start < end <= len(hit.snippet) for start, end in hit.spans)
            assert "\n" not in hit.snippet
            assert "\x1b" not in hit.snippet


@given(st.text(alphabet="東京都天気はれabc ", min_size=1, max_size=40), st.data())
def test_every_part_of_an_unspaced_run_is_found(text: str, data: st.DataObject) -> None:
    runs = [run for run in search_terms.UNSPACED_RUN.findall(text) if run]
    if not runs:
        return
    run = data.draw(st.sampled_from(runs))
    start = data.draw(st.integers(0, len(run) - 1))
    part = run[start : data.draw(st.integers(start + 1, len(run)))]
    with History.open_to_read(NOWHERE) as history:
        history.add_question(history.start(title="t").id, text)
        (hit,) = history.search(part)
        assert any(part in hit.snippet[a:b] for a, b in hit.spans)


@pytest.mark.parametrize(
    ("text", "wanted", "lit"),
    [
        (TEXTS["weather"], "東京", ["東京"]),
        ("a Café and a café", "cafe", ["Café", "café"]),
        (unicodedata.normalize("NFD", "a Café"), "cafe", ["Café"]),
        (TEXTS["kana"], "バルブ", ["ﾊﾞﾙﾌﾞ"]),
        ("ＡＢＣ now", "abc", ["ＡＢＣ"]),
        ("groß STRASSE Straße", "strasse", ["STRASSE", "Straße"]),
        ("see x86-64 here", "x86-64", ["x86-64"]),
        ("pumping the pump", "pump", ["pump", "pump"]),
        ("東京都", "東京 京都", ["東京都"]),
        ("first line\nthe pump is\nthe pump and the valve", "pump valve", ["pump", "valve"]),
    ],
)
def test_a_snippet_lights_what_was_looked_for(history: History, text: str, wanted: str, lit: list[str]) -> None:
    history.add_question(history.start(title="t").id, text)
    (hit,) = history.search(wanted)
    assert [hit.snippet[start:end] for start, end in hit.spans] == lit


def test_a_snippet_is_one_short_clean_line_around_the_find(history: History) -> None:
    text = "\x1b]0;title\x07" + "before " * 100 + "the \x1b[31mpump\u202e " + "after " * 100
    history.add_question(history.start(title="t").id, text)
    (hit,) = history.search("31mpump")
    assert hit.snippet.startswith("…")
    assert hit.snippet.endswith("…")
    assert len(hit.snippet) < 130
    ((start, end),) = hit.spans
    assert hit.snippet[start:end] == "31mpump"


@pytest.mark.parametrize("filler", ["x ", "東", "ß", "ﬃ ", "ｶﾞ", "é ", "e\u0301 "])
def test_a_find_deep_in_a_long_line_is_shown(history: History, filler: str) -> None:
    history.add_question(history.start(title="t").id, filler * 3000 + " valve " + filler * 3000)
    (hit,) = history.search("valve")
    assert [hit.snippet[start:end] for start, end in hit.spans] == ["valve"]
    assert hit.snippet[0] == hit.snippet[-1] == "…"


def test_titles_come_first_then_the_newest(history: History) -> None:
    for text in ("valve one", "valve two"):
        number = history.start(title="t").id
        history.add_question(number, text)
    named = history.start(title="The valve").id
    hits = history.search("valve")
    assert [(hit.conversation, hit.role) for hit in hits] == [(named, None), (2, "user"), (1, "user")]
    assert len(history.search("valve", 2)) == 2


def test_an_answer_is_found_when_it_is_finished(history: History) -> None:
    number = history.start(title="t").id
    with history.start_answer(number) as answer:
        answer.append("東京")
        answer.finish("stop")
    (hit,) = history.search("東京")
    assert (hit.role, hit.message) == ("assistant", answer.message)
