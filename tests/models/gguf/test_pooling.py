"""Which files make embeddings, and how they are planned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.board.probe.board_file import load_board
from edgechat.errors import InvalidModelFileError
from edgechat.models.gguf.checks import require_loadable
from edgechat.models.gguf.header import read_header
from edgechat.models.gguf.header_shape import pooling_of, writes_text
from edgechat.models.planning.candidate import from_installed
from edgechat.models.planning.fit import choose, ladder
from edgechat.models.planning.installed_choice import choose_installed
from edgechat.models.planning.plan import PlanRequest
from edgechat.models.store.installed import InstalledModel
from tests.models.gguf_writer import tiny_model

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.models.planning.candidate import Candidate

BOARD = load_board("pi5-4gb")


def installed(path: Path) -> InstalledModel:
    header = read_header(path)
    return InstalledModel(path.stem, header.quant, path, header.file_size, None, "", f"file:{path}")


def candidate(path: Path) -> Candidate:
    return from_installed(installed(path), read_header(path), ())


@pytest.mark.parametrize(
    ("arch", "number", "pooling"),
    [("bert", 2, "cls"), ("nomic-bert", 1, "mean"), ("qwen3", 3, "last"), ("qwen3", 0, None), ("qwen3", None, None)],
)
def test_a_pooling_type_makes_an_embedding_model(
    tmp_path: Path, arch: str, number: int | None, pooling: str | None
) -> None:
    header = read_header(tiny_model(tmp_path / "m.gguf", arch, pooling_type=number))
    assert pooling_of(header) == pooling
    assert writes_text(header) == (pooling is None)
    require_loadable(header)


@pytest.mark.parametrize(
    ("arch", "number", "fault"),
    [("qwen3", 4, "reranker"), ("qwen3", 9, "pooling type is 9"), ("bert", None, "encoder")],
)
def test_what_makes_neither_text_nor_vectors_is_refused(
    tmp_path: Path, arch: str, number: int | None, fault: str
) -> None:
    with pytest.raises(InvalidModelFileError, match=fault):
        require_loadable(read_header(tiny_model(tmp_path / "m.gguf", arch, pooling_type=number)))


@pytest.mark.parametrize(("arch", "number"), [("bert", 2), ("llama", 1)])
def test_a_text_that_must_be_read_at_once_is_one_batch(tmp_path: Path, arch: str, number: int) -> None:
    plans = ladder(BOARD, candidate(tiny_model(tmp_path / "m.gguf", arch, pooling_type=number)), PlanRequest())
    assert [plan.settings.n_ctx for plan in plans] == [2048, 1024, 512]
    for plan in plans:
        settings = plan.settings
        # Fewer rows of output than tokens would abort the process.
        assert settings.n_ctx == settings.n_batch == settings.n_ubatch == settings.n_outputs_max
    assert plans[0].settings.n_seq_max == 1


def test_a_text_whose_last_token_counts_is_read_in_pieces(tmp_path: Path) -> None:
    plans = ladder(BOARD, candidate(tiny_model(tmp_path / "m.gguf", pooling_type=3)), PlanRequest())
    sizes = [(plan.settings.n_ctx, plan.settings.n_batch, plan.settings.n_outputs_max) for plan in plans]
    assert sizes[:3] == [(4096, 512, 512), (4096, 128, 128), (2048, 128, 128)]


def test_every_token_is_read_at_once_where_tokens_look_ahead(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "m.gguf", pooling_type=3, attention__causal=False)
    [first, *_] = ladder(BOARD, candidate(path), PlanRequest())
    assert first.settings.n_batch == first.settings.n_ctx


def test_an_encoder_keeps_no_kv_cache(tmp_path: Path) -> None:
    [encoder, *_] = ladder(BOARD, candidate(tiny_model(tmp_path / "e.gguf", "bert", pooling_type=1)), PlanRequest())
    [decoder, *_] = ladder(BOARD, candidate(tiny_model(tmp_path / "d.gguf", "llama", pooling_type=1)), PlanRequest())
    assert encoder.memory.kv == 0 < decoder.memory.kv


def test_an_embedding_model_never_answers_unasked(tmp_path: Path) -> None:
    chat = installed(tiny_model(tmp_path / "chat.gguf"))
    vectors = installed(tiny_model(tmp_path / "vectors.gguf", "bert", pooling_type=2))
    assert choose_installed(BOARD, [vectors, chat], PlanRequest()).model == chat
    assert choose(BOARD, [candidate(vectors.path)], PlanRequest()).model == "vectors"
