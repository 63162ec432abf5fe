"""Choosing: ladders that only go down, plans that never promise memory that is not there, quantizations that pay."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.board.board import Accelerator, Board, Cpu, Memory
from edgechat.models.planning.calibration import Measurement
from edgechat.models.planning.candidate import Candidate, from_entry
from edgechat.models.planning.fit import choose, ladder
from edgechat.models.planning.load_settings import LONGEST_DRAFT
from edgechat.models.planning.memory_need import checkpoint_size, memory_need
from edgechat.models.planning.plan import PlanRequest
from edgechat.models.planning.reserve import reserve, usable_device_memory, usable_memory
from tests.examples import examples
from tests.models.planning.board_plans import CATALOG, candidates

GB = 1_000_000_000
AVX2 = Cpu("x86_64", "", n_cores=4, n_threads=8, n_big_cores=4, features=("avx2",))
A76 = Cpu("aarch64", "Cortex-A76", n_cores=4, n_threads=4, n_big_cores=4, features=("dotprod", "fp16", "neon"))
CANDIDATES = {cpu: candidates(cpu.features) for cpu in (AVX2, A76)}
ANY = PlanRequest()


def board(available: int, *, cpu: Cpu = AVX2, bandwidth: int | None = 30 * GB, gpu: Accelerator | None = None) -> Board:
    memory = Memory(total=max(available, 1), available=available, bandwidth=bandwidth, bandwidth_source="datasheet")
    return Board("test", "pc", "", "", cpu, memory, accelerators=(gpu,) if gpu else ())


def gpu(gigabytes: float, *, kind: str = "cuda", unified: bool = False) -> Accelerator:
    size = round(gigabytes * GB)
    return Accelerator(kind, "GPU", total=size, free=size, unified=unified, bandwidth=300 * GB)


def candidate(name: str, quant: str = "Q4_K_M", cpu: Cpu = AVX2) -> Candidate:
    return from_entry(CATALOG.find(name).entry, quant, cpu.features)


def files(name: str, cpu: Cpu = AVX2) -> list[Candidate]:
    return [item for item in CANDIDATES[cpu] if item.name == name]


sizes = st.integers(100_000_000, 70 * GB)
wishes = st.builds(
    PlanRequest,
    n_ctx=st.one_of(st.none(), st.sampled_from((512, 4096, 16384))),
    kv_type=st.sampled_from((None, "f16", "q8_0")),
    exact=st.booleans(),
    parallel=st.sampled_from((1, 4, 16)),
)


@given(available=sizes, cpu=st.sampled_from((AVX2, A76)), wish=wishes, data=st.data())
@examples(80)
def test_a_plan_that_fits_leaves_the_reserve_and_each_step_needs_less(available, cpu, wish, data):
    machine = board(available, cpu=cpu)
    one = data.draw(st.sampled_from(CANDIDATES[cpu]))

    plans = ladder(machine, one, wish)

    assert plans
    for plan in plans:
        assert plan.fits == (plan.memory.host <= usable_memory(machine) - reserve(machine).size)
        assert plan.settings.n_ctx % 256 == 0
        assert plan.settings.n_outputs_max >= plan.settings.n_seq_max
    for above, below in pairwise(plans):
        assert below.memory.host < above.memory.host
        assert below.settings.n_ctx <= above.settings.n_ctx
        assert below.settings.n_ubatch <= above.settings.n_ubatch


@given(available=sizes, more=st.integers(0, 20 * GB), cpu=st.sampled_from((AVX2, A76)))
@examples(25)
def test_more_memory_never_gives_a_smaller_plan(available, more, cpu):
    less_plan = choose(board(available, cpu=cpu), CANDIDATES[cpu], ANY)
    more_plan = choose(board(available + more, cpu=cpu), CANDIDATES[cpu], ANY)
    quality = {(item.name, item.quant): item.quality - 3 * (item.quant == "Q3_K_M") for item in CANDIDATES[cpu]}

    assert more_plan.fits >= less_plan.fits
    if less_plan.fits:
        assert quality[more_plan.model, more_plan.quant] >= quality[less_plan.model, less_plan.quant]
        if (more_plan.model, more_plan.quant) == (less_plan.model, less_plan.quant):
            assert more_plan.settings.n_ctx >= less_plan.settings.n_ctx


def test_a_step_down_gives_up_ubatch_then_context_then_kv_type():
    seen = [plan.settings for plan in ladder(board(8 * GB), candidate("qwen2.5-1.5b-instruct"), ANY)]

    assert [(item.n_ctx, item.kv_type) for item in seen if item.n_ctx <= 4096][-5:] == [
        (4096, "f16"),
        (2048, "f16"),
        (2048, "q8_0"),
        (1024, "q8_0"),
        (512, "q8_0"),
    ]
    assert [item.n_ubatch for item in seen[:3]] == [128, 64, 32]


def test_a_pinned_model_keeps_context_and_kv_type_and_gives_up_only_what_changes_no_answer():
    wish = PlanRequest(n_ctx=8192, kv_type="f16", exact=True)

    plans = ladder(board(2 * GB), candidate("qwen3.5-2b"), wish)

    assert {(plan.settings.n_ctx, plan.settings.kv_type) for plan in plans} == {(8192, "f16")}
    assert len({plan.settings.n_ubatch for plan in plans}) > 1


def test_the_context_never_exceeds_what_the_model_was_trained_on():
    nemo = candidate("mistral-nemo-instruct-2407")
    advertised = replace(nemo, shape=replace(nemo.shape, n_ctx_train=1_024_000), n_ctx_max=131_072)

    plan = ladder(board(500 * GB), advertised, PlanRequest(n_ctx=1_000_000))[0]

    assert plan.settings.n_ctx == 131_072
    assert any("trained on 131,072" in reason for reason in plan.reasons)
    assert ladder(board(500 * GB), advertised, ANY)[0].settings.n_ctx <= 32768
    tiny = ladder(board(500 * GB), candidate("tinyllama-1.1b-chat"), ANY)[0]
    assert tiny.settings.n_ctx == 2048


def test_context_grows_only_while_half_of_the_room_stays_free():
    roomy, tight = board(16 * GB), board(2 * GB)
    small = candidate("qwen2.5-1.5b-instruct")

    grown, default = ladder(roomy, small, ANY)[0], ladder(tight, small, ANY)[0]

    assert grown.settings.n_ctx == 16384
    assert 2 * grown.memory.total <= usable_memory(roomy) - reserve(roomy).size
    assert default.settings.n_ctx == 4096


@pytest.mark.parametrize("name", ["qwen2.5-1.5b-instruct", "qwen3-4b-instruct-2507", "granite-4.1-3b"])
def test_q3_k_m_is_taken_exactly_where_q4_k_m_does_not_fit_at_a_usable_context(name):
    smallest = [plan for plan in ladder(board(64 * GB), candidate(name), ANY) if plan.settings.n_ctx >= 2048][-1]
    machine = next(
        board(size)
        for size in range(smallest.memory.total, 2 * smallest.memory.total, 10_000_000)
        if ladder(board(size), candidate(name), ANY)[-3].fits
    )
    below = board(round(machine.memory.available * 0.97))

    assert choose(machine, files(name), ANY).quant == "Q4_K_M"
    plan = choose(below, files(name), ANY)
    assert plan.quant == "Q3_K_M"
    assert plan.fits
    assert plan.settings.n_ctx >= 2048
    assert any("smaller than Q4_K_M" in reason for reason in plan.reasons)


def test_q3_k_m_is_skipped_where_it_saves_nothing():
    # gemma-3-270m is embeddings for two thirds: Q3_K_M is 4 % smaller.
    tiny = files("gemma-3-270m-it")
    for size in range(300_000_000, 700_000_000, 10_000_000):
        assert choose(board(size), tiny, ANY).quant != "Q3_K_M"


def test_qwen_0_5b_stays_at_q4_wherever_it_fits():
    # 896 is no multiple of 256, so K-quants fall back: Q3_K_M saves 11 % of the file and 7 % of the memory.
    for size in range(600_000_000, 4 * GB, 100_000_000):
        plan = choose(board(size), files("qwen2.5-0.5b-instruct"), ANY)
        # Where memory is short Q4_0 is both smaller than Q3_K_M and better.
        assert plan.quant in ("Q4_K_M", "Q4_0") or not plan.fits


def test_the_better_model_wins_at_q3_over_a_worse_one_at_q4():
    machine = board(2_700_000_000)
    better, worse = files("qwen3-4b-instruct-2507"), files("qwen2.5-1.5b-instruct")

    assert choose(machine, better, ANY).fits
    plan = choose(machine, better + worse, ANY)

    assert (plan.model, plan.quant) == ("qwen3-4b-instruct-2507", "Q3_K_M")


def test_licences_that_nobody_accepted_are_not_recommended_and_the_plan_says_so():
    machine = board(2 * GB)
    llama, smol = files("llama-3.2-1b-instruct"), files("smollm2-135m-instruct")

    plan = choose(machine, llama + smol, ANY)

    assert plan.model == "smollm2-135m-instruct"
    assert any(item.model == "llama-3.2-1b-instruct" and "licence" in item.why_not for item in plan.alternatives)
    assert choose(machine, llama + smol, PlanRequest(any_licence=True)).model == "llama-3.2-1b-instruct"
    here = [replace(item, is_installed=True) for item in llama]
    assert choose(machine, here + smol, ANY).model == "llama-3.2-1b-instruct"


def test_models_slower_than_reading_give_way_to_faster_ones_but_not_to_none():
    slow = board(32 * GB, cpu=A76, bandwidth=10 * GB)
    big, small = files("qwen2.5-14b-instruct", A76), files("qwen2.5-1.5b-instruct", A76)

    plan = choose(slow, big + small, ANY)

    assert plan.model == "qwen2.5-1.5b-instruct"
    assert any("too slow to read along" in item.why_not for item in plan.alternatives)
    assert choose(slow, big, ANY).model == "qwen2.5-14b-instruct"


def test_repacking_follows_the_processor_and_the_memory():
    wish = PlanRequest(n_ctx=4096)
    on_x86 = ladder(board(8 * GB), candidate("qwen2.5-1.5b-instruct"), wish)[0].settings
    arm = candidate("qwen2.5-1.5b-instruct", cpu=A76)
    plans = ladder(board(8 * GB, cpu=A76), arm, wish)
    tight = next(size for size in range(GB, 3 * GB, 1_000_000) if size * 0.95 >= plans[0].memory.total) - 20_000_000

    assert (on_x86.load_mode, on_x86.repack) == ("mmap", False)
    assert (plans[0].settings.load_mode, plans[0].settings.repack) == ("read", True)
    # The tied output would be there twice: given up before ubatch or context.
    first = next(plan for plan in ladder(board(tight, cpu=A76), arm, wish) if plan.fits)
    assert (first.settings.load_mode, first.settings.repack, first.settings.n_ubatch) == ("mmap", False, 128)


def test_measurements_on_this_board_overrule_what_features_suggest():
    def measured(mode: str, *, repack: bool, decode: float, peak: int) -> Measurement:
        return Measurement(mode, repack, 128, 4, 0, "f16", 4096, 60.0, decode, 1.0, peak, "")

    known = (measured("read", repack=True, decode=9.9, peak=1_400_000_000),
             measured("mmap", repack=False, decode=10.0, peak=1_150_000_000))  # fmt: skip
    one = replace(candidate("qwen2.5-1.5b-instruct", cpu=A76), measured=known)

    plan = ladder(board(8 * GB, cpu=A76), one, PlanRequest(n_ctx=4096))[0]

    assert (plan.settings.load_mode, plan.settings.repack) == ("mmap", False)
    assert (plan.estimated.basis, plan.estimated.decode_tps) == ("calibrated", 10.0)


def test_threads_are_the_big_cores_unless_the_person_says_otherwise():
    mixed = replace(AVX2, n_cores=8, n_threads=12, n_big_cores=4)
    one = candidate("qwen2.5-0.5b-instruct")

    assert ladder(board(4 * GB, cpu=mixed), one, ANY)[0].settings.n_threads == 4
    assert ladder(board(4 * GB, cpu=mixed), one, PlanRequest(threads=2))[0].settings.n_threads == 2


@pytest.mark.parametrize("vram", [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0])
def test_layers_go_to_a_discrete_gpu_as_far_as_its_memory_holds_them(vram):
    device = gpu(vram)
    one = candidate("qwen2.5-7b-instruct")

    plan = ladder(board(16 * GB, gpu=device), one, PlanRequest(n_ctx=4096))[0]

    assert plan.memory.device <= usable_device_memory(device)
    assert plan.fits
    every = one.shape.n_layer + 1
    assert (plan.settings.n_gpu_layers == every) == (vram >= 6)
    assert (plan.settings.n_gpu_layers == 0) == (vram <= 1)


def test_an_integrated_gpu_does_not_make_memory_that_is_not_there():
    one = candidate("qwen2.5-7b-instruct", cpu=A76)
    for size in (4 * GB, 6 * GB, 8 * GB):
        machine = board(size, cpu=A76, gpu=gpu(size / GB, unified=True))
        for plan in ladder(machine, one, ANY):
            assert plan.memory.device == 0
            assert plan.memory.host == plan.memory.total
            assert plan.fits == (plan.memory.total <= size - reserve(machine).size)


def test_an_engine_without_gpu_support_is_planned_for_the_cpu():
    plan = ladder(board(16 * GB, gpu=gpu(8)), candidate("qwen2.5-7b-instruct"), PlanRequest(offload=False))[0]

    assert plan.settings.n_gpu_layers == 0
    assert plan.memory.device == 0


def test_swap_is_never_room_and_an_address_space_limit_is_one():
    base = board(4 * GB)
    swapping = replace(base, memory=replace(base.memory, swap_total=64 * GB))
    limited = replace(base, memory=replace(base.memory, address_space_limit=GB))

    assert usable_memory(swapping) == usable_memory(base)
    assert usable_memory(limited) < GB
    # What a machine of 64 GB keeps for others does not come out of one process's limit.
    large = replace(board(64 * GB), memory=replace(board(64 * GB).memory, address_space_limit=2 * GB))
    assert reserve(large).size == 2 * GB // 20


def test_when_nothing_fits_the_smallest_plan_is_returned_and_says_what_is_missing():
    plan = choose(board(200_000_000), files("qwen2.5-7b-instruct"), ANY)

    assert not plan.fits
    assert plan.quant == "Q3_K_M"
    assert "does not fit" in plan.reasons[0]


def test_drafts_need_output_rows():
    def rows(longest_draft: int) -> int:
        wish = PlanRequest(n_ctx=4096, parallel=8, longest_draft=longest_draft)
        return ladder(board(8 * GB), candidate("qwen2.5-1.5b-instruct"), wish)[0].settings.n_outputs_max

    assert (rows(3), rows(15)) == (8, 16)


@pytest.mark.parametrize(
    ("name", "roomy", "rollback", "tight"),
    [("qwen2.5-0.5b-instruct", 0, 0, 0), ("qwen3.5-0.8b", 13, 0, 0), ("gpt-oss-20b", 24, 0, 0)],
)
def test_checkpoints_are_counted_where_a_model_needs_them_and_are_few_where_memory_is_short(
    name: str, roomy: int, rollback: int, tight: int
) -> None:
    one = candidate(name, files(name)[0].quant)
    plans = ladder(board(64 * GB), one, PlanRequest(n_ctx=4096))
    size = checkpoint_size(one.shape, plans[0].settings)
    assert (size > 0) == (roomy > 0)
    for plan, count in ((plans[0], roomy), (plans[-1], tight)):
        assert plan.settings.checkpoint_bytes // max(size, 1) == count
        rest = memory_need(one.shape, one.weights, replace(plan.settings, checkpoint_bytes=0)).kv
        assert plan.memory.kv - rest == plan.settings.checkpoint_bytes
    assert plans[0].settings.n_rollback == rollback


def test_small_recurrent_states_are_kept_for_each_token_of_a_draft() -> None:
    one = candidate("lfm2.5-1.2b-instruct")
    settings = ladder(board(64 * GB), one, PlanRequest(n_ctx=4096))[0].settings
    without = memory_need(one.shape, one.weights, replace(settings, n_rollback=0)).kv
    kept = settings.n_rollback * settings.n_seq_max * one.shape.recurrent_bytes
    assert settings.n_rollback == LONGEST_DRAFT
    # Where none is kept, one is copied before a draft.
    assert memory_need(one.shape, one.weights, settings).kv - without == kept - one.shape.recurrent_bytes
