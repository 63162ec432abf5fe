"""OpenAI's own Python client, unchanged, and one of another make."""

from collections.abc import Iterator
from typing import Literal

import openai
import pytest
from huggingface_hub import InferenceClient
from openai.types.chat import ChatCompletionUserMessageParam
from pydantic import BaseModel, Field

from tests.serve.server import Server

pytestmark = pytest.mark.engine

HI: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Name one color."}]


class Risk(BaseModel):
    """What an answer must be."""

    level: Literal["low", "high"]
    score: int = Field(ge=0, le=100)
    # Bounded: a small model does not end a list by itself.
    reasons: list[Literal["speed", "distance", "weather"]] = Field(max_length=3)


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as found:
        yield found


def test_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="default", messages=HI, max_completion_tokens=8, temperature=0)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8


def test_streaming(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="default", messages=HI, max_tokens=12, temperature=0)
    stream = client.chat.completions.create(
        model="default", messages=HI, max_tokens=12, temperature=0, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 12


def test_structured_output_with_a_pydantic_model(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model="default",
        messages=[{"role": "user", "content": "Rain, 90 km/h, 12 m to the car ahead. How risky?"}],
        response_format=Risk,
        temperature=0,
        max_tokens=200,
    )
    assert isinstance(answer.choices[0].message.parsed, Risk)


def test_structured_output_that_was_cut_is_an_error_of_its_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(
            model="default", messages=[{"role": "user", "content": "Risk?"}], response_format=Risk, max_tokens=2
        )


def test_models_and_completions(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert client.models.retrieve(model.id).id == model.id
    assert client.completions.create(model=model.id, prompt="Name one color.", max_tokens=4).choices[0].text


def test_errors_are_its_own_types(client: openai.OpenAI, server: Server) -> None:
    def ask(**fields: object) -> None:
        client.chat.completions.create(**{"model": "default", "messages": HI, "max_tokens": 1, **fields})  # type: ignore[call-overload]

    with pytest.raises(openai.NotFoundError) as missing:
        ask(model="gpt-4o")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad:
        ask(temperature=9)
    assert bad.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as long:
        ask(messages=[{"role": "user", "content": "word " * 20_000}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.PermissionDeniedError):
        ask(extra_headers={"Origin": "http://evil.example"})


def test_the_token_is_its_api_key(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Server(tmp_path_factory.mktemp("key"), "--token") as server:
        server.wait_ready()
        key = (server.paths.config / "serve.token").read_text().strip()
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as right:
            assert right.models.list().data
        wrong = openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0)
        with wrong, pytest.raises(openai.AuthenticationError):
            wrong.models.list()


def test_a_client_of_another_make(server: Server) -> None:
    client = InferenceClient(base_url=f"{server.url}/v1", api_key="none")
    hi: list[dict[str, object]] = [dict(each) for each in HI]
    answer = client.chat_completion(hi, model="default", max_tokens=8, temperature=0)
    assert answer.choices[0].message.content
    pieces = client.chat_completion(hi, model="default", max_tokens=8, temperature=0, stream=True)
    said = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert said == answer.choices[0].message.content
