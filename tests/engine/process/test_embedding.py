"""Vectors of texts on the real engine, held against the same models computed in numpy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edgechat.assistant import Assistant
from edgechat.engine.client import client
from edgechat.engine.state import log
from edgechat.errors import ContextOverflowError, DeadlineError, ExitCode, InvalidInputError, WrongModelError
from tests.engine.embedding_models import N_POSITIONS, WORDS, tiny_bert, tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgechat.paths import Paths
    from tests.command import Cli
    from tests.engine.embedding_models import Oracle

pytestmark = pytest.mark.engine

TEXTS = ["the river rises when the snow melts", "a cat sat on the mat", "the board is warm"]
LONG = " ".join([*WORDS, *["snow melts"] * 300])
"""More tokens than one batch of a decoder holds."""


@pytest.fixture(autouse=True)
def _no_engine_is_left(paths: Paths) -> Iterator[None]:
    yield
    client.stop(paths)


@pytest.mark.parametrize(
    ("make", "pooling", "more"),
    [
        (tiny_bert, "cls", ["cold " * 38]),
        (tiny_bert, "mean", []),
        (tiny_llama, "last", [LONG]),
        (tiny_llama, "mean", []),
    ],
)
def test_vectors_are_those_of_the_models_formula(tmp_path: Path, make, pooling: str, more: list[str]) -> None:
    oracle: Oracle = make(tmp_path / "tiny.gguf", pooling)
    texts = [*TEXTS, *more]
    with Assistant.open(str(tmp_path / "tiny.gguf")) as assistant:
        vectors = assistant.embed(texts)
        alone = assistant.embed(texts[-1])
    for text, vector in zip(texts, vectors, strict=True):
        assert np.dot(oracle.vector(text), vector) > 0.9999
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    assert alone == vectors[-1:], "a text's vector must not depend on what stands beside it"


def test_a_text_beyond_what_the_model_reads_is_refused_with_both_numbers(tmp_path: Path) -> None:
    tiny_bert(tmp_path / "tiny.gguf")
    with Assistant.open(str(tmp_path / "tiny.gguf")) as assistant:
        with pytest.raises(ContextOverflowError) as refused:
            assistant.embed(["the cat", "cat " * N_POSITIONS])
        assert (refused.value.prompt_tokens, refused.value.n_ctx) == (N_POSITIONS + 2, N_POSITIONS)
        assert "Text 2 of 2" in str(refused.value)
        assert "42 tokens" in str(refused.value)
        assert len(assistant.embed("cat " * (N_POSITIONS - 2))) == 1


def test_fewer_dimensions_are_the_first_ones_at_length_one(tmp_path: Path) -> None:
    tiny_bert(tmp_path / "tiny.gguf")
    with Assistant.open(str(tmp_path / "tiny.gguf")) as assistant:
        [whole] = assistant.embed("the cat")
        [short] = assistant.embed("the cat", dimensions=8)
        with pytest.raises(InvalidInputError, match="dimensions is 33; this model's vectors have 32"):
            assistant.embed("the cat", dimensions=33)
    assert np.linalg.norm(short) == pytest.approx(1, abs=1e-6)
    assert short == pytest.approx(np.array(whole[:8]) / np.linalg.norm(whole[:8]), abs=1e-6)


def test_each_kind_of_model_refuses_what_the_other_is_for(tmp_path: Path, cli: Cli) -> None:
    tiny_bert(tmp_path / "tiny.gguf")
    asked = cli("ask", "-m", str(tmp_path / "tiny.gguf"), "Hello")
    assert asked.returncode == ExitCode.INVALID_INPUT
    assert "tiny makes embeddings and cannot hold a conversation" in asked.stderr
    with Assistant.open() as assistant, pytest.raises(WrongModelError, match="is a chat model") as refused:
        assistant.embed("the cat")
    assert "pooling type" in refused.value.hint


def test_what_cannot_be_embedded_is_refused_in_words(tmp_path: Path) -> None:
    tiny_bert(tmp_path / "tiny.gguf")
    with Assistant.open(str(tmp_path / "tiny.gguf")) as assistant:
        with pytest.raises(InvalidInputError, match="Text 2 of 2 is empty"):
            assistant.embed(["the cat", ""])
        with pytest.raises(InvalidInputError, match="at most 2048"):
            assistant.embed(["the cat"] * 2049)


def test_a_deadline_ends_the_work_and_the_next_request_is_answered(tmp_path: Path) -> None:
    tiny_llama(tmp_path / "tiny.gguf")
    with Assistant.open(str(tmp_path / "tiny.gguf")) as assistant:
        assistant.embed("the cat")
        with pytest.raises(DeadlineError):
            assistant.embed([LONG] * 1000, timeout=0.3)
        assert len(assistant.embed(["the cat", "a mat"])) == 2


def test_figures_and_the_log_of_answers_count_texts(tmp_path: Path, paths: Paths, cli: Cli) -> None:
    tiny_bert(tmp_path / "tiny.gguf")
    paths.config.mkdir(parents=True)
    (paths.config / "config.toml").write_text('log_answers = "redacted"\n')
    with Assistant.open(str(tmp_path / "tiny.gguf")) as assistant:
        assistant.embed(["the cat", "a mat"])
        [engine] = cli.json("ps", "--json")
    assert engine["figures"]["tokens"]["prompt_tokens"] == 8
    [line] = map(json.loads, log.answers_path(paths.state).read_text().splitlines())
    assert [each["characters"] for each in line["messages"]] == [7, 5]
    assert line["finish_reason"] == "stop"
