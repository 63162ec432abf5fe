"""The OpenAI endpoints over real HTTP, on the real engine: shapes, constraints, errors and their statuses."""

import json
from collections import Counter
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
    ({"max_tokens": -2}, "max_tokens"),
    ({"n": 9}, "n"),
    ({"seed": -2}, "seed"),
    ({"stop": ["x"] * 40}, "stop"),
    ({"top_logprobs": 21}, "top_logprobs"),
    ({"presence_penalty": 2.5}, "presence_penalty"),
    ({"logit_bias": {"7": 1}}, "logit_bias"),
    ({"tools": [{"type": "function"}]}, "tools.0.function"),
    ({"max_token": 1}, "max_token"),
    ({"responseFormat": {"type": "json_object"}}, "responseFormat"),
    ({"grammar": "root ::= x"}, "grammar"),
    (
        {"messages": [{"role": "user", "content": "x", "tool_call": []}, {"role": "user", "toolCalls": [1]}]},
        "messages.1.toolCalls",
    ),
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


def test_fields_that_change_no_answer_are_ignored_and_named(server):
    """Clients send fields of their own and of other servers with every message (llama.cpp's page: id, cache_prompt)."""
    extra = {"messages": [{"role": "user", "content": "Say hi.", "id": 7, "opts": {"visible": False}}]}
    response = server.chat(**extra, cache_prompt=True, max_token=None, temp=0)
    assert response.status_code == 200
    ignored = response.headers["x-edgechat-ignored"].split(", ")
    assert sorted(ignored) == ["cache_prompt", "max_token", "messages.0.id", "messages.0.opts", "temp"]
    assert response.json()["choices"] == server.chat().json()["choices"]
    assert "x-edgechat-ignored" not in server.chat().headers
    odd = server.chat(**{"naïve\r\nX-Evil: 1": 1}, stream=True)
    assert odd.headers["x-edgechat-ignored"] == "na\\xefve??X-Evil: 1"
    assert "x-evil" not in odd.headers


@pytest.mark.parametrize("fields", [{"max_tokens": -1}, {"seed": -1}, {"top_k": -1}], ids=str)
def test_minus_one_means_no_choice_of_the_client(server, fields):
    response = server.chat("Reply with one word.", **{"stop": " ", **fields})
    assert response.status_code == 200, response.text


def test_several_answers_come_with_their_index_and_one_prompt(server):
    asked = {"text": "Invent a name.", "temperature": 1.5, "max_tokens": 12, "n": 3, "seed": 5}
    answer = server.chat(**asked).json()
    texts = [each["message"]["content"] for each in answer["choices"]]
    assert [each["index"] for each in answer["choices"]] == [0, 1, 2]
    # Rows of a batch round otherwise than a row alone, so that at this temperature only the beginnings are the same.
    begun = 4
    assert len({each[:begun] for each in texts}) > 1
    alone = server.chat(**{**asked, "n": 1, "seed": 6}).json()
    assert alone["choices"][0]["message"]["content"][:begun] == texts[1][:begun]
    assert answer["usage"]["prompt_tokens"] == alone["usage"]["prompt_tokens"]
    assert answer["usage"]["completion_tokens"] > alone["usage"]["completion_tokens"]
    said = events(server.chat(**asked, stream=True).text)
    for index in range(3):
        mine = [each["choices"][0] for each in said if each["choices"][0]["index"] == index]
        assert mine[0]["delta"]["role"] == "assistant"
        assert "".join(each["delta"].get("content", "") for each in mine)[:begun] == texts[index][:begun]
        assert mine[-1]["finish_reason"] in {"stop", "length"}


@pytest.mark.parametrize("stream", [False, True])
def test_log_probabilities_are_those_of_the_text(server, stream):
    response = server.chat("Name one color.", logprobs=True, top_logprobs=3, stream=stream)
    if stream:
        choices = [each["choices"][0] for each in events(response.text)]
        text = "".join(each["delta"].get("content", "") for each in choices)
        entries = [entry for each in choices if each["logprobs"] for entry in each["logprobs"]["content"]]
    else:
        (choice,) = response.json()["choices"]
        text, entries = choice["message"]["content"], choice["logprobs"]["content"]
    assert b"".join(bytes(each["bytes"]) for each in entries).decode() == text
    for entry in entries:
        likeliest = entry["top_logprobs"]
        assert len(likeliest) == 3
        # Greedy: the token that was chosen is the likeliest one.
        assert likeliest[0]["logprob"] == entry["logprob"] <= 0
        assert likeliest == sorted(likeliest, key=lambda each: -each["logprob"])
    legacy = server.post(
        "/v1/completions", {"prompt": "Name one color.", "max_tokens": 8, "temperature": 0, "logprobs": 1}
    )
    assert legacy.json()["choices"][0]["logprobs"]["token_logprobs"] == [each["logprob"] for each in entries]


def test_log_probabilities_beside_a_schema_count_forced_tokens_as_certain(server):
    wanted = {"type": "json_schema", "json_schema": {"name": "risk", "schema": RISK}}
    (choice,) = server.chat("How risky is ice?", response_format=wanted, max_tokens=64, logprobs=True).json()["choices"]
    entries = choice["logprobs"]["content"]
    assert b"".join(bytes(each["bytes"]) for each in entries).decode() == choice["message"]["content"]
    assert entries[0]["logprob"] == 0
    assert any(each["logprob"] < 0 for each in entries)


def chosen_by_penalty(entries: list[dict[str, Any]], *, presence: float, frequency: float) -> tuple[int, int]:
    """How many tokens of a greedy answer were the best one after the penalty, and how many only because of it.

    Args:
        entries: each place's token and the likeliest ones, by the model's own distribution before the penalties.
        presence: subtracted from the logit of a token that the answer has.
        frequency: subtracted as often as the answer has it.
    """
    seen: Counter[bytes] = Counter()
    right = turned = 0
    for entry in entries:
        scores = {
            bytes(each["bytes"]): each["logprob"]
            - frequency * seen[bytes(each["bytes"])]
            - presence * bool(seen[bytes(each["bytes"])])
            for each in (*entry["top_logprobs"], entry)  # what a penalty encourages may not be among the likeliest
        }
        token = bytes(entry["bytes"])
        right += token == max(scores, key=scores.__getitem__)
        turned += entry["logprob"] < entry["top_logprobs"][0]["logprob"]
        seen[token] += 1
    return right, turned


@pytest.mark.parametrize("penalty", ["presence", "frequency"])
@pytest.mark.parametrize("size", [2.0, -2.0])
def test_a_penalty_changes_the_choice_of_each_token_by_its_size(server, penalty, size):
    response = server.chat(
        "Write the names of animals.", max_tokens=40, logprobs=True, top_logprobs=20, **{f"{penalty}_penalty": size}
    )
    (choice,) = response.json()["choices"]
    entries = choice["logprobs"]["content"]
    right, turned = chosen_by_penalty(
        entries, presence=size * (penalty == "presence"), frequency=size * (penalty == "frequency")
    )
    # Were the penalty ignored, no choice would have turned; were it another one, some would be wrong.
    assert right == len(entries)
    assert turned > 0


BO = {"type": "object", "properties": {"name": {"const": "Bo"}, "age": {"enum": [4, 5]}}, "required": ["name", "age"]}


@pytest.mark.parametrize("stop", ["Bo", "{", '"', ": ", "}"])
def test_a_stop_string_does_not_end_json_in_the_middle(server, stop):
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": BO}}
    (choice,) = server.chat("A person named Bo.", stop=[stop], response_format=wanted, max_tokens=30).json()["choices"]
    assert json.loads(choice["message"]["content"])["name"] == "Bo"
    assert choice["finish_reason"] == "stop"


def test_an_enum_of_thousands_is_kept(server):
    parts = [f"PART-{i:05d}" for i in range(19_000)]
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": parts}}}
    (choice,) = server.chat("part 7", response_format=wanted, max_tokens=20).json()["choices"]
    assert json.loads(choice["message"]["content"]) in parts


def test_the_root_says_what_this_is(server):
    told = server.http.get("/").json()
    assert told["name"] == "edgechat"
    assert server.http.get(told["health"]).status_code == 200
    assert server.http.get(told["openapi"]).status_code == 200
    page = server.http.get("/", headers={"Accept": "text/html,*/*"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "edgechat tui --web" in page.text
    assert server.http.head("/").status_code == 200
