"""The description at /openapi.json is true: what is really answered fits it, and what it forbids is refused."""

import json
from typing import Any

import jsonschema
import pytest

from tests.serve.server import Server

pytestmark = pytest.mark.engine

RECORD = {
    "speed_kmh": 30.0,
    "distance_to_car_m": 80.0,
    "lane_center_offset_m": 0.1,
    "weather": "clear",
    "time_of_day": "day",
}
HI = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}


@pytest.fixture
def described(server: Server) -> dict[str, Any]:
    return dict(server.http.get("/openapi.json").json())


def check(described: dict[str, Any], schema: dict[str, Any], value: object) -> None:
    jsonschema.Draft202012Validator({**schema, "components": described["components"]}).validate(value)


ASKED = [
    ("post", "/v1/chat/completions", "/v1/chat/completions", HI),
    ("post", "/v1/chat/completions", "/v1/chat/completions", {**HI, "temperature": 9}),
    ("post", "/v1/chat/completions", "/v1/chat/completions", {**HI, "n": 2, "logprobs": True, "top_logprobs": 2}),
    ("post", "/v1/completions", "/v1/completions", {"prompt": "Hi", "max_tokens": 3, "logprobs": 1}),
    ("post", "/v1/completions", "/v1/completions", {"prompt": []}),
    ("post", "/v1/embeddings", "/v1/embeddings", {"input": "Hi", "model": "default"}),
    ("get", "/v1/models", "/v1/models", None),
    ("get", "/v1/models/{model}", "/v1/models/default", None),
    ("get", "/v1/models/{model}", "/v1/models/gpt-9", None),
    ("get", "/v1/tasks", "/v1/tasks", None),
    ("get", "/v1/tasks/{task}", "/v1/tasks/driving", None),
    ("post", "/v1/tasks/{task}", "/v1/tasks/driving", RECORD),
    ("post", "/v1/tasks/{task}", "/v1/tasks/driving", {"speed_kmh": "fast"}),
    ("get", "/health", "/health", None),
    ("get", "/metrics", "/metrics", None),
    ("get", "/openapi.json", "/openapi.json", None),
]


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_what_is_answered_fits_the_description(
    server: Server, described: dict[str, Any], asked: tuple[str, str, str, Any]
) -> None:
    method, path, url, body = asked
    response = server.http.request(method, url, json=body)
    told = described["paths"][path][method]["responses"][str(response.status_code)]
    kind = response.headers["content-type"].partition(";")[0]
    content = told["content"][kind]
    if kind == "application/json":
        check(described, content["schema"], response.json())


@pytest.mark.parametrize(
    "body",
    [
        HI,
        {**HI, "n": 1, "logprobs": None, "tools": []},
        {**HI, "stop": ["a"] * 32},
        {**HI, "user": {"a": 1}},
        {**HI, "frobnicate": 1},
        {**HI, "max_tokens": -1, "seed": -1, "n": 2, "logprobs": True, "stop": "."},
    ],
)
def test_what_fits_the_description_is_answered(server: Server, described: dict[str, Any], body: dict[str, Any]) -> None:
    check(described, described["components"]["schemas"]["ChatRequest"], body)
    assert server.post("/v1/chat/completions", body).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 9},
        {"logprobs": 2},
        {"stop": ["a"] * 33},
        {"temperature": -1},
        {"seed": -2},
        {"max_tokens": 0},
        {"audio": 1},
    ],
)
def test_what_the_description_forbids_is_refused(
    server: Server, described: dict[str, Any], wrong: dict[str, Any]
) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check(described, described["components"]["schemas"]["ChatRequest"], {**HI, **wrong})
    assert server.post("/v1/chat/completions", {**HI, **wrong}).status_code == 400


def test_each_path_takes_the_described_methods_and_no_other(server: Server, described: dict[str, Any]) -> None:
    for path, operations in described["paths"].items():
        url = path.replace("{model}", "default").replace("{task}", "driving")
        response = server.http.delete(url)
        assert response.status_code == 405, path
        allowed = {each.strip().lower() for each in response.headers["allow"].split(",")}
        assert {"get", "post"} & set(operations) == allowed - {"head"}, path


def test_a_stream_carries_chunks_and_not_json(server: Server, described: dict[str, Any]) -> None:
    response = server.post("/v1/chat/completions", {**HI, "stream": True})
    kind = response.headers["content-type"].partition(";")[0]
    assert kind in described["paths"]["/v1/chat/completions"]["post"]["responses"]["200"]["content"]
    first = response.text.splitlines()[0].removeprefix("data: ")
    assert json.loads(first)["object"] == "chat.completion.chunk"
