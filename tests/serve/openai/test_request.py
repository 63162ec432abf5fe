"""The OpenAI endpoints over real HTTP, on the real engine: shapes, constraints, errors and their statuses."""

import json
from typing import Any

import pytest

pytestmark = pytest.mark.engine

RISK = {
    "type": "object",
    "properties": {"level": {"enum": ["low", "high"]}, "score": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["level", "score"],
    "additionalProperties": False,
}


def events(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_an_answer_has_openais_shape_and_counts_add_up(server):
    response = server.chat("What is the capital of France?")
    assert response.status_code == 200
    answer = response.json()
    (choice,) = answer["choices"]
    assert answer["object"] == "chat.completion"
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"].strip()
    assert choice["finish_reason"] == "length"
    usage = answer["usage"]
    assert usage["completion_tokens"] == 8
    assert usage["total_tokens"] == usage["prompt_tokens"] + 8
    assert answer["model"] == server.http.get("/v1/models").json()["data"][0]["id"]


def test_a_stream_says_the_same_in_pieces_and_ends_with_usage(server):
    whole = server.chat("Name one river.").json()
    said = events(server.chat("Name one river.", stream=True, stream_options={"include_usage": True}).text)
    text = "".join(each["choices"][0]["delta"].get("content", "") for each in said if each["choices"])
    assert text == whole["choices"][0]["message"]["content"]
    assert said[0]["choices"][0]["delta"]["role"] == "assistant"
    assert said[-2]["choices"][0]["finish_reason"] == "length"
    assert said[-1]["choices"] == []
    assert said[-1]["usage"]["completion_tokens"] == 8
    assert {each["id"] for each in said} == {said[0]["id"]}


def test_a_stop_string_ends_the_answer_before_it(server):
    full = server.chat("Count: one, two, three, four.", max_tokens=24).json()["choices"][0]["message"]["content"]
    word = full.split()[2]
    cut = server.chat("Count: one, two, three, four.", max_tokens=24, stop=word).json()["choices"][0]
    assert cut["finish_reason"] == "stop"
    assert cut["message"]["content"] == full[: full.index(word)]


def test_a_seed_makes_sampling_repeatable(server):
    def name(seed: int) -> Any:
        asked = server.chat("Invent a name.", temperature=1.5, max_tokens=24, seed=seed)
        return asked.json()["choices"][0]["message"]["content"]

    assert name(7) == name(7)
    assert name(7) != name(8)


@pytest.mark.parametrize("stream", [False, True])
def test_a_schema_is_kept(server, stream):
    wanted = {"type": "json_schema", "json_schema": {"name": "risk", "schema": RISK, "strict": True}}
    response = server.chat("How risky is ice?", response_format=wanted, max_tokens=64, stream=stream)
    if stream:
        text = "".join(each["choices"][0]["delta"].get("content", "") for each in events(response.text))
    else:
        text = response.json()["choices"][0]["message"]["content"]
    value = json.loads(text)
    assert set(value) == {"level", "score"}
    assert value["level"] in {"low", "high"}
    assert 0 <= value["score"] <= 9


def test_json_object_gives_an_object(server):
    said = server.chat("A person.", response_format={"type": "json_object"}, max_tokens=200).json()["choices"][0]
    if said["finish_reason"] == "stop":
        assert isinstance(json.loads(said["message"]["content"]), dict)
    else:
        assert said["message"]["content"].startswith("{")


def test_completions_answer_a_prompt(server):
    answer = server.post("/v1/completions", {"prompt": "Name one color.", "max_tokens": 8, "temperature": 0}).json()
    assert answer["object"] == "text_completion"
    assert answer["choices"][0]["text"] == server.chat("Name one color.").json()["choices"][0]["message"]["content"]
    streamed = server.post("/v1/completions", {"prompt": ["Name one color."], "max_tokens": 8, "stream": True})
    assert all("text" in each["choices"][0] for each in events(streamed.text))


def test_parts_of_a_message_are_one_text_and_developer_is_system(server):
    parts = [{"type": "text", "text": "Name one"}, {"type": "text", "text": " color."}]
    assert server.chat("Name one color.").json()["usage"] == server.chat(parts).json()["usage"]
    told = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    same = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    answers = [server.chat(messages=each).json()["choices"] for each in (told, same)]
    assert answers[0] == answers[1]


BAD = [
    ({"messages": []}, "messages"),
    ({"messages": None}, "messages"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
    ({"temperature": 9}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"n": 2}, "n"),
    ({"seed": -1}, "seed"),
    ({"stop": ["x"] * 40}, "stop"),
    ({"logprobs": True}, "logprobs"),
    ({"presence_penalty": 2.5}, "presence_penalty"),
    ({"tools": [{"type": "function"}]}, "tools.0.function"),
    ({"no_such_field": 1}, "no_such_field"),
    ({"response_format": {"type": "xml"}}, "response_format"),
]


@pytest.mark.parametrize(("fields", "param"), BAD, ids=[name for _, name in BAD])
def test_what_cannot_be_done_is_refused_by_name(server, fields, param):
    response = server.chat(**fields)
    error = response.json()["error"]
    assert response.status_code == 400
    assert error["param"] == param
    assert param in error["message"]
    assert error["type"] == "invalid_request_error"


def test_a_schema_that_cannot_be_honoured_is_refused_with_its_path(server):
    schema = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    response = server.chat(response_format=wanted)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == "response_format"
    assert error["message"].count("/properties/a") == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_beyond_the_context_is_refused_with_its_code(server, stream):
    response = server.chat("word " * 20_000, stream=stream)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"


def test_another_model_than_the_one_that_answers_is_not_found(server):
    response = server.chat(model="gpt-4o")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
    for name in ("default", "smollm2-135m-instruct", "SmolLM2-135M-Instruct:Q4_1"):
        assert server.chat(model=name, max_tokens=1).status_code == 200
    # The path of a file on this machine is no model's name.
    assert server.chat(model="/etc/passwd").status_code == 404
    assert server.http.get("/v1/models/nobody").status_code == 404
    assert server.http.get("/v1/models/smollm2-135m-instruct:q4_1").status_code == 200


def test_unknown_paths_and_methods_answer_in_json(server):
    assert server.http.get("/v1/nothing").json()["error"]["code"] == "not_found"
    response = server.http.get("/v1/chat/completions")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.json()["error"]["code"] == "method_not_allowed"


def test_what_is_not_json_is_refused(server):
    kind = {"Content-Type": "application/json"}
    assert server.http.post("/v1/chat/completions", content=b"{", headers=kind).status_code == 400
    assert server.http.post("/v1/chat/completions", content=b'"\xff"', headers=kind).status_code == 400
    form = {"Content-Type": "text/plain"}
    assert server.http.post("/v1/chat/completions", content=b"{}", headers=form).status_code == 415
