"""The memory prediction against what llama.cpp really took, and the properties every prediction must have."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from edgechat.models.catalog.catalog import load_catalog
from edgechat.models.gguf.header_shape import ENCODERS
from edgechat.models.planning.candidate import estimated_weights, from_entry
from edgechat.models.planning.memory_need import (
    BARE,
    compute_bytes,
    kv_by_layer,
    memory_need,
    tensor_total,
    weight_bytes,
)
from edgechat.models.planning.plan import LoadSettings

if TYPE_CHECKING:
    from edgechat.models.gguf.shape import ModelShape

CATALOG = load_catalog()
MIB = 1 << 20
FOUR_K = LoadSettings(n_ctx=4096, n_threads=2, n_threads_batch=2)


def shape(name: str) -> ModelShape:
    return CATALOG.find(name).entry.shape()


# Peaks (VmHWM, bytes) that scripts/measure/measure_memory.py read on an x86-64 machine with large pages of 2 MiB and
# llama-cpp-python 0.3.36.
MEASURED = [
    ("llama-3.2-1b-instruct", "Q4_K_M", LoadSettings(4096), 1_039_700_000),
    ("llama-3.2-1b-instruct", "Q4_K_M", LoadSettings(16384, "q8_0"), 1_192_500_000),
    ("llama-3.2-1b-instruct", "Q3_K_M", LoadSettings(1024, load_mode="read", repack=True), 824_800_000),
    ("qwen2.5-0.5b-instruct", "Q4_K_M", LoadSettings(4096), 531_400_000),
    ("qwen2.5-0.5b-instruct", "Q3_K_M", LoadSettings(16384), 644_200_000),
    ("qwen2.5-1.5b-instruct", "Q4_K_M", LoadSettings(4096), 1_196_300_000),
    ("qwen2.5-1.5b-instruct", "Q4_K_M", LoadSettings(4096, load_mode="read", repack=True), 1_199_900_000),
    ("qwen2.5-1.5b-instruct", "Q4_K_M", LoadSettings(4096, repack=True), 1_815_100_000),
    ("smollm2-135m-instruct", "Q4_K_M", LoadSettings(1024), 182_200_000),
    ("smollm2-135m-instruct", "Q4_K_M", LoadSettings(4096, n_ubatch=512), 263_700_000),
]


@pytest.mark.parametrize(("name", "quant", "settings", "peak"), MEASURED)
def test_prediction_from_the_catalog_alone_meets_the_measured_peak(name, quant, settings, peak):
    candidate = from_entry(CATALOG.find(name).entry, quant, ("avx2",))

    need = memory_need(candidate.shape, candidate.weights, settings, process=BARE)

    assert need.total == pytest.approx(peak, rel=0.02)


# KV cache in MiB as llama.cpp's dry run (no_alloc) prints it, for n_seq_max 4 and n_ubatch 128 unless said.
KV = [
    ("qwen2.5-0.5b-instruct", FOUR_K, 48.00),
    ("qwen2.5-0.5b-instruct", replace(FOUR_K, kv_type="q8_0"), 25.50),
    ("phi-3.5-mini-instruct", FOUR_K, 1536.00),
    ("gemma-3-1b-it", FOUR_K, 16.00 + 49.50),
    ("gemma-3-1b-it", replace(FOUR_K, n_seq_max=1), 16.00 + 16.50),
    ("gemma-3-1b-it", replace(FOUR_K, n_ubatch=512), 16.00 + 55.00),
    ("gemma-2-2b-it", FOUR_K, 416.00),
    ("gemma-4-e2b-it", replace(FOUR_K, n_ctx=16384), 96.00 + 27.00),
    ("gpt-oss-20b", replace(FOUR_K, n_ubatch=512), 96.00 + 24.00),
    ("lfm2.5-1.2b-instruct", FOUR_K, 48.00 + 0.62),
    ("qwen3.5-4b", FOUR_K, 128.00 + 201.00),
    ("qwen3.6-35b-a3b", replace(FOUR_K, n_seq_max=1), 80.00 + 62.81),
]


@pytest.mark.parametrize(("name", "settings", "mib"), KV)
def test_caches_and_states_are_as_large_as_llama_cpp_makes_them(name, settings, mib):
    assert sum(kv_by_layer(shape(name), settings)) / MIB == pytest.approx(mib, abs=0.02)


# Compute buffers in bytes as the dry run prints them.
COMPUTE = [
    ("qwen2.5-0.5b-instruct", FOUR_K, 10_359_931),
    ("qwen2.5-0.5b-instruct", replace(FOUR_K, n_ubatch=512), 41_429_238),
    ("qwen2.5-0.5b-instruct", replace(FOUR_K, n_outputs_max=64), 39_583_744),
    ("qwen2.5-0.5b-instruct", replace(FOUR_K, flash_attn=False), 33_879_491),
    ("qwen3-1.7b", replace(FOUR_K, n_ctx=16384), 17_825_792),
    ("smollm3-3b", FOUR_K, 22_156_411),
    ("gemma-3-1b-it", replace(FOUR_K, kv_type="q8_0"), 15_634_268),
    ("gemma-4-e2b-it", replace(FOUR_K, n_ubatch=512), 121_655_788),
    ("gpt-oss-20b", replace(FOUR_K, n_ubatch=512), 102_120_817),
    ("qwen3.5-4b", replace(FOUR_K, n_seq_max=1, n_outputs_max=1, n_ubatch=512), 76_567_020),
    ("lfm2.5-1.2b-instruct", replace(FOUR_K, n_ubatch=512), 67_182_264),
]


@pytest.mark.parametrize(("name", "settings", "size"), COMPUTE)
def test_compute_buffer_is_no_smaller_than_llama_cpps_and_little_larger(name, settings, size):
    model = shape(name)
    rows = max(settings.n_outputs_max, settings.n_seq_max) * model.n_vocab * 4  # a buffer of its own

    predicted = compute_bytes(model, settings) - rows

    assert size * 0.97 <= predicted <= size * 1.20


def test_mapping_with_repacking_keeps_two_copies_and_reading_keeps_one():
    candidate = from_entry(CATALOG.find("qwen2.5-1.5b-instruct").entry, "Q4_K_M", ("avx2",))
    total = tensor_total(candidate.shape, candidate.weights)

    def resident(load_mode: str, *, repack: bool) -> int:
        how = replace(FOUR_K, load_mode=load_mode, repack=repack)
        return weight_bytes(candidate.shape, candidate.weights, how)

    assert resident("mmap", repack=False) == resident("read", repack=False) == total
    assert resident("mmap", repack=True) == total + candidate.weights.repackable
    assert resident("read", repack=True) == total


def test_a_tied_output_that_is_repacked_is_there_twice_even_when_read():
    # On ARM Q6_K has a repacked kernel; the embedding it is tied to is looked up and never repacked.
    candidate = from_entry(CATALOG.find("qwen2.5-1.5b-instruct").entry, "Q4_K_M", ("dotprod",))
    how = replace(FOUR_K, load_mode="read", repack=True)

    extra = weight_bytes(candidate.shape, candidate.weights, how) - tensor_total(candidate.shape, candidate.weights)

    assert extra == candidate.weights.output > 150 * MIB


def test_only_mapped_weights_are_reclaimable():
    candidate = from_entry(CATALOG.find("qwen2.5-0.5b-instruct").entry, "Q4_K_M", ("avx2",))

    mapped = memory_need(candidate.shape, candidate.weights, FOUR_K)
    read = memory_need(candidate.shape, candidate.weights, replace(FOUR_K, load_mode="read"))

    assert mapped.mapped == mapped.weights
    assert read.mapped == 0
    assert mapped.total == read.total


def test_a_discrete_gpu_takes_layers_and_their_cache_out_of_the_ram():
    candidate = from_entry(CATALOG.find("qwen2.5-7b-instruct").entry, "Q4_K_M", ("avx2",))

    def need(layers: int):
        return memory_need(
            candidate.shape, candidate.weights, replace(FOUR_K, n_gpu_layers=layers), device="cuda", unified=False
        )

    nothing, half, everything = need(0), need(14), need(candidate.shape.n_layer + 1)
    assert nothing.device == 0
    assert 0 < half.device < everything.device
    assert everything.host < half.host < nothing.host
    assert everything.device > sum(candidate.weights.per_layer)


def test_an_integrated_gpu_needs_the_same_pool_for_everything():
    candidate = from_entry(CATALOG.find("qwen2.5-1.5b-instruct").entry, "Q4_K_M", ("dotprod",))
    how = replace(FOUR_K, n_gpu_layers=candidate.shape.n_layer + 1)

    jetson = memory_need(candidate.shape, candidate.weights, how, device="cuda", unified=True)
    mac = memory_need(candidate.shape, candidate.weights, how, device="metal", unified=True)

    assert jetson.device == mac.device == 0
    # CUDA copies the weights (the tied output twice) and brings a context; Metal wraps the mapped pages.
    assert jetson.weights == tensor_total(candidate.shape, candidate.weights) + candidate.weights.output
    assert mac.weights == mac.mapped == tensor_total(candidate.shape, candidate.weights)


settings_strategy = st.builds(
    LoadSettings,
    n_ctx=st.integers(256, 65536),
    kv_type=st.sampled_from(("f16", "q8_0")),
    n_ubatch=st.sampled_from((32, 64, 128, 512)),
    n_seq_max=st.integers(1, 16),
    n_outputs_max=st.integers(1, 64),
    load_mode=st.sampled_from(("mmap", "read")),
    repack=st.booleans(),
    flash_attn=st.booleans(),
)
entries = st.sampled_from(list(CATALOG))


@given(entry=entries, settings=settings_strategy, data=st.data())
@hypothesis_settings(max_examples=150, deadline=None)
def test_parts_are_positive_and_add_up_and_more_of_anything_never_needs_less(entry, settings, data):
    quant = data.draw(st.sampled_from(sorted(entry.files)))
    candidate = from_entry(entry, quant, data.draw(st.sampled_from((("avx2",), ("dotprod", "neon"), ()))))

    def need(how: LoadSettings):
        return memory_need(candidate.shape, candidate.weights, how)

    base = need(settings)
    assert min(base.weights, base.compute, base.overhead) > 0
    assert (base.kv == 0) == (candidate.shape.arch in ENCODERS)
    assert base.total == base.weights + base.kv + base.compute + base.overhead
    assert 0 <= base.mapped <= base.weights
    longer = need(replace(settings, n_ctx=settings.n_ctx * 2))
    assert longer.kv > base.kv or not any(candidate.shape.n_head_kv)
    # Reading and repacking has a peak of its own while loading, which hides small contexts.
    assert longer.total > base.total or (settings.repack and longer.total == base.total)
    assert need(replace(settings, n_ubatch=settings.n_ubatch * 2)).total >= base.total
    # More sequences alone may spare the rows that a larger buffer of logits leaves behind: it is made once then.
    more = replace(settings, n_seq_max=settings.n_seq_max * 2, n_outputs_max=settings.n_outputs_max * 2)
    assert need(more).total >= base.total
    assert need(replace(settings, kv_type="f16")).kv >= need(replace(settings, kv_type="q8_0")).kv
    assert need(replace(settings, repack=True)).total >= need(replace(settings, repack=False)).total


@pytest.mark.parametrize("entry", list(CATALOG), ids=lambda entry: entry.name)
def test_every_catalog_file_divides_into_its_own_bytes(entry):
    for quant, file in entry.files.items():
        candidate = from_entry(entry, quant, ("avx2",))
        header = file.bytes - tensor_total(candidate.shape, candidate.weights)
        assert candidate.weights.file == pytest.approx(file.bytes, abs=file.uncertainty + 8192)
        assert -file.uncertainty - 8192 <= header <= file.bytes * 0.15
        assert candidate.weights.repackable <= candidate.weights.file


def test_an_estimated_division_comes_near_the_computed_one():
    entry = CATALOG.find("qwen3-4b-instruct-2507").entry
    exact = from_entry(entry, "Q4_K_M", ("avx2",)).weights

    near = estimated_weights(entry.shape(), "Q4_K_M", exact.file, ("avx2",))

    assert sum(near.per_layer) == pytest.approx(sum(exact.per_layer), rel=0.03)
    assert near.output == pytest.approx(exact.output, rel=0.01)
    assert near.repackable == pytest.approx(exact.repackable, rel=0.15)
