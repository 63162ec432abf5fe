"""What scripts/quality counts, keeps and prints."""

from __future__ import annotations

from typing import Any

import pytest

from edgechat.tasks.scoring.reference_file import Pair
from scripts.answer_quality import table
from scripts.answer_quality.answers import Answer
from scripts.answer_quality.figures import changes, is_spoiled, rootcause_figures, translation_figures

EN_JA = {"source": "en", "target": "ja"}
STOP = Pair(1, {"text": "Stop the conveyor.", **EN_JA}, {"translation": "コンベヤを停止してください。"})
COUNT = Pair(2, {"text": "{n} parts are ready.", **EN_JA}, {"translation": "{n}個の部品が完成しました。"})


def answer(translation: str, *, status: str = "ok", flags: tuple[str, ...] = (), tokens: int = 10) -> Answer:
    return Answer(status, {"translation": translation, "flags": list(flags)}, tokens, 1, 0.5)


@pytest.mark.parametrize(
    ("pair", "given", "spoiled"),
    [
        (STOP, answer("コンベヤを停止してください。"), False),
        (STOP, answer("コンベヤを停止してください。", flags=("length",)), False),
        (STOP, answer("Hello! How can I assist you today?"), True),
        (STOP, answer("Stop the conveyor.", flags=("truncated", "kept_source")), True),
        (STOP, answer("コンベヤを停止してください。", status="failed"), True),
        (COUNT, answer("{n}個の部品が完成しました。"), False),
        (COUNT, answer("部品が完成しました。"), True),
    ],
)
def test_an_answer_that_is_no_translation_by_rule_is_spoiled(pair, given, spoiled):
    assert is_spoiled(pair, given) is spoiled


def test_a_spoiled_translation_counts_as_empty_and_all_attempts_cost_tokens():
    good, bad = answer(STOP.reference["translation"], tokens=8), answer("部品です。", flags=("placeholder",), tokens=30)
    found = translation_figures([STOP, COUNT], [good, bad])
    assert (found["spoiled"], found["spoiled_of"], found["flagged"]) == (1, 2, 1)
    assert (found["tokens_mean"], found["tokens_max"], found["questions"]) == (19.0, 30, 2)
    assert 0 < found["chrf_mean"] < translation_figures([STOP], [good])["chrf_mean"] == 100.0


def test_defect_reports_are_counted_by_category_and_evidence():
    pair = Pair(
        1, {"log_lines": [{"id": "L1"}, {"id": "L2"}]}, {"evidence_ids": ["L1"], "category": "machine"}
    )  # fmt: skip
    result = {
        "hypotheses": [{"category": "machine", "evidence_ids": ["L1", "L2"], "worded_by": "rules"}],
        "complete": True,
        "flags": [],
    }
    found = rootcause_figures([pair], [Answer("ok", result, 40, 1, 1.0)])
    assert (found["category_first"], found["evidence_precision"], found["evidence_recall"]) == (1.0, 0.5, 1.0)


def test_a_run_replaces_the_row_it_repeats_and_says_what_changed():
    old: dict[str, Any] = {
        "task": "translate",
        "model": "m",
        "set": "a",
        "figures": {"spoiled": 3, "chrf": {"ja-en": 40.0}},
        "plain": {},
    }
    new: dict[str, Any] = {
        "task": "translate",
        "model": "m",
        "set": "a",
        "figures": {"spoiled": 1, "chrf": {"ja-en": 41.5}},
    }
    other = {**old, "set": "b"}
    rows = table.with_row([old, other], new)
    assert [(row["set"], row["figures"]["spoiled"]) for row in rows] == [("a", 1), ("b", 3)]
    assert rows[0]["plain"] == {}, "the plain sentence's figures stay until it is asked again"
    assert changes(old["figures"], new["figures"]) == ["spoiled 3 -> 1", "chrf ja-en 40.0 -> 41.5"]


def test_the_page_has_the_tables_of_the_kept_figures():
    assert table.tables(table.read_rows()).strip() in table.PAGE.read_text(encoding="utf-8")
