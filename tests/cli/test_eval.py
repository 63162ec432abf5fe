"""``edgechat eval`` as people and scripts call it; on the real starter model where a model is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from edgechat.engine.client import client
from edgechat.paths import Paths

SCENE = {"lane_center_offset_m": 0.2, "weather": "rain", "time_of_day": "day", "language": "en"}


def evaluate(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "edgechat", "eval", *map(str, arguments)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.engine
def test_three_records_on_the_real_model_say_who_answered_and_how_well(tmp_path):
    paths = Paths.from_env(os.environ)
    file = tmp_path / "scenes.jsonl"
    pairs: list[dict[str, Any]] = [
        {"id": f"s{i}", "input": {"speed_kmh": 100.0, "distance_to_car_m": gap, **SCENE}, "reference": {"risk": risk}}
        for i, (gap, risk) in enumerate([(45.0, 0.75), (45.0, 0.75), (500.0, 0.9)])
    ]
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    out = tmp_path / "results.jsonl"
    try:
        report = json.loads(evaluate("driving", file, "--json", "--out", out, "--timeout", 30).stdout)
    finally:
        client.stop(paths)
    assert report["scores"]["fields"] == {"risk": 0.6667}
    assert (report["scores"]["schema_valid"], report["status"]["ok"], report["records"]) == (1.0, 3, 3)
    assert report["model"] is None  # the starter is too small to be asked: rules answer alone
    assert report["seconds"] > 0
    results = [json.loads(line) for line in out.read_text().splitlines()]
    assert [done["id"] for done in results] == ["s0", "s1", "s2"]
    assert not out.with_name("results.jsonl.journal").exists()


@pytest.mark.engine
def test_two_runs_are_shown_side_by_side_with_their_differences(tmp_path):
    file, report = tmp_path / "scenes.jsonl", tmp_path / "before.json"
    record = {"speed_kmh": 100.0, "distance_to_car_m": 45.0, **SCENE}
    file.write_text(json.dumps({"input": record, "reference": {"risk": 0.75}}) + "\n")
    try:
        before = json.loads(evaluate("driving", file, "--json", "--timeout", 30).stdout)
        before["scores"]["fields"]["risk"] = 0.5
        report.write_text(json.dumps(before))
        shown = evaluate("driving", file, "--against", report, "--timeout", 30).stdout.splitlines()
        assert [line.split() for line in shown if line.startswith("fields risk")] == [
            ["fields", "risk", "1.0", "0.5", "-0.5"]
        ]
        both = json.loads(
            evaluate("driving", file, "--against", "smollm2-135m-instruct", "--json", "--timeout", 30).stdout
        )
    finally:
        client.stop(Paths.from_env(os.environ))
    assert both["report"]["scores"]["fields"] == both["against"]["scores"]["fields"] == {"risk": 1.0}


@pytest.mark.process
def test_a_file_that_is_no_report_is_refused_before_anything_is_scored(tmp_path):
    file, report = tmp_path / "scenes.jsonl", tmp_path / "before.json"
    record = {"speed_kmh": 100.0, "distance_to_car_m": 45.0, **SCENE}
    file.write_text(json.dumps({"input": record, "reference": {"risk": 0.75}}) + "\n")
    report.write_text('{"task": "translate", "scores": {}}')
    assert "is no report of driving" in evaluate("driving", file, "--against", report, code=4).stderr


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["drivin", "a.jsonl"], 2, "Did you mean driving?"),
        (["driving", "nowhere.jsonl"], 4, "Cannot read nowhere.jsonl"),
        (["driving", "bad.jsonl"], 4, "line 2 is not a pair"),
        (["driving", "unknown.jsonl"], 4, "risc cannot be compared"),
        (["driving", "unknown.jsonl", "--resume"], 2, "--out"),
    ],
)
def test_what_cannot_be_scored_says_why(tmp_path, monkeypatch, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    record = {"speed_kmh": 100.0, "distance_to_car_m": 45.0, **SCENE}
    (tmp_path / "bad.jsonl").write_text(json.dumps({"input": record, "reference": {"risk": 0.75}}) + '\n{"x": 1}\n')
    (tmp_path / "unknown.jsonl").write_text(json.dumps({"input": record, "reference": {"risc": 0.75}}) + "\n")
    done = evaluate(*arguments, code=code)
    assert words in done.stderr
    assert done.stdout == ""
