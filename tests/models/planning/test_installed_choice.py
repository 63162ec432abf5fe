"""Without a named model, the best installed model that fits now is chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgechat.board.probe.board_file import load_board
from edgechat.models.planning.calibration import Measurement, file_key
from edgechat.models.planning.installed_choice import choose_installed
from edgechat.models.planning.plan import PlanRequest
from edgechat.models.store.installed import InstalledModel, starter

if TYPE_CHECKING:
    from edgechat.board.board import Board

BOARD = load_board("pi5-4gb")


@pytest.fixture
def start() -> InstalledModel:
    model = starter()
    assert model is not None, "the starter package belongs to the test environment"
    return model


def with_available(size: int) -> Board:
    return replace(BOARD, memory=replace(BOARD.memory, available=size))


def test_the_starter_answers_only_where_it_is_alone(start):
    other = replace(start, name="other-model")

    assert choose_installed(BOARD, [start, other], PlanRequest()).model is other
    assert choose_installed(BOARD, [start], PlanRequest()).model is start


def test_a_translation_model_does_not_chat_while_another_can(start):
    other = replace(start, name="other-model")
    translator = replace(start, name="translator", prompts={"translate": "{text}"})

    assert choose_installed(BOARD, [translator, other], PlanRequest()).model is other
    assert choose_installed(BOARD, [translator], PlanRequest()).model is translator


def test_the_ladder_is_that_of_the_model_and_only_goes_down(start):
    plans = choose_installed(BOARD, [start], PlanRequest()).ladder

    assert {plan.model for plan in plans} == {start.name}
    assert [plan.memory.host for plan in plans] == sorted((plan.memory.host for plan in plans), reverse=True)


def test_where_nothing_fits_the_nearest_is_told_with_plans_that_do_not_fit(start):
    found = choose_installed(with_available(100_000_000), [start], PlanRequest())

    assert found.model is start
    assert not any(plan.fits for plan in found.ladder)


def test_measurements_are_used(start):
    how = Measurement("read", False, 64, 3, 0, "f16", 4096, 50.0, 20.0, 1.0, 250_000_000, "")
    measured = {file_key(start.name, start.quant, start.file_bytes): (how,)}

    plan = choose_installed(BOARD, [start], PlanRequest(), measured).ladder[0]

    assert (plan.settings.load_mode, plan.settings.n_ubatch, plan.settings.n_threads) == ("read", 64, 3)
    assert plan.estimated.basis == "calibrated"
