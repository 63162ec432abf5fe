"""What the tasks know about models: which ones they were measured with, and which design suits one."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgechat.tasks import measured
from edgechat.tasks.result import TaskResult

SMALL = "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
"""The 0.5B of docs/quality.md."""


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.setattr(measured, "_rows", lambda: [{"task": "translate", "sha256": "a" * 64}])


@pytest.mark.usefixtures("rows")
def test_a_model_that_was_never_measured_is_named_once_and_for_tasks_that_have_figures():
    assert measured.note("translate", "small:Q4_K_M", "a" * 64) == ""
    assert "translate was never measured with other:Q4_K_M" in measured.note("translate", "other:Q4_K_M", "b" * 64)
    assert measured.note("driving", "other:Q4_K_M", "b" * 64) == ""


@pytest.mark.parametrize(("parameters", "design"), [(494_032_768, "small"), (1_543_714_304, "large"), (None, "large")])
def test_the_two_measured_models_get_the_design_they_were_measured_with(parameters, design):
    assert measured.design_for(parameters) == design


def test_a_model_that_was_found_poor_is_named_with_the_share_that_was_usable():
    said = measured.note("translate", "small:Q4_K_M", SMALL)
    assert "about 50% were usable" in said
    assert "not every wrong one is flagged" in said
    page = (Path(__file__).parents[2] / "docs" / "quality.md").read_text(encoding="utf-8")
    assert "about half of the 0.5B's translations are usable" in page


def test_json_has_the_share_and_the_figure_of_the_direction():
    found = TaskResult(1, "translate", "4", "ok", {"source": "ja", "target": "en"}, model_sha256=SMALL).to_json()
    assert found["quality"]["usable_share"] == 0.5
    row = next(each for each in measured._rows() if (each["sha256"], each["set"]) == (SMALL, "b"))
    assert (found["quality"]["direction"], found["quality"]["chrf"]) == ("ja-en", row["figures"]["chrf"]["ja-en"])
    other = TaskResult(1, "translate", "4", "ok", {"source": "ko", "target": "en"}, model_sha256=SMALL).to_json()
    assert "chrf" not in other["quality"]
    for result, sha256 in (({"source": "ja", "target": "en"}, "0" * 64), (None, SMALL)):
        assert "quality" not in TaskResult(1, "translate", "4", "ok", result, model_sha256=sha256).to_json()
