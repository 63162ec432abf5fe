"""Computed sizes against published files: what is left over must be the tokenizer's metadata, in any quantization."""

from __future__ import annotations

from typing import Any

import pytest

from edgechat.errors import InvalidInputError
from edgechat.models.gguf.quantized_size import METADATA_BYTES_PER_TOKEN, quantized_sizes, quantized_tensors
from edgechat.models.gguf.shape import ModelShape
from edgechat.models.gguf.tensor_types import BY_NAME, tensor_bytes


def shape(arch: str, dims: tuple[Any, ...], head: int, n_vocab: int, **more: Any) -> ModelShape:
    """``dims`` are n_layer, n_embd, n_ff, n_head, n_head_kv; each of the last three one number or one a layer."""
    n_layer, n_embd, *by_layer = dims
    n_ff, n_head, n_head_kv = (item if isinstance(item, tuple) else (item,) * n_layer for item in by_layer)
    more.setdefault("tied_embeddings", True)
    return ModelShape(
        arch=arch,
        n_layer=n_layer,
        n_embd=n_embd,
        n_ff=n_ff,
        n_head=n_head,
        n_head_kv=n_head_kv,
        key_length=head,
        value_length=head,
        n_vocab=n_vocab,
        n_ctx_train=4096,
        **more,
    )


LFM2_KV = tuple(8 if layer in (2, 5, 8, 10, 12, 14) else 0 for layer in range(16))
GEMMA4_E2B = {
    "n_embd_per_layer": 256, "sliding_window": 512, "sliding_layers": tuple(layer % 5 != 4 for layer in range(35)),
    "key_length_swa": 256, "value_length_swa": 256, "shared_kv_layers": 20,
}  # fmt: skip

SMOLLM2_360M = shape("llama", (32, 960, 2560, 15, 5), 64, 49152)
QWEN25_05B = shape("qwen2", (24, 896, 4864, 14, 2), 64, 151936)
LFM2_350M = shape("lfm2", (16, 1024, 4608, 16, LFM2_KV), 64, 65536, recurrent_bytes=10 * 1024 * 8)
LFM2_1B = shape("lfm2", (16, 2048, 8192, 32, LFM2_KV), 64, 65536, recurrent_bytes=10 * 2048 * 8)
PHI_4_MINI = shape("phi3", (32, 3072, 8192, 24, 8), 128, 200064)
PHI_3_5 = shape("phi3", (32, 3072, 8192, 32, 32), 96, 32064, tied_embeddings=False)

# Sizes of published files (hub listings of 2026); those with an importance matrix have Q4_1 in their Q4_0 files.
PUBLISHED: dict[str, tuple[ModelShape, tuple[str, ...], dict[str, int]]] = {
    "SmolLM2-360M": (SMOLLM2_360M, (), {"Q4_K_M": 270_590_880, "Q8_0": 386_405_280}),
    "SmolLM2-1.7B": (
        shape("llama", (24, 2048, 8192, 32, 32), 64, 49152), (),
        {"Q4_K_M": 1_055_609_824, "Q8_0": 1_820_414_944},
    ),
    "Llama-3.2-1B": (
        shape("llama", (16, 2048, 8192, 32, 8), 64, 128256), ("imatrix",),
        {"Q4_K_M": 807_694_464, "Q4_0": 773_025_920, "Q8_0": 1_321_083_008},
    ),
    "Qwen2.5-1.5B, untied": (
        shape("qwen2", (28, 1536, 8960, 12, 2), 128, 151936, tied_embeddings=False), (),
        {"Q4_K_M": 1_117_320_736, "Q8_0": 1_894_532_128},
    ),
    "Mistral-Nemo": (
        shape("llama", (40, 5120, 14336, 32, 8), 128, 131072, tied_embeddings=False), (),
        {"Q3_K_M": 6_083_093_632, "Q4_K_M": 7_477_208_192, "Q8_0": 13_022_372_992},
    ),
    "Gemma-3-4B": (
        shape("gemma3", (34, 2560, 10240, 8, 4), 256, 262208), ("imatrix",),
        {"Q4_K_M": 2_489_894_016, "Q4_0": 2_370_065_536},
    ),
    "SmolLM3-3B": (
        shape("smollm3", (36, 2048, 11008, 16, 4), 128, 128256), ("imatrix",),
        {"Q4_K_M": 1_915_305_792, "Q4_0": 1_811_455_808},
    ),
    "Ministral-3-3B": (
        shape("mistral3", (26, 3072, 9216, 32, 8), 128, 131072), ("imatrix",),
        {"Q4_K_M": 2_146_498_528, "Q4_0": 2_046_375_904},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_left_of_published_files_is_one_tokenizer(name: str) -> None:
    model, how, published = PUBLISHED[name]
    left = {
        size - quantized_sizes(model, quant, metadata_bytes=0, imatrix="imatrix" in how).file
        for quant, size in published.items()
    }
    assert len(left) == 1
    least, most = METADATA_BYTES_PER_TOKEN
    assert least * model.n_vocab <= left.pop() <= most * model.n_vocab


@pytest.mark.parametrize(
    ("model", "how", "quant", "size", "metadata"),
    [
        # One published size each; the metadata is that of the same tokenizer in other files. Chat templates differ.
        (shape("llama", (30, 576, 1536, 9, 3), 64, 49152), (), "Q4_K_M", 105_454_432, 1_787_040),
        (QWEN25_05B, (), "Q4_K_M", 397_808_192, 5_950_496),
        (shape("qwen3", (36, 2560, 9728, 32, 8), 128, 151936), (), "Q4_K_M", 2_497_280_736, 5_950_496),
        (shape("gemma3", (26, 1152, 6912, 4, 1), 256, 262144), (), "Q4_K_M", 806_058_272, 6_535_000),
        (LFM2_350M, (), "Q4_K_M", 229_312_224, 2_386_000),
        (LFM2_1B, (), "Q4_K_M", 730_895_168, 2_386_000),
        (PHI_4_MINI, ("old_rules", "imatrix"), "Q4_0", 2_331_442_560, 8_251_000),
        (PHI_3_5, ("old_rules",), "Q4_K_M", 2_393_232_608, 738_656),
    ],
)  # fmt: skip
def test_published_files_to_within_8_kib(model: ModelShape, how, quant: str, size: int, metadata: int) -> None:
    sizes = quantized_sizes(
        model, quant, metadata_bytes=metadata, imatrix="imatrix" in how, old_rules="old_rules" in how
    )
    assert abs(sizes.file - size) < 8192


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        (SMOLLM2_360M, 361_821_120),
        (QWEN25_05B, 494_032_768),
        (shape("hunyuan-dense", (32, 2048, 6144, 16, 4), 128, 120832), 1_791_109_120),
        (shape("gemma2", (26, 2304, 9216, 8, 4), 256, 256000), 2_614_341_888),
        (shape("granite", (40, 2048, 4096, 16, 4), 128, 100352), 1_631_750_144),
        (shape("gemma4", (35, 1536, (6144,) * 15 + (12288,) * 20, 8, 1), 512, 262144, **GEMMA4_E2B), 4_647_450_147),
    ],
)
def test_tensors_hold_as_many_parameters_as_published(model: ModelShape, parameters: int) -> None:
    elements = 0
    for tensor in quantized_tensors(model, "Q8_0"):
        product = 1
        for dim in tensor.dims:
            product *= dim
        elements += product
    assert elements == parameters


def kinds(model: ModelShape, quant: str) -> dict[str, str]:
    return {tensor.name: tensor.kind for tensor in quantized_tensors(model, quant)}


def test_q4_k_m_gives_more_bits_to_the_ends_and_every_third_layer() -> None:
    # llama.cpp's own snapshot of gemma-3-4b (tests/snapshots/gemma-3-4b-it.schema).
    found = kinds(shape("gemma3", (34, 2560, 10240, 8, 4), 256, 262144), "Q4_K_M")
    q6 = [layer for layer in range(34) if found[f"blk.{layer}.ffn_down.weight"] == "Q6_K"]
    assert q6 == [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 29, 30, 31, 32, 33]
    assert found["token_embd.weight"] == "Q6_K"
    assert found["blk.0.attn_q.weight"] == "Q4_K"


def test_q3_k_m_mixes_five_four_and_three_bits() -> None:
    found = kinds(shape("qwen3", (28, 1024, 3072, 16, 8), 128, 151936, tied_embeddings=False), "Q3_K_M")
    assert [found[f"blk.{layer}.attn_v.weight"] for layer in range(4)] == ["Q5_K", "Q5_K", "Q4_K", "Q4_K"]
    assert [found[f"blk.{layer}.ffn_down.weight"] for layer in range(3)] == ["Q5_K", "Q4_K", "Q4_K"]
    assert (found["blk.0.attn_output.weight"], found["blk.0.ffn_up.weight"]) == ("Q4_K", "Q3_K")
    assert (found["token_embd.weight"], found["output.weight"]) == ("Q3_K", "Q6_K")


def test_rows_that_are_no_multiple_of_256_fall_back() -> None:
    found = kinds(QWEN25_05B, "Q4_K_M")
    assert (found["blk.0.attn_q.weight"], found["blk.0.attn_v.weight"], found["token_embd.weight"]) == (
        "Q5_0",
        "Q8_0",
        "Q8_0",
    )
    assert found["blk.0.ffn_down.weight"] == "Q6_K"  # its rows are 4864 long
    three = kinds(QWEN25_05B, "q3_k_m")
    assert (three["blk.0.attn_q.weight"], three["blk.0.attn_v.weight"]) == ("Q4_0", "Q5_1")


def test_q3_k_m_saves_little_where_rows_fall_back_and_a_quarter_elsewhere() -> None:
    def saved(model: ModelShape) -> float:
        return 1 - quantized_sizes(model, "Q3_K_M").file / quantized_sizes(model, "Q4_K_M").file

    assert saved(QWEN25_05B) < 0.12
    assert saved(shape("llama", (40, 5120, 14336, 32, 8), 128, 131072, tied_embeddings=False)) > 0.18


def test_the_parts_add_up_and_metadata_is_estimated_from_above() -> None:
    exact = quantized_sizes(SMOLLM2_360M, "Q4_K_M", metadata_bytes=1_787_040)
    assert exact.embedding + sum(exact.per_layer) + exact.other + 1_787_040 == exact.file == 270_590_880
    estimated = quantized_sizes(SMOLLM2_360M, "Q4_K_M").file - exact.file
    assert 0 <= estimated <= 44 * SMOLLM2_360M.n_vocab


def test_repacking_counts_only_what_the_processor_can() -> None:
    model = shape("qwen2", (28, 1536, 8960, 12, 2), 128, 151936)
    q4 = sum(tensor.nbytes for tensor in quantized_tensors(model, "Q4_K_M") if tensor.kind == "Q4_K")
    x86, arm = (
        quantized_sizes(model, "Q4_K_M", features=("avx2",)),
        quantized_sizes(model, "Q4_K_M", features=("dotprod",)),
    )
    assert (x86.repackable, x86.repackable_output) == (q4, 0)
    assert arm.repackable_output == arm.output == arm.embedding  # a Q6_K copy beside the embedding
    assert arm.repackable > x86.repackable + arm.output
    assert quantized_sizes(model, "Q4_K_M").repackable == 0


def test_what_cannot_be_computed_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="Q5_K_M"):
        quantized_sizes(SMOLLM2_360M, "Q5_K_M")
    with pytest.raises(InvalidInputError, match="qwen35"):
        quantized_sizes(shape("qwen35", (4, 256, 256, 4, 2), 64, 1000), "Q4_0")
    with pytest.raises(InvalidInputError, match="llama"):
        quantized_sizes(shape("llama", (4, 256, 256, 4, 2), 64, 1000, n_expert=8), "Q4_0")


@pytest.mark.parametrize(
    ("kind", "per_256"),
    [("F32", 1024), ("BF16", 512), ("Q3_K", 110), ("Q4_K", 144), ("Q6_K", 210), ("Q4_0", 144), ("Q8_0", 272)],
)
def test_bytes_of_a_block(kind: str, per_256: int) -> None:
    assert tensor_bytes(BY_NAME[kind], (256, 3, 2)) == 6 * per_256
