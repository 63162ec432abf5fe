"""Shape models have the dimensions they are named for, and llama.cpp's own readers accept the files."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from typing import Any

import pytest

from scripts.workshop import shape_models

np = importlib.import_module("numpy")
gguf = importlib.import_module("gguf")


@pytest.mark.parametrize(
    ("name", "published"),
    [
        # Parameter counts of the published models.
        ("qwen2.5-0.5b", 494_032_768),
        ("qwen2.5-1.5b", 1_543_714_304),
        ("llama-3.2-1b", 1_235_814_400),
        ("tinyllama-1.1b", 1_100_048_384),
        ("qwen3.5-0.8b", 752_393_024),
        ("lfm2-1.2b", 1_170_340_608),
        ("gemma-4-e2b", 4_647_450_147 - 256),  # its file counts the rope factors
    ],
)
def test_parameters_are_those_of_the_published_model(name, published):
    assert shape_models.parameters(shape_models.SHAPES[name]) == published


def small() -> Any:
    """A shape of a few kilobytes with every kind of tensor."""
    return replace(
        shape_models.SHAPES["llama-3.2-1b"], n_layer=2, n_embd=64, n_ff=128, n_head=4, n_head_kv=2, n_vocab=300,
        n_ctx_train=128, tied=False, qkv_bias=True,
    )  # fmt: skip


@pytest.fixture
def written(monkeypatch, tmp_path):
    shape = small()
    words = ["<unk>", "<s>", "<|eot_id|>", *(f"w{i}" for i in range(shape.n_vocab - 3))]
    vocab = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.token_type": [2, 3, 3] + [1] * (shape.n_vocab - 3),
        "tokenizer.ggml.merges": ["w 1"],
    }
    monkeypatch.setattr(shape_models, "vocabulary", lambda *_: dict(vocab))
    monkeypatch.setattr(shape_models, "template", lambda *_: "{{ messages }}")
    return shape, gguf.GGUFReader(shape_models.write_f16(shape, tmp_path, tmp_path / "small.gguf"))


def test_file_holds_every_tensor_in_its_shape(written):
    shape, reader = written
    found = {tensor.name: tuple(int(n) for n in reversed(tensor.shape)) for tensor in reader.tensors}
    assert found == {tensor.name: tensor.shape for tensor in shape_models.tensors(shape)}


def test_file_says_how_to_chat(written):
    _, reader = written
    assert reader.get_field("tokenizer.chat_template").contents() == "{{ messages }}"
    # The end of a turn, not the end of a document, is what an instruct model stops at.
    assert reader.get_field("tokenizer.ggml.eos_token_id").contents() == 2


def test_weights_are_finite_and_control_tokens_quiet(written):
    shape, reader = written
    tensors = {tensor.name: np.asarray(tensor.data, dtype=np.float32) for tensor in reader.tensors}
    assert all(np.isfinite(data).all() for data in tensors.values())
    rows = np.linalg.norm(tensors["output.weight"], axis=1)
    assert rows[1:3].max() < 0.1 * rows[3:].min()
    assert tensors["blk.1.ffn_gate.weight"].std() == pytest.approx(1 / math.sqrt(shape.n_embd), rel=0.05)


def test_same_seed_makes_the_same_weights():
    shape = small()
    tensor = next(tensor for tensor in shape_models.tensors(shape) if tensor.name == "blk.0.attn_q.weight")
    other = next(tensor for tensor in shape_models.tensors(shape) if tensor.name == "blk.1.attn_q.weight")
    none = np.zeros(0, np.int64)
    assert (shape_models.values(shape, tensor, none) == shape_models.values(shape, tensor, none)).all()
    assert (shape_models.values(shape, tensor, none) != shape_models.values(shape, other, none)).any()


def test_rope_factors_leave_high_frequencies_alone():
    factors = shape_models.rope_factors(shape_models.SHAPES["llama-3.2-1b"])
    assert factors[0] == 1.0
    assert factors[-1] == pytest.approx(32.0)
    assert (np.diff(factors) >= 0).all()


def test_an_unknown_name_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(SystemExit, match=r"qwen2\.5-0\.5b"):
        shape_models.make("qwen9", "Q4_K_M", tmp_path, tmp_path, tmp_path)
