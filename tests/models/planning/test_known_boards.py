"""The model recommended for each known board, with the reason. Check the reason before changing an entry."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgechat.board.probe.board_file import known_names, load_board
from edgechat.models.catalog.catalog import load_catalog
from edgechat.models.planning.candidate import PlanRequest, from_catalog
from edgechat.models.planning.fit import choose
from edgechat.models.planning.reserve import reserve, usable_memory

if TYPE_CHECKING:
    from edgechat.board.board import Board
    from edgechat.models.planning.plan import Plan

CATALOG = load_catalog()

EXPECTED = {
    # 278 MB free: the 135M model is the only one that fits, at a quantized cache.
    "pi-zero-2w": ("smollm2-135m-instruct", "Q4_K_M", 2048),
    # 1.7 GB free and memory for 4 tok/s: the 2B hybrid, whose cache is small; 4-bit fits.
    "pi4-2gb": ("qwen3.5-2b", "Q4_K_M", 2048),
    # Plain NEON decodes 6 GB/s: half of gemma-4-e2b's file is a lookup table, so it keeps the pace of a 2B.
    "pi4-4gb": ("gemma-4-e2b-it", "Q4_K_M", 4096),
    # Twice the memory does not make it faster: the same model with a longer context.
    "pi4-8gb": ("gemma-4-e2b-it", "Q4_K_M", 16384),
    # 3.8 GB free, 10 GB/s: a 4B at 3.7 tok/s.
    "pi5-4gb": ("qwen3.5-4b", "Q4_K_M", 4096),
    # Room for an 8B, but those decode 2 tok/s; e4b reads less than it holds and stays at reading pace.
    "pi5-8gb": ("gemma-4-e4b-it", "Q4_K_M", 4096),
    "pi5-16gb": ("gemma-4-e4b-it", "Q4_K_M", 16384),
    # Four A57 without dot products keep reading pace with gemma-4-e2b; at 4 bits it would not fit, at 3 bits it does.
    "jetson-nano-4gb": ("gemma-4-e2b-it", "Q3_K_M", 4096),
    # The CUDA context and a 10% reserve leave 2.4 GB: 3-bit lets the 2B run on the GPU.
    "orin-nano-4gb": ("qwen3.5-2b", "Q3_K_M", 4096),
    # e4b at 3 bits fits beside the CUDA context, 4 bits do not.
    "orin-nano-8gb": ("gemma-4-e4b-it", "Q3_K_M", 4096),
    # A mixture of experts with 3.6B active of 20B: 22 tok/s is enough for a model that thinks first.
    "orin-nx-16gb": ("gpt-oss-20b", "MXFP4", 4096),
    # 35B with 3B active, 4-bit.
    "agx-orin-32gb": ("qwen3.6-35b-a3b", "Q4_K_M", 4096),
    "agx-orin-64gb": ("qwen3.6-35b-a3b", "Q4_K_M", 32768),
    # No bandwidth figure: one DDR4 channel is assumed, which rules out 8B and larger.
    "ipc-8gb": ("gemma-4-e4b-it", "Q4_K_M", 4096),
    "ipc-16gb": ("gemma-4-e4b-it", "Q4_K_M", 16384),
    # The limit of 2 GB counts, not the machine's 16.
    "container-2gb": ("qwen3.5-2b", "Q4_K_M", 4096),
    # A 12B at 5 tok/s within what Metal may take.
    "mac-16gb": ("gemma-4-12b-it", "Q4_K_M", 4096),
}


@pytest.fixture(params=known_names())
def name(request):
    return request.param


def plan_for(name: str) -> tuple[Board, Plan]:
    board = load_board(name)
    return board, choose(board, from_catalog(CATALOG, board.cpu.features), PlanRequest())


def test_recommendation(name):
    board, plan = plan_for(name)

    assert (plan.model, plan.quant, plan.settings.n_ctx) == EXPECTED[name]
    assert plan.fits
    assert plan.memory.host + reserve(board).size <= usable_memory(board) <= board.memory.available
    assert CATALOG.find(plan.model).entry.free


def test_every_plan_explains_itself_with_numbers(name):
    _, plan = plan_for(name)

    assert len(plan.reasons) >= 6
    assert f"{plan.memory.host / 1e6:,.0f} MB" in " ".join(plan.reasons)
    assert plan.alternatives
    assert all(item.why_not for item in plan.alternatives)


def test_every_known_board_has_an_expectation():
    assert set(EXPECTED) == set(known_names())


@pytest.mark.parametrize("name", ["pi4-4gb", "pi5-4gb", "jetson-nano-4gb", "orin-nano-4gb"])
def test_a_4_gb_board_never_gets_a_7b(name):
    board = load_board(name)
    large = [
        item
        for item in from_catalog(CATALOG, board.cpu.features)
        if (CATALOG.find(item.name).entry.params or 0) > 6_500_000_000
    ]

    assert len(large) > 10
    plan = choose(board, large, PlanRequest(any_licence=True, min_decode_tps=0))
    assert not (plan.fits and plan.settings.n_ctx >= 2048)


@pytest.mark.parametrize("gigabyte", [1.0, 0.75, 0.5])
def test_a_board_of_1_gb_or_less_gets_something_that_works(gigabyte):
    board = load_board("pi-zero-2w")
    total = round(gigabyte * 1e9)
    small = replace(board, memory=replace(board.memory, total=total, available=round(total * 0.65)))

    plan = choose(small, from_catalog(CATALOG, board.cpu.features), PlanRequest())

    assert plan.fits
    assert plan.settings.n_ctx >= 2048
