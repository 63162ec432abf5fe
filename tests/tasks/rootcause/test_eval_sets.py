"""The rules alone on the reference sets: what they decide needs no model, so it is measured here exactly."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgechat.tasks.rootcause.task import RootCause
from edgechat.tasks.runner import run_task
from edgechat.tasks.scoring.reference_file import read_pairs
from edgechat.tasks.scoring.scores import rootcause_scores
from tests.tasks.rootcause.records import SMALL

SETS = Path(__file__).parents[1] / "eval_sets"


@pytest.mark.parametrize("name", ["first", "dev", "extension_a", "extension_b"])
def test_the_rules_find_evidence_and_category(name):
    file = SETS / f"{name}_rootcause.jsonl"
    task = RootCause()
    pairs = read_pairs([file.read_bytes()], str(file), task)
    results = [run_task(task, pair.input, generator=None, context=SMALL).to_json() for pair in pairs]
    scores = rootcause_scores(pairs, results)
    assert scores["evidence"]["precision"] >= 0.84
    assert scores["evidence"]["recall"] >= 0.95
    assert scores["category_first"] >= 0.6
    assert scores["insufficient_evidence"] == 1.0
    assert scores["evidence_ids_outside_the_input"] == 0
