from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.errors import InvalidModelFileError
from edgechat.models.gguf import checks
from edgechat.models.gguf.checks import loading_faults, repeated_token, require_loadable
from edgechat.models.gguf.header import read_header
from tests.models.gguf_writer import Raw, Typed, metadata_of, starter_path, string, tensors_of, tiny_model, write_gguf

if TYPE_CHECKING:
    from pathlib import Path


HYBRID = {
    "attention__head_count_kv": [0, 2, 2, 2], "ssm__inner_size": 128, "ssm__state_size": 8, "ssm__conv_kernel": 4,
    "ssm__time_step_rank": 8, "ssm__group_count": 4,
}  # fmt: skip


def faults(path: Path) -> str:
    return "; ".join(loading_faults(read_header(path), tokens=True))


def test_the_starter_model_has_no_fault() -> None:
    require_loadable(read_header(starter_path()), tokens=True)


@pytest.mark.parametrize(
    ("arch", "changes"),
    [
        ("llama", {}),
        ("phi3", {"rope__dimension_count": 12}),  # Phi-4-mini rotates three quarters of each head
        ("gemma3", {"attention__key_length": 32, "attention__sliding_window": 512, "block_count": 6}),
        ("granitehybrid", HYBRID),
        ("qwen35", HYBRID),
        ("qwen3moe", {"expert_count": 8, "expert_used_count": 2}),
        ("hunyuan-dense", {"expert_count": 1, "expert_used_count": 1}),
        ("futura", {"rope__dimension_count": 64, "attention__value_length": 8}),
    ],
)
def test_sound_models_have_no_fault(tmp_path: Path, arch: str, changes) -> None:
    require_loadable(read_header(tiny_model(tmp_path / "m.gguf", arch, **changes)), tokens=True)


@pytest.mark.parametrize(
    ("arch", "changes", "said"),
    [
        ("qwen3moe", {"expert_count": 8}, "uses none"),
        ("qwen3moe", {"expert_count": 8, "expert_used_count": 9}, "uses 9 experts of 8"),
        ("qwen3moe", {"expert_used_count": 2}, "uses 2 experts of 0"),
        ("qwen3moe", {"expert_count": 1025, "expert_used_count": 2}, "1025 experts"),
        ("qwen3moe", {"expert_count": 8, "expert_used_count": 2, "expert_group_count": 8}, "8 groups"),
        ("qwen3moe", {"expert_count": 8, "expert_used_count": 2, "expert_group_count": 3}, "3 groups"),
        ("qwen3moe", {"expert_count": 8, "expert_used_count": [1, 2, 9, 1]}, "uses 9 experts of 8"),
        ("llama", {"rope__scaling__type": "su"}, "rope scaling 'su'"),
        ("llama", {"rope__scaling__type": 3}, "rope scaling"),
        ("llama", {"rope__dimension_count": 64}, "rotates 64"),
        ("qwen2", {"rope__dimension_count": 8}, "rotates 8"),
        ("phi3", {"rope__dimension_count": 15}, "rotates 15"),
        ("qwen3", {"attention__value_length": 8}, "must be equal"),
        ("llama", {"attention__head_count_kv": 3}, "4 query heads for 3 key heads"),
        ("llama", {"attention__head_count": 0, "attention__head_count_kv": 0}, "no attention heads"),
        ("gemma3", {"attention__sliding_window": 512, "attention__sliding_window_pattern": 1}, "no layer that slides"),
        ("gpt-oss", {"attention__sliding_window": 512, "attention__sliding_window_pattern": [False] * 4}, "no layer"),
        ("lfm2", {"shortconv__l_cache": 3, "attention__key_length": 8}, "must be equal"),
        ("lfm2moe", {"shortconv__l_cache": 3}, "no experts"),
        ("granitehybrid", {**HYBRID, "ssm__inner_size": 64}, "inner size"),
        ("granitehybrid", {**HYBRID, "ssm__group_count": 0}, "0 groups"),
        ("granitehybrid", {**HYBRID, "ssm__time_step_rank": 0}, "0 heads"),
        ("qwen35", {**HYBRID, "ssm__group_count": 3}, "3 groups"),
    ],
)  # fmt: skip
def test_what_would_abort_llama_cpp_is_named(tmp_path: Path, arch: str, changes, said: str) -> None:
    assert said in faults(tiny_model(tmp_path / "m.gguf", arch, **changes))


@pytest.mark.parametrize(
    ("sliding", "shared", "said"),
    [
        ([True, False, True, False], 2, ""),
        ([True, False, True, False], 3, "only 1 of its 4 layers"),
        ([True, False, True, False], 4, "only 0 of its 4 layers"),
        ([False, True, True, False], 2, "to share with"),
        ([True, True, True, False], 2, "to share with"),
        ([False, False, False, False], 2, "no layer that slides"),
    ],
)
def test_layers_that_share_keys_need_some_to_share(tmp_path: Path, sliding, shared: int, said: str) -> None:
    path = tiny_model(
        tmp_path / "m.gguf",
        "gemma4",
        attention__sliding_window=512,
        attention__sliding_window_pattern=sliding,
        attention__shared_kv_layers=shared,
    )
    assert said in faults(path) if said else not faults(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tokenizer.ggml.model": "no_vocab", "llama.vocab_size": 0xFFFFFFFF}, "no vocabulary"),
        ({"tokenizer.ggml.eos_token_id": 8}, "eos token is 8"),
        ({"tokenizer.ggml.eos_token_id": 0xFFFFFFFF}, "eos token"),
        ({"tokenizer.ggml.eos_token_id": Typed("i32", -1)}, "eos token is -1"),
        ({"tokenizer.ggml.bos_token_id": 99}, "bos token is 99"),
        ({"tokenizer.ggml.eot_token_id": 8}, "eot token is 8"),
        ({"tokenizer.ggml.tokens": ["a", "b", "", "d"]}, "end-of-text token is empty"),
        ({"tokenizer.ggml.tokens": ["a", "b", "c", "a"]}, "lists the token 'a' twice"),
        ({"tokenizer.ggml.tokens": ["a\x1b", "b", "c", "a\x1b"]}, r"'a\x1b' twice"),
        ({"tokenizer.ggml.tokens": ["", "", "c", ""]}, ""),
        ({"tokenizer.ggml.model": "gemma4", "tokenizer.ggml.add_bos_token": True}, "bos token"),
        ({"tokenizer.ggml.model": "llama", "tokenizer.ggml.add_bos_token": True}, "no byte tokens"),
        ({"tokenizer.ggml.padding_token_id": 99}, ""),  # llama.cpp never feeds it
    ],
)
def test_vocabularies(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    path = write_gguf(tmp_path / "v.gguf", metadata_of() | changes, tensors_of())
    assert said in faults(path) if said else not faults(path)


def test_a_huge_vocabulary_is_refused_without_being_looked_through(tmp_path: Path) -> None:
    count = checks.MAX_VOCAB + 1
    tokens = Raw(b"\x09\0\0\0\x08\0\0\0" + count.to_bytes(8, "little") + string("") * count)
    path = write_gguf(tmp_path / "v.gguf", metadata_of() | {"tokenizer.ggml.tokens": tokens}, tensors_of())
    assert f"{count} tokens" in faults(path)


@pytest.mark.parametrize("token", ["token 7", "é" * 1000])
def test_a_repeated_token_is_found_far_apart_and_however_long(tmp_path: Path, monkeypatch, token: str) -> None:
    monkeypatch.setattr(checks, "_TOKENS_PER_PASS", 1000)
    tokens = [f"token {index}" for index in range(10_000)]
    metadata = metadata_of() | {"tokenizer.ggml.tokens": tokens}
    assert repeated_token(read_header(write_gguf(tmp_path / "v.gguf", metadata, tensors_of()))) is None
    tokens[7] = tokens[-1] = token
    assert repeated_token(read_header(write_gguf(tmp_path / "v.gguf", metadata, tensors_of()))) == token


def test_a_token_longer_than_a_window_is_refused_rather_than_held(tmp_path: Path) -> None:
    metadata = metadata_of() | {"tokenizer.ggml.tokens": ["a", "b", "c" * 300_000, "d"]}
    header = read_header(write_gguf(tmp_path / "v.gguf", metadata, tensors_of()))
    with pytest.raises(InvalidModelFileError, match="entry 2 of the token list"):
        repeated_token(header)


def test_the_refusal_names_file_and_fault(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "m.gguf", rope__scaling__type="su")
    with pytest.raises(InvalidModelFileError, match="rope scaling") as caught:
        require_loadable(read_header(path))
    assert str(path) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("epsilon", [-1e-5, float("nan"), float("inf"), 5.0, "x"])
def test_an_epsilon_that_ends_llama_cpp_is_refused(tmp_path: Path, epsilon: object) -> None:
    """A negative one passed our reader and killed two engines at each question."""
    path = tiny_model(tmp_path / "m.gguf", attention__layer_norm_rms_epsilon=epsilon)
    assert "layer_norm_rms_epsilon" in faults(path)


@pytest.mark.parametrize(
    ("changes", "is_fault"),
    [
        ({"tokenizer.ggml.model": "llama"}, True),
        ({"tokenizer.ggml.model": "llama", "tokenizer.ggml.token_type": None}, True),
        ({"tokenizer.ggml.model": "llama", "tokenizer.ggml.token_type": [1, 1, 1, 6, 1, 1, 1, 1]}, False),
        ({}, False),
    ],
    ids=["BPE file", "BPE file without types", "with byte tokens", "BPE as such"],
)
def test_a_tokenizer_of_another_kind_than_its_vocabulary_is_refused(tmp_path: Path, changes, is_fault: bool) -> None:
    metadata = {key: item for key, item in (metadata_of() | changes).items() if item is not None}
    assert ("byte tokens" in faults(write_gguf(tmp_path / "m.gguf", metadata, tensors_of()))) == is_fault
