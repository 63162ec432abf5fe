"""Scores of results against references: known answers have known scores. The model is a script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgechat.cli.eval import report_of, report_text, results_of
from edgechat.engine.protocol.request import Wish
from edgechat.errors import InvalidInputError, UsageError
from edgechat.paths import Paths
from edgechat.tasks.batch.job import Job
from edgechat.tasks.registry import load
from edgechat.tasks.scoring.reference_file import Pair, read_pairs
from edgechat.tasks.scoring.scores import reference_fault
from edgechat.tasks.scoring.translation import translation_scores
from tests.tasks.scripted import ScriptedGenerator

SCENE = {
    "speed_kmh": 100.0, "distance_to_car_m": 45.0, "lane_center_offset_m": 0.2, "weather": "rain", "time_of_day": "day",
    "language": "en",
}  # fmt: skip
DEFECT = {key: value for key, value in load("rootcause").example.items() if key != "station"}


def score(task: str, pairs: list[Pair], answer: Any) -> dict[str, Any]:
    """The whole report, through the same functions as the command."""
    loaded = load(task)
    job = Job(source="-", form="jsonl", format="jsonl", seed=0, keeps_answers=False)
    results = results_of(job, loaded, pairs, Paths.from_env(), Wish(), generator=lambda: answer)
    assert [done["id"] for done in results] == [pair.id for pair in pairs]
    return report_of(loaded, Path("refs.jsonl"), pairs, results, 0)


def test_driving_agrees_to_the_last_digit_or_not_at_all():
    calm = {**SCENE, "distance_to_car_m": None}
    pairs = [
        Pair("a", SCENE, {"risk": 0.75, "alert": True, "countermeasures": [
            {"code": "increase_gap"}, {"code": "slow_down_slippery"}, {"code": "watch_ahead"}]}),
        Pair("b", SCENE, {"risk": 0.7500001, "alert": False}),
        Pair("c", calm, {"risk": 0.0, "alert": True}),
    ]  # fmt: skip
    report = score("driving", pairs, ScriptedGenerator({"sentence": "At 100 km/h in rain, stopping takes 99.6 m."}))
    scores = report["scores"]
    assert scores["fields"] == {"alert": 0.3333, "countermeasures": 1.0, "risk": 0.6667}
    assert scores["alert"] == {"precision": 0.5, "recall": 0.5, "said": 2, "wanted": 2}
    assert scores["explanation_status"] == {"ok": 1.0}
    assert scores["schema_valid"] == 1.0
    assert (report["status"]["ok"], report["model"], report["seed"]) == (3, "scripted", 0)
    text = report_text(report)
    assert "3 records, 3 ok" in text
    assert "scripted:NONE" in text


def test_reports_are_scored_by_what_they_cite():
    notes = [
        {"id": "N1", "text": "The heater of zone 4 is broken."},
        {"id": "N2", "text": "The operator forgot to check the boards and mixed up the labels."},
    ]
    pairs = [
        Pair(1, {**DEFECT, "process_notes": notes},
             {"evidence_ids": ["L1", "L2"], "category": "man", "insufficient_evidence": False}),
        Pair(2, {**DEFECT, "process_notes": [], "log_lines": []}, {"insufficient_evidence": True, "evidence_ids": []}),
    ]  # fmt: skip
    said = {"cause": "The heater of zone 4 is broken.", "evidence": ["N1"], "category": "machine"}
    scores = score("rootcause", pairs, ScriptedGenerator({"causes": [said]}))["scores"]
    # Cited: both notes and the abnormal line L1. The first hypothesis is the model's, the second the rules'.
    assert scores["evidence"] == {"precision": 0.3333, "recall": 0.5, "said": 3, "wanted": 2}
    assert (scores["category_first"], scores["category_any"]) == (0.0, 1.0)
    assert scores["insufficient_evidence"] == 1.0
    assert scores["evidence_ids_outside_the_input"] == 0
    assert scores["worded_by"] == {"model": 1, "rules": 1}


def test_an_answer_that_was_cut_off_leaves_the_rules_report_and_counts_as_incomplete():
    pairs = [Pair(1, DEFECT, {"evidence_ids": ["L1"], "insufficient_evidence": False})]
    report = score("rootcause", pairs, ScriptedGenerator(text="", finish_reason="length"))
    assert report["status"]["truncated"] == 1
    assert report["scores"]["worded_by"] == {"rules": 1}
    assert report["scores"]["evidence"]["recall"] == 1.0
    assert report["scores"]["complete"] == 0.0


@pytest.mark.parametrize(
    ("source", "target", "text", "right", "tokenizer"),
    [
        ("en", "ja", "The temperature of the motor is high.", "モーターの温度が高い。", "char"),
        ("en", "zh", "The temperature of the motor is high.", "电机温度很高。", "zh"),
        ("ja", "en", "モーターの温度が高い。", "The temperature of the motor is too high today.", "13a"),
    ],
)
def test_a_translation_that_is_the_reference_scores_100_and_none_scores_0(source, target, text, right, tokenizer):
    pairs = [Pair(1, {"text": text, "source": source, "target": target}, {"translation": right})]
    whole = score("translate", pairs, ScriptedGenerator(right))["scores"]
    (found,) = whole["directions"].values()
    assert (found["chrf"], found["bleu"], found["records"]) == (100.0, 100.0, 1)
    assert f"tok:{tokenizer}" in found["bleu_signature"]
    assert "version:" in found["chrf_signature"]
    assert whole["segments_without_flags"] == 1.0
    nothing = [{"status": "failed", "result": None}]
    assert translation_scores(pairs, nothing)["directions"][f"{source}-{target}"]["chrf"] == 0.0


def test_a_record_that_failed_earns_nothing_for_the_source_that_stands_in_its_place():
    pairs = [Pair(1, {"text": "Open the cover.", "source": "en", "target": "de"}, {"translation": "Open the cover."})]
    report = score("translate", pairs, ScriptedGenerator("Öffnen Sie {x}."))
    assert report["status"]["failed"] == 1
    assert report["scores"]["directions"]["en-de"]["chrf"] == 0.0


def read(text: str, task: str = "driving") -> list[Pair]:
    return read_pairs([text.encode()], "refs.jsonl", load(task))


def test_pairs_are_read_in_order_with_their_ids():
    line = json.dumps({"input": SCENE, "reference": {"risk": 0.75}})
    own = json.dumps({"id": "x", "input": SCENE, "reference": {"risk": 0.75}})
    inside = json.dumps({"input": {"id": "y", **SCENE}, "reference": {"risk": 0.75}})
    assert [pair.id for pair in read(f"\ufeff{line}\n\n{own}\n{inside}\n")] == [1, "x", "y"]
    assert len(read_pairs([f"{line}\n{own}\n".encode()], "refs.jsonl", load("driving"), limit=1)) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no pair"),
        ("{", "line 1 is not JSON"),
        ('{"input": {}}\n', "line 1 is not a pair"),
        ('{"input": {"speed_kmh": -1}, "reference": {"risk": 1}}\n', "edgechat tasks show driving"),
    ],
)
def test_a_bad_file_is_refused_before_anything_is_asked(text, words):
    with pytest.raises(InvalidInputError, match=r"refs\.jsonl") as refused:
        read(text)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("task", "reference", "words"),
    [
        ("translate", {"text": "x"}, "translation"),
        ("translate", {"translation": " "}, "translation"),
        ("rootcause", {"evidence": ["L1"]}, "evidence_ids"),
        ("rootcause", {"evidence_ids": "L1"}, "right type"),
        ("driving", {"explanation": "x"}, "cannot be compared"),
        ("driving", {"risc": 0.5}, "risc"),
        ("driving", {}, "empty"),
    ],
)
def test_a_reference_that_cannot_be_compared_is_refused(task, reference, words):
    assert words in reference_fault(task, reference, load(task).output_model.model_fields)


def test_without_sacrebleu_the_command_to_install_it_is_said(monkeypatch):
    import sys

    from edgechat.tasks.scoring.translation import require_sacrebleu

    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(UsageError, match=r"pip install 'sacrebleu"):
        require_sacrebleu()
