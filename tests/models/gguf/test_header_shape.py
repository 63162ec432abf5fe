from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.errors import InvalidModelFileError
from edgechat.models.gguf.header import read_header
from edgechat.models.gguf.header_shape import shape_of, weight_bytes
from edgechat.models.gguf.repack import is_repacked
from edgechat.models.gguf.tensor_types import BY_NAME
from tests.models.gguf_writer import Tensor, Typed, metadata_of, starter_path, tensors_of, tiny_model, write_gguf

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.models.gguf.shape import ModelShape


WINDOW, PATTERN = "attention__sliding_window", "attention__sliding_window_pattern"


def shape(folder: Path, arch: str = "llama", **changes: object) -> ModelShape:
    return shape_of(read_header(tiny_model(folder / "m.gguf", arch, **changes)))


def test_the_starter_model() -> None:
    header = read_header(starter_path())
    found, weights = shape_of(header), weight_bytes(header, ("avx2",))
    assert (found.n_layer, found.n_embd, found.key_length, found.value_length) == (30, 576, 64, 64)
    assert (found.n_ff, found.n_head, found.n_head_kv) == ((1536,) * 30, (9,) * 30, (3,) * 30)
    assert (found.n_vocab, found.n_ctx_train, found.tied_embeddings, found.notes) == (49152, 8192, True, ())
    assert weights.embedding == weights.output == 30_081_024
    assert weights.embedding + sum(weights.per_layer) + weights.other + header.data_offset == weights.file
    # Q4_1 has no repacked kernel, and the Q8_0 embedding, which is the output too, has one on ARM alone.
    assert (weights.repackable, weights.repackable_output) == (0, 0)
    arm = weight_bytes(header, ("asimddp",))
    assert arm.repackable == arm.repackable_output == weights.output


def test_heads_and_feed_forward_vary_by_layer(tmp_path: Path) -> None:
    found = shape(
        tmp_path,
        attention__head_count=[4, 4, 8, 8],
        attention__head_count_kv=[2, 1, 0, 4],
        feed_forward_length=[1, 2, 3, 4],
    )
    assert (found.n_head, found.n_head_kv, found.n_ff) == ((4, 4, 8, 8), (2, 1, 0, 4), (1, 2, 3, 4))
    assert found.key_length == 16


def test_key_length_need_not_be_embedding_by_heads(tmp_path: Path) -> None:
    found = shape(tmp_path, attention__key_length=40, attention__value_length=24)
    assert (found.key_length, found.value_length) == (40, 24)


def test_without_head_count_kv_every_head_has_keys(tmp_path: Path) -> None:
    assert shape(tmp_path, attention__head_count_kv=None).n_head_kv == (4, 4, 4, 4)


@pytest.mark.parametrize(
    ("arch", "changes", "window", "sliding"),
    [
        ("gemma2", {}, 4096, "S.S."),
        ("gemma2", {"attention__sliding_window": 512}, 512, "S.S."),
        ("gemma3", {"attention__sliding_window": 512}, 512, "SSSS"),
        ("gemma3", {"attention__sliding_window": 512, "attention__sliding_window_pattern": 3}, 512, "SS.S"),
        ("gemma3", {}, 0, ""),
        ("gemma3", {"attention__sliding_window": 0}, 0, ""),
        ("gemma3n", {WINDOW: 8, PATTERN: [True, True, False, True]}, 8, "SS.S"),
        ("gpt-oss", {"attention__sliding_window": 128}, 128, "S.S."),
        ("gpt-oss", {"attention__sliding_window": 128, "attention__sliding_window_pattern": 0}, 128, "SSSS"),
        ("gemma4", {WINDOW: 8, PATTERN: Typed("i32", [1, 0, 1, 0])}, 8, "S.S."),
        ("phi3", {"attention__sliding_window": 2047}, 0, ""),  # switched off in llama.cpp
        ("llama", {"attention__sliding_window": 4096}, 0, ""),  # old Mistral files: llama.cpp ignores it
    ],
)  # fmt: skip
def test_sliding_layers(tmp_path: Path, arch: str, changes: dict[str, object], window: int, sliding: str) -> None:
    found = shape(tmp_path, arch, **changes)
    assert (found.sliding_window, found.sliding_layers) == (window, tuple(mark == "S" for mark in sliding))
    assert found.notes == ()


def test_gemma_3_has_five_sliding_layers_for_each_global_one(tmp_path: Path) -> None:
    found = shape(tmp_path, "gemma3", block_count=26, attention__sliding_window=512)
    assert [layer for layer, slides in enumerate(found.sliding_layers) if not slides] == [5, 11, 17, 23]


def test_gemma_3n_keeps_keys_on_its_first_twenty_layers(tmp_path: Path) -> None:
    found = shape(tmp_path, "gemma3n", block_count=30, attention__sliding_window=512)
    assert found.shared_kv_layers == 10


def test_gemma_4_shares_keys_and_has_shorter_ones_where_it_slides(tmp_path: Path) -> None:
    found = shape(
        tmp_path,
        "gemma4",
        attention__sliding_window=512,
        attention__sliding_window_pattern=[True, False, True, False],
        attention__shared_kv_layers=2,
        attention__key_length=32,
        attention__value_length=32,
        attention__key_length_swa=16,
        attention__value_length_swa=16,
        embedding_length_per_layer_input=256,
    )
    assert (found.key_length, found.key_length_swa, found.value_length_swa, found.shared_kv_layers) == (32, 16, 16, 2)
    assert found.n_embd_per_layer == 256


def test_lfm2_keeps_a_convolution_state_where_it_has_no_keys(tmp_path: Path) -> None:
    found = shape(tmp_path, "lfm2", attention__head_count_kv=[0, 0, 2, 0], shortconv__l_cache=3)
    assert found.n_head_kv == (0, 0, 2, 0)
    assert found.recurrent_bytes == 3 * 64 * 2 * 4


def test_qwen35_keeps_keys_on_every_fourth_layer(tmp_path: Path) -> None:
    # Qwen3.5-0.8B: 16 heads of 128, a convolution over 4 tokens.
    state = {"ssm__conv_kernel": 4, "ssm__inner_size": 2048, "ssm__state_size": 128, "ssm__group_count": 16}
    found = shape(tmp_path, "qwen35", block_count=8, **state)
    assert found.n_head_kv == (0, 0, 0, 2, 0, 0, 0, 2)
    assert found.recurrent_bytes == 6 * 4 * (3 * (2048 + 2 * 16 * 128) + 128 * 2048)


def test_qwen35_names_its_recurrent_layers_itself(tmp_path: Path) -> None:
    state = {"ssm__conv_kernel": 4, "ssm__inner_size": 64, "ssm__state_size": 16, "ssm__group_count": 1}
    found = shape(tmp_path, "qwen35", attention__recurrent_layers=[False, True, True, True], **state)
    assert found.n_head_kv == (2, 0, 0, 0)


def test_layers_for_multi_token_prediction_are_left_out(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "m.gguf", nextn_predict_layers=1)
    header = read_header(path)
    assert shape_of(header).n_layer == len(shape_of(header).n_ff) == len(weight_bytes(header).per_layer) == 3
    assert weight_bytes(header).unused == 2 * 64 * 64 * 4


def test_granite_hybrid_and_mamba_count_their_state(tmp_path: Path) -> None:
    state = {"ssm__conv_kernel": 4, "ssm__inner_size": 128, "ssm__state_size": 128, "ssm__group_count": 1}
    one = 4 * (3 * (128 + 2 * 128) + 128 * 128)
    assert shape(tmp_path, "granitehybrid", attention__head_count_kv=[0, 0, 0, 2], **state).recurrent_bytes == 3 * one
    mamba = shape(tmp_path, "mamba2", attention__head_count=None, attention__head_count_kv=None, **state)
    assert (mamba.recurrent_bytes, mamba.n_head_kv, mamba.key_length) == (4 * one, (0, 0, 0, 0), 0)


def test_experts(tmp_path: Path) -> None:
    metadata = metadata_of("gpt-oss", expert_count=32, expert_used_count=4, attention__sliding_window=128)
    experts = [Tensor("blk.0.ffn_down_exps.weight", (64, 64, 32), "MXFP4")]
    header = read_header(write_gguf(tmp_path / "e.gguf", metadata, tensors_of() + experts))
    assert (shape_of(header).n_expert, shape_of(header).n_expert_used) == (32, 4)
    assert weight_bytes(header, ("avx2",)).experts == weight_bytes(header, ("avx2",)).repackable == 64 * 32 * 2 * 17


def test_a_mixtures_width_is_one_experts_and_covers_its_dense_layers(tmp_path: Path) -> None:
    changes = {"expert_count": 8, "expert_used_count": 2, "feed_forward_length": 700}
    plain = shape(tmp_path, "qwen3moe", **changes, expert_feed_forward_length=100)
    leading = shape(tmp_path, "lfm2moe", **changes, expert_feed_forward_length=100, leading_dense_block_count=2,
                    shortconv__l_cache=3)  # fmt: skip
    assert plain.n_ff == (100,) * 4
    # Two experts as wide as the dense layer.
    assert leading.n_ff == (350, 350, 100, 100)
    assert shape(tmp_path, "qwen3moe", **changes).n_ff == (700,) * 4


def test_a_looped_model_has_a_layer_for_each_pass_and_its_weights_once(tmp_path: Path) -> None:
    file = tiny_model(tmp_path / "m.gguf", "nanbeige", num_loops=2)
    found, weights = shape_of(read_header(file)), weight_bytes(read_header(file))
    once = weight_bytes(read_header(tiny_model(tmp_path / "once.gguf", "nanbeige")))
    assert (found.n_layer, found.n_loop, len(found.n_head_kv), len(weights.per_layer)) == (8, 2, 8, 8)
    assert sum(weights.per_layer) == sum(once.per_layer)
    assert found.notes == ()


def test_an_unknown_architecture_is_planned_as_a_plain_one_and_says_so(tmp_path: Path) -> None:
    found = shape(tmp_path, "futura", attention__sliding_window=512, ssm__state_size=16)
    assert (found.n_head_kv, found.sliding_window) == ((2, 2, 2, 2), 0)
    assert len(found.notes) == 3
    assert "'futura'" in found.notes[0]


def test_an_output_matrix_of_its_own_is_not_tied(tmp_path: Path) -> None:
    tensors = [*tensors_of(n_embd=256, kind="Q4_K"), Tensor("output.weight", (256, 8), "Q6_K")]
    header = read_header(write_gguf(tmp_path / "o.gguf", metadata_of(embedding_length=256), tensors))
    weights = weight_bytes(header, ("avx2",))
    assert not shape_of(header).tied_embeddings
    assert (weights.embedding, weights.output, weights.other) == (8 * 144, 8 * 210, 256 * 4)
    assert weights.repackable == sum(weights.per_layer)  # the embedding is looked up, Q6_K has no AVX2 kernel
    arm = weight_bytes(header, ("dotprod",))
    assert (arm.repackable, arm.repackable_output) == (sum(arm.per_layer) + 8 * 210, 8 * 210)


@pytest.mark.parametrize(
    ("features", "repacked"),
    [
        ((), ""),
        (("avx",), ""),
        (("avx2",), "Q4_0 Q4_K IQ4_NL MXFP4"),
        (("avx2", "avx512f"), "Q4_0 Q4_K IQ4_NL MXFP4 Q2_K"),
        (("dotprod",), "Q4_0 Q4_K Q5_K Q6_K Q8_0 IQ4_NL MXFP4 Q1_0"),
        (("dotprod", "i8mm"), "Q4_0 Q4_K Q5_K Q6_K Q8_0 IQ4_NL MXFP4 Q1_0"),
        (("i8mm",), "Q4_0 Q4_K Q5_K Q6_K Q8_0 Q1_0"),
        (("neon",), ""),  # Raspberry Pi 4: no dotprod, nothing is repacked
    ],
)
def test_what_is_repacked_depends_on_the_processor(features: tuple[str, ...], repacked: str) -> None:
    found = {kind for kind in BY_NAME if is_repacked("blk.0.ffn_up.weight", (256, 64), kind, features)}
    assert found == set(repacked.split())


@pytest.mark.parametrize(
    ("name", "dims", "expected"),
    [
        ("blk.0.attn_q.weight", (256, 64), True),
        ("blk.0.attn_q.weight", (256, 60), False),  # AVX2 kernels want rows by eight
        ("blk.0.attn_q.bias", (256, 64), False),
        ("blk.0.attn_norm.weight", (256,), False),
        ("blk.0.ffn_up_exps.weight", (256, 64, 8), True),
        ("blk.0.attn_k_b.weight", (256, 64, 8), False),
        ("token_embd.weight", (256, 64), False),
        ("per_layer_token_embd.weight", (256, 64), False),
        ("output.weight", (256, 64), True),
    ],
)
def test_only_what_is_multiplied_is_repacked(name: str, dims: tuple[int, ...], expected: bool) -> None:
    assert is_repacked(name, dims, "Q4_K", ("avx2",)) is expected


@pytest.mark.parametrize(
    ("arch", "changes", "said"),
    [
        ("llama", {"block_count": 0}, "block_count' is 0"),
        ("llama", {"block_count": 513}, "block_count' is 513"),
        ("llama", {"block_count": 0xFFFFFFFF}, "block_count"),
        ("llama", {"block_count": "30"}, "not a whole number"),
        ("llama", {"block_count": 30.0}, "not a whole number"),
        ("llama", {"block_count": True}, "not a whole number"),
        ("llama", {"block_count": None}, "missing"),
        ("llama", {"embedding_length": None}, "missing"),
        ("llama", {"embedding_length": 0}, "embedding_length"),
        ("llama", {"context_length": None}, "missing"),
        ("llama", {"attention__head_count_kv": [2, 2, 2]}, "3 entries for 4 layers"),
        ("llama", {"feed_forward_length": [1] * 5}, "5 entries for 4 layers"),
        ("llama", {"attention__head_count": Typed("i32", -1)}, "-1"),
        ("llama", {"attention__head_count": Typed("i32", [1, 2, -3, 4])}, "-3"),
        ("llama", {"attention__key_length": Typed("u64", 1 << 40)}, "key_length"),
        ("llama", {"nextn_predict_layers": 5}, "nextn"),
        ("gemma4", {"attention__sliding_window": 512}, "sliding_window_pattern' is missing"),
        ("gemma4", {"attention__sliding_window": 512, "attention__sliding_window_pattern": [True]}, "1 entries"),
        ("gpt-oss", {}, "sliding_window' is missing"),
        ("qwen35", {"full_attention_interval": 0}, "full_attention_interval"),
        ("lfm2", {"attention__head_count_kv": [0, 0, 0, 2], "shortconv__l_cache": 1}, "l_cache"),
        ("clip", {}, "mmproj"),
    ],
)
def test_impossible_hyperparameters_are_refused_by_name(tmp_path: Path, arch: str, changes, said: str) -> None:
    path = tiny_model(tmp_path / "m.gguf", arch, **changes)
    with pytest.raises(InvalidModelFileError) as caught:
        shape_of(read_header(path))
    assert said in caught.value.message
    assert str(path) in caught.value.message


def test_files_that_are_no_language_model_are_refused(tmp_path: Path) -> None:
    vocabulary = write_gguf(tmp_path / "v.gguf", metadata_of())
    adapter = write_gguf(tmp_path / "a.gguf", metadata_of() | {"general.type": "adapter"}, tensors_of())
    nameless = write_gguf(tmp_path / "n.gguf", {"general.name": "x"}, tensors_of())
    for path, said in ((vocabulary, "no weights"), (adapter, "adapter"), (nameless, "general.architecture")):
        with pytest.raises(InvalidModelFileError, match=said):
            shape_of(read_header(path))
    with pytest.raises(InvalidModelFileError, match="token_embd"):
        weight_bytes(read_header(write_gguf(tmp_path / "e.gguf", metadata_of(), tensors_of()[1:])))
