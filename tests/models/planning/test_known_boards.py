"""The model recommended for each known board, with the reason. Check the reason before changing an entry."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgechat.board.probe.board_file import known_names, load_board
from edgechat.models.planning.fit import choose
from edgechat.models.planning.plan import PlanRequest
from edgechat.models.planning.reserve import reserve, usable_memory
from tests.models.planning.board_plans import CATALOG, candidates, plan_of

if TYPE_CHECKING:
    from edgechat.board.board import Board
    from edgechat.models.planning.plan import Plan

EXPECTED = {
    # 35B with 3B active, 4-bit; the default power mode is assumed, and still far above reading pace.
    "agx-orin-32gb": ("qwen3.6-35b-a3b", "Q4_K_M", 4096),
    # The same, with room for a long context.
    "agx-orin-64gb": ("qwen3.6-35b-a3b", "Q4_K_M", 32768),
    # The limit of 2 GB counts, not the machine's 16; two of four cores read 1.3 GB a token at 7 tok/s at the least.
    "container-2gb": ("qwen3.5-2b", "Q4_K_M", 4096),
    # A laptop processor with two memory channels: 4B active of 26B, made for 4 bits, at 5.9 tok/s at the least.
    "ipc-16gb": ("gemma-4-26b-a4b-it", "Q4_0", 2048),
    # An N100, which the table has: 3.4 tok/s at the least.
    "ipc-8gb": ("gemma-4-e4b-it", "Q4_K_M", 4096),
    # Its A57 reach 3.45 GB/s, not the 6 that were assumed: nothing above 0.7 GB a token keeps pace.
    "jetson-nano-4gb": ("minicpm5-1b", "Q4_K_M", 16384),
    # An M1: a 12B at 5 tok/s at the least, within what Metal may take.
    "mac-16gb": ("gemma-4-12b-it", "Q4_K_M", 4096),
    # The CUDA context and a 10% reserve leave 2.4 GB: 3-bit lets the 2B run on the GPU.
    "orin-nano-4gb": ("qwen3.5-2b", "Q3_K_M", 4096),
    # e4b at 3 bits fits beside the CUDA context, 4 bits do not.
    "orin-nano-8gb": ("gemma-4-e4b-it", "Q3_K_M", 4096),
    # A mixture with 3.6B active of 20B: fast enough for a model that thinks first.
    "orin-nx-16gb": ("gpt-oss-20b", "MXFP4", 4096),
    # 278 MB free: the 135M model is the only one that fits, at a quantized cache.
    "pi-zero-2w": ("smollm2-135m-instruct", "Q4_K_M", 2048),
    # 3.3 GB/s measured: Qwen3.5-2B would write 2.6 tok/s, gemma-4-e2b 2.2. The best below 1.05 GB a token.
    "pi4-2gb": ("qwen2.5-1.5b-instruct", "Q4_K_M", 4096),
    # The same; twice the memory makes it no faster.
    "pi4-4gb": ("qwen2.5-1.5b-instruct", "Q4_K_M", 16384),
    # The same; granite-4.0-h-tiny would fit, but mixtures scatter and 3.9 tok/s is not sure enough.
    "pi4-8gb": ("qwen2.5-1.5b-instruct", "Q4_K_M", 16384),
    # 3B active of 30B at 2.7 bits: published at 8.0 tok/s on this board. Gemma 4 26B-A4B was published at 2.5.
    "pi5-16gb": ("qwen3-30b-a3b-instruct-2507", "Q3_K_S", 4096),
    # A 4B at 3.5 tok/s.
    "pi5-4gb": ("qwen3.5-4b", "Q4_K_M", 4096),
    # gemma-4-e4b would write 3.3 tok/s and read a page in two minutes; too close to the floor.
    "pi5-8gb": ("qwen3.5-4b", "Q4_K_M", 4096),
    # Derived from data sheets: power modes, and boards with the system on chip of a recorded one.
    "agx-orin-32gb-15w": ("qwen3.6-35b-a3b", "Q4_K_M", 4096),
    "agx-orin-32gb-30w": ("qwen3.6-35b-a3b", "Q4_K_M", 4096),
    "agx-orin-32gb-maxn": ("qwen3.6-35b-a3b", "Q4_K_M", 4096),
    "agx-orin-64gb-15w": ("qwen3.6-35b-a3b", "Q4_K_M", 32768),
    "agx-orin-64gb-30w": ("qwen3.6-35b-a3b", "Q4_K_M", 32768),
    "agx-orin-64gb-50w": ("qwen3.6-35b-a3b", "Q4_K_M", 32768),
    "agx-orin-64gb-maxn": ("qwen3.6-35b-a3b", "Q4_K_M", 32768),
    "mac-m1-16gb": ("gemma-4-12b-it", "Q4_K_M", 4096),
    "mac-m1-8gb": ("qwen3.5-4b", "Q3_K_M", 4096),
    "mac-m2-16gb": ("gemma-4-12b-it", "Q4_K_M", 4096),
    "mac-m3-16gb": ("gemma-4-12b-it", "Q4_K_M", 4096),
    "mac-m4-16gb": ("gemma-4-12b-it", "Q4_K_M", 4096),
    "mac-m4-24gb": ("gemma-4-26b-a4b-it", "Q4_0", 4096),
    "n100-16gb": ("gemma-4-26b-a4b-it", "Q4_0", 4096),
    "n100-8gb": ("gemma-4-e4b-it", "Q4_K_M", 4096),
    # In 4 bits the mixture would write 2.9 tok/s at the least, in 3 bits 3.2.
    "n150-16gb": ("gemma-4-26b-a4b-it", "Q3_K_M", 4096),
    "orange-pi-5-16gb": ("gemma-4-26b-a4b-it", "Q3_K_M", 4096),
    "orange-pi-5-8gb": ("gemma-4-e4b-it", "Q4_K_M", 4096),
    "orin-nano-8gb-15w": ("gemma-4-e4b-it", "Q3_K_M", 4096),
    "orin-nano-8gb-25w": ("gemma-4-e4b-it", "Q3_K_M", 4096),
    "orin-nano-8gb-7w": ("gemma-4-e4b-it", "Q3_K_M", 4096),
    "orin-nano-8gb-maxn": ("gemma-4-e4b-it", "Q3_K_M", 4096),
    "orin-nx-16gb-15w": ("gpt-oss-20b", "MXFP4", 4096),
    "orin-nx-16gb-25w": ("qwen3-30b-a3b-instruct-2507", "Q3_K_S", 4096),
    "orin-nx-16gb-maxn": ("gpt-oss-20b", "MXFP4", 4096),
    "orin-nx-8gb": ("qwen3.5-9b", "Q3_K_M", 4096),
    "pi400-4gb": ("qwen2.5-1.5b-instruct", "Q4_K_M", 16384),
    "pi500-8gb": ("qwen3.5-4b", "Q4_K_M", 4096),
    "pi500-plus-16gb": ("qwen3-30b-a3b-instruct-2507", "Q3_K_S", 4096),
    "rock-5b-plus-16gb": ("gemma-4-26b-a4b-it", "Q3_K_M", 4096),
    "rock-5b-plus-8gb": ("gemma-4-e4b-it", "Q4_K_M", 4096),
}


@pytest.fixture(params=known_names())
def name(request):
    return request.param


def plan_for(name: str) -> tuple[Board, Plan]:
    return load_board(name), plan_of(name)


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
        item for item in candidates(board.cpu.features) if (CATALOG.find(item.name).entry.params or 0) > 6_500_000_000
    ]

    assert len(large) > 10
    plan = choose(board, large, PlanRequest(any_licence=True, min_decode_tps=0))
    assert not (plan.fits and plan.settings.n_ctx >= 2048)


@pytest.mark.parametrize("gigabyte", [1.0, 0.75, 0.5])
def test_a_board_of_1_gb_or_less_gets_something_that_works(gigabyte):
    board = load_board("pi-zero-2w")
    total = round(gigabyte * 1e9)
    small = replace(board, memory=replace(board.memory, total=total, available=round(total * 0.65)))

    plan = choose(small, candidates(board.cpu.features), PlanRequest())

    assert plan.fits
    assert plan.settings.n_ctx >= 2048
