"""What the tasks know about models: which ones they were measured with, and which design suits one."""

from __future__ import annotations

import pytest

from edgechat.tasks import measured


@pytest.fixture(autouse=True)
def rows(monkeypatch):
    monkeypatch.setattr(measured, "_rows", lambda: [{"task": "translate", "sha256": "a" * 64}])


def test_a_model_that_was_never_measured_is_named_once_and_for_tasks_that_have_figures():
    assert measured.note("translate", "small:Q4_K_M", "a" * 64) == ""
    assert "translate was never measured with other:Q4_K_M" in measured.note("translate", "other:Q4_K_M", "b" * 64)
    assert measured.note("driving", "other:Q4_K_M", "b" * 64) == ""


@pytest.mark.parametrize(("parameters", "design"), [(494_032_768, "small"), (1_543_714_304, "large"), (None, "large")])
def test_the_two_measured_models_get_the_design_they_were_measured_with(parameters, design):
    assert measured.design_for(parameters) == design
