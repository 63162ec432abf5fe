"""The list of models that the models screen shows: by fitness, so that what is recommended comes first."""

from __future__ import annotations

import pytest

from edgechat.board.probe.board_file import load_board
from edgechat.models.planning.fit import least_pace
from edgechat.models.planning.plan import PlanRequest
from edgechat.models.planning.planner import plan_best, plan_each
from edgechat.paths import Paths


@pytest.mark.parametrize("name", ["pi4-2gb", "pi4-8gb", "pi5-16gb", "orin-nano-8gb", "n150-16gb", "pi-zero-2w"])
def test_what_is_recommended_comes_first_and_what_does_not_fit_last(name, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGECHAT_HOME", str(tmp_path))
    board, request = load_board(name), PlanRequest()
    listed = plan_each(Paths.from_env(), board, request, is_here=False)

    first = next(plan for candidate, plan in listed if candidate.purpose == "chat" and candidate.is_free)
    best = plan_best(Paths.from_env(), board, request, is_here=False)
    assert (first.model, first.quant) == (best.model, best.quant)
    fits = [plan.fits for _, plan in listed]
    assert fits == sorted(fits, reverse=True)
    paced = [
        (plan.estimated.careful_tps or 0) >= least_pace(candidate, request) for candidate, plan in listed if plan.fits
    ]
    assert paced == sorted(paced, reverse=True)
