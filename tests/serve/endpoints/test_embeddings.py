"""``/v1/embeddings`` with OpenAI's own client, on an embedding model and on a chat model."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import openai
import pytest

from tests.engine.embedding_models import N_POSITIONS, TinyBert, tiny_bert
from tests.serve.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.engine

TEXTS = ["the river rises when the snow melts", "a cat sat on the mat"]


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, TinyBert]]:
    home = tmp_path_factory.mktemp("embeddings")
    oracle = tiny_bert(home / "tiny.gguf")
    with Server(home / "home", "-m", str(home / "tiny.gguf")) as running:
        running.wait_ready()
        yield running, oracle


@pytest.fixture
def client(embedder: tuple[Server, TinyBert]) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{embedder[0].url}/v1", api_key="none", max_retries=0) as found:
        yield found


@pytest.mark.parametrize("options", [{}, {"encoding_format": "float"}], ids=["base64", "float"])
def test_openais_client_gets_the_vectors(
    client: openai.OpenAI, embedder: tuple[Server, TinyBert], options: dict[str, Any]
) -> None:
    answer = client.embeddings.create(model="default", input=TEXTS, **options)
    assert [each.index for each in answer.data] == [0, 1]
    for text, each in zip(TEXTS, answer.data, strict=True):
        assert np.dot(each.embedding, embedder[1].vector(text)) > 0.9999
    assert answer.model.lower() == "tiny:f32"
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (17, 17)


def test_base64_is_the_same_numbers(embedder: tuple[Server, TinyBert]) -> None:
    server, _ = embedder
    plain = server.post("/v1/embeddings", {"input": "the cat"}).json()["data"][0]["embedding"]
    packed = server.post("/v1/embeddings", {"input": "the cat", "encoding_format": "base64"}).json()
    assert np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), dtype="<f4").tolist() == plain


def test_dimensions_are_honoured_or_refused(client: openai.OpenAI) -> None:
    short = client.embeddings.create(model="default", input="the cat", dimensions=8).data[0].embedding
    assert len(short) == 8
    assert np.linalg.norm(short) == pytest.approx(1, abs=1e-6)
    with pytest.raises(openai.BadRequestError, match="have 32"):
        client.embeddings.create(model="default", input="the cat", dimensions=64)


def test_what_is_answered_fits_the_description(embedder: tuple[Server, TinyBert]) -> None:
    server, _ = embedder
    described = server.http.get("/openapi.json").json()
    told = described["paths"]["/v1/embeddings"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    answer = server.post("/v1/embeddings", {"input": TEXTS, "encoding_format": "float"}).json()
    jsonschema.Draft202012Validator({**told, "components": described["components"]}).validate(answer)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"input": ""}, "empty"),
        ({"input": []}, "empty"),
        ({"input": ["the cat", ""]}, "empty"),
        ({"input": [[1, 2], [3]]}, "token ids"),
        ({"input": ["a"] * 2049}, "2049 texts"),
        ({"input": "the cat", "dimensions": 0}, "dimensions"),
        ({"input": "the cat", "encoding_format": "int8"}, "encoding_format"),
        ({"input": ["the cat", "cat " * N_POSITIONS]}, "Text 2 of 2 is 42 tokens; the model reads at most 40"),
    ],
    ids=str,
)
def test_what_cannot_be_embedded_is_refused_by_name(
    embedder: tuple[Server, TinyBert], fields: dict[str, Any], said: str
) -> None:
    refused = embedder[0].post("/v1/embeddings", fields)
    assert refused.status_code == 400
    assert said in refused.json()["error"]["message"]


def test_another_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="text-embedding-3-small", input="the cat")


def test_each_kind_of_model_says_what_it_is_not(embedder: tuple[Server, TinyBert], server: Server) -> None:
    chat = embedder[0].chat()
    vectors = server.post("/v1/embeddings", {"input": "the cat"})
    for refused, said in ((chat, "cannot hold a conversation"), (vectors, "need an embedding model")):
        assert refused.status_code == 400
        error = refused.json()["error"]
        assert said in error["message"]
        assert (error["code"], error["param"]) == ("wrong_model", "model")
