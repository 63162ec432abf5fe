"""No later turn is spoiled by an earlier reply of ours: each reply is sent back as clients do it, and accepted.

Clients lose fields of a message, repeat them, add their own, and merge the deltas of a stream in their own way. The
requests are parsed, sent over the engine's protocol and rendered by chat templates; the answers are scripted.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from edgechat.engine.client.tool_call_parser import ToolCallParser
from edgechat.engine.protocol.events import Done, Event, Logprobs, Text
from edgechat.engine.protocol.request import Request, Wish
from edgechat.engine.text.prompt import build
from edgechat.serve.openai.reply import Choice, Reply
from edgechat.serve.openai.request import ChatRequest
from edgechat.serve.openai.unknown_fields import unknown_fields
from tests.engine.scripted_engine import DONE, STARTED
from tests.engine.text.test_prompt import FakeVocabulary, template
from tests.examples import examples
from tests.serve.openai.test_tools import ASK, LIGHT, WEATHER, knowing
from tests.serve.server import Server
from tests.tool_template import HERMES

__all__ = ["knowing"]

PLACE = Path(__file__).parents[2] / "engine/text/templates"
TEMPLATES = {
    "hermes": HERMES,
    "tojson": (PLACE / "tojson.jinja").read_text(encoding="utf-8"),
    "id9": (PLACE / "id9.jinja").read_text(encoding="utf-8"),
}
TOOLS = [WEATHER, LIGHT]
OFFERED = frozenset(each["function"]["name"] for each in TOOLS)

TEXTS = st.lists(st.sampled_from([*'ab"{}[]<>`\\\n :,é', "<|im_end|>", "\u2028", "\0"]), max_size=12).map("".join)
ARGUMENTS = st.dictionaries(
    st.sampled_from(["city", "days", 'a"b']),
    st.one_of(TEXTS, st.integers(), st.none(), st.lists(TEXTS, max_size=2)),
    max_size=3,
)
FRAMES = st.sampled_from(["{}", "<tool_call>\n{}\n</tool_call>", "```json\n{}\n```", "```\n{}```"])


@st.composite
def spoken(draw: st.DrawFn) -> tuple[str, dict[str, Any] | None]:
    """What the model says: a text that does not begin like a call, or a call and its arguments."""
    if draw(st.booleans()):
        text = draw(TEXTS)
        return (f"x{text}" if text.lstrip()[:1] in {"{", "<", "`"} else text), None
    arguments = draw(ARGUMENTS)
    value = {"name": draw(st.sampled_from(sorted(OFFERED))), "arguments": arguments}
    written = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 2])))
    return draw(FRAMES).replace("{}", written), arguments


class Client:
    """One conversation as a careless client keeps it."""

    def __init__(self, draw: Callable[..., Any], source: str) -> None:
        self.draw, self.source = draw, source
        self.history: list[dict[str, Any]] = [{"role": "user", "content": draw(TEXTS) or "Hi"}]
        self.calls: list[dict[str, Any]] = []

    def ask(self) -> None:
        """Send the history; the answer becomes part of it."""
        body: dict[str, Any] = {
            "messages": self.history,
            "tools": TOOLS,
            **self.draw(st.fixed_dictionaries({}, optional=REPEATED)),
        }
        request = self.accepted(body)
        said, arguments = self.draw(spoken())
        is_cut = self.draw(st.booleans())
        if is_cut:
            said = said[: self.draw(st.integers(0, len(said)))]
        message = self.received(said, is_cut=is_cut, wants_logprobs=request.logprobs is not None)
        if arguments is not None and not is_cut:
            (call,) = message["tool_calls"]
            assert json.loads(call["function"]["arguments"]) == arguments
        self.history.append(self.kept(message))
        calls = self.history[-1].get("tool_calls") or []
        for call in calls:
            result = {"role": "tool", "content": self.draw(TEXTS), "tool_call_id": call.get("id"), "name": "x"}
            self.history.append(self.without_some(result, ["tool_call_id", "name"]))
        if not calls:
            self.history.append({"role": "user", "content": self.draw(TEXTS)})

    def accepted(self, body: dict[str, Any]) -> Request:
        """The request as the engine gets it; its prompt can be made."""
        parsed = ChatRequest.model_validate(json.loads(json.dumps(body)))
        unknown_fields(parsed)
        made = parsed.to_request(Wish(), 60)
        request = Request.from_dict(json.loads(json.dumps(made.to_dict())))
        prompt = build(
            request.messages,
            template(self.source),
            FakeVocabulary(),
            takes_system=True,
            think=False,
            tools=request.tools,
        )
        assert prompt.tokens
        return request

    def received(self, said: str, *, is_cut: bool, wants_logprobs: bool) -> dict[str, Any]:
        """The message that a client has when the answer has ended, streamed or not."""
        reply = Reply(
            "chat", [Choice("chat", tool_parser=ToolCallParser(OFFERED), logprobs=[] if wants_logprobs else None)]
        )
        (choice,) = reply.choices
        done = Done(
            **{
                **{name: getattr(DONE, name) for name in Done.__slots__},
                "finish_reason": "length" if is_cut else "stop",
            }
        )
        step = self.draw(st.integers(1, 30))
        pieces = [Text("Hm.", (1,), is_thought=True)] if self.draw(st.booleans()) else []
        pieces += [Text(said[at : at + step], (1,)) for at in range(0, len(said), step)]
        chunks = reply.first_chunks()
        entry = {"token": "x", "logprob": -1.0, "bytes": [120], "top_logprobs": []}
        events: list[Event] = [STARTED, Logprobs((entry,)), *pieces, done]
        for event in events:
            choice.feed(event)
            if isinstance(event, Text) and (chunk := reply.chunk(choice, event)) is not None:
                chunks.append(chunk)
        if self.draw(st.booleans()):
            choice_sent: dict[str, Any] = json.loads(json.dumps(reply.complete()))["choices"][0]
        else:
            choice_sent = merged(json.loads(json.dumps([*chunks, *reply.last_chunks()])))
        message = dict(choice_sent["message"])
        if self.draw(st.booleans()):  # some keep the choice, not the message in it
            message = {**{name: each for name, each in choice_sent.items() if name != "message"}, **message}
        return message

    def kept(self, message: dict[str, Any]) -> dict[str, Any]:
        """The message with fields lost, emptied and added."""
        message = self.without_some(
            message, ["refusal", "reasoning_content", *([] if message.get("content") else ["content"])]
        )
        message |= self.draw(st.fixed_dictionaries({}, optional=ADDED))
        if message.get("content") is None and self.draw(st.booleans()):
            message["content"] = ""
        if calls := message.get("tool_calls"):
            message["tool_calls"] = [self.kept_call(call) for call in calls]
        elif self.draw(st.booleans()):
            message["tool_calls"] = self.draw(st.sampled_from([None, []]))
        return message

    def kept_call(self, call: dict[str, Any]) -> dict[str, Any]:
        call = self.without_some(call, ["type", "id", "index"])
        call |= self.draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "index": st.just(0),
                    "type": st.sampled_from([None, "function"]),
                    "extra_content": st.just({}),
                },
            )
        )
        function = dict(call["function"])
        if self.draw(st.booleans()):
            if function["arguments"] in {"{}", ""}:
                function["arguments"] = self.draw(st.sampled_from(["", "{}", None]))
            else:  # parsed and written anew, or kept as an object
                try:
                    value = json.loads(function["arguments"])
                except ValueError:
                    value = None
                function["arguments"] = (
                    self.draw(st.sampled_from([value, json.dumps(value)])) if value else function["arguments"]
                )
        return {**call, "function": function}

    def without_some(self, message: dict[str, Any], names: list[str]) -> dict[str, Any]:
        lost = self.draw(st.sets(st.sampled_from(names)))
        return {name: each for name, each in message.items() if name not in lost}


REPEATED: dict[str, st.SearchStrategy[Any]] = {
    "max_tokens": st.sampled_from([-1, None, 8]),
    "seed": st.sampled_from([-1, None, 7]),
    "n": st.sampled_from([None, 1]),
    "logprobs": st.booleans(),
    "stop": st.sampled_from([None, [], "", "x"]),
    "tool_choice": st.sampled_from([None, "auto"]),
    "cache_prompt": st.just(True),
    "response_format": st.sampled_from([None, {"type": "text"}]),
    "stream_options": st.sampled_from([None, {"include_usage": True}]),
    "id": st.just("chatcmpl-1"),
    "created": st.just(1),
    "object": st.just("chat.completion"),
    "usage": st.just({"prompt_tokens": 1}),
    "presence_penalty": st.sampled_from([0, 0.5, None]),
}
ADDED: dict[str, st.SearchStrategy[Any]] = {
    "id": st.integers(),
    "annotations": st.sampled_from([None, []]),
    "audio": st.none(),
    "function_call": st.none(),
    "refusal": st.none(),
    "name": st.sampled_from([None, "assistant"]),
    "usage": st.just({"completion_tokens": 1}),
    "finish_reason": st.sampled_from(["stop", None]),
    "timings": st.just({"predicted_ms": 1.5}),
    "opts": st.just({"visible": False}),
}


def merged(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """One choice of the chunks of a stream, merged by the types of the values alone, as clients do."""

    def add(old: Any, new: Any) -> Any:
        if old is None or new is None:
            return new if old is None else old
        if isinstance(old, str) and isinstance(new, str):
            return old + new
        if isinstance(old, dict) and isinstance(new, dict):
            return {name: add(old.get(name), new.get(name)) for name in {**old, **new}}
        if isinstance(old, list) and isinstance(new, list):
            for each in new:
                at = each["index"] if "index" in each else len(old)
                old[at : at + 1] = [{**add(old[at], each), "index": at}] if at < len(old) else [each]
            return old
        return new

    message: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            message = add(message, {name: each for name, each in choice["delta"].items() if name != "role"})
            rest = {name: each for name, each in choice.items() if name != "delta"}
    return {**rest, "message": {"role": "assistant", **message}}


@pytest.mark.parametrize("name", TEMPLATES)
@seed(14)
@examples(40, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_reply_comes_back_as_history(name: str, data: st.DataObject) -> None:
    client = Client(data.draw, TEMPLATES[name])
    for _ in range(3):
        client.ask()
    client.accepted({"messages": client.history, "tools": TOOLS})
    if "tool_calls" not in str(client.history):
        client.accepted({"messages": client.history})


@pytest.mark.engine
@pytest.mark.parametrize("choice", ["auto", "required"])
@pytest.mark.parametrize("limit", [3, 14, 60])
def test_real_replies_come_back_over_http(knowing: Server, choice: str, limit: int) -> None:
    history: list[dict[str, Any]] = list(ASK)
    for turn in range(3):
        body = {
            "messages": history,
            "tools": TOOLS,
            "tool_choice": choice,
            "max_tokens": limit,
            "seed": turn,
            "logprobs": True,
        }
        response = knowing.post("/v1/chat/completions", body)
        assert response.status_code == 200, response.text
        (sent,) = response.json()["choices"]
        history.append({**sent, **sent["message"], "message": sent["message"]})
        calls = sent["message"].get("tool_calls") or []
        history += [{"role": "tool", "tool_call_id": each["id"], "content": '{"ok": "yes"}\n'} for each in calls]
        if not calls:
            history.append({"role": "user", "content": "And tomorrow?"})


class HttpClient(Client):
    """The same careless client, of a server whose model answers for itself."""

    def __init__(self, draw: Callable[..., Any], server: Server) -> None:
        super().__init__(draw, "")
        self.server = server
        self.history = [{"role": "user", "content": self.draw(st.sampled_from(QUESTIONS))}]

    def ask(self) -> None:
        """Send the history; the answer becomes part of it."""
        body: dict[str, Any] = {
            "tools": TOOLS,
            **self.draw(st.fixed_dictionaries({}, optional=REPEATED)),
            "messages": self.history,
            "max_tokens": self.draw(st.sampled_from([2, 24])),
            "tool_choice": self.draw(st.sampled_from(["auto", "required"])),
        }
        if body["tool_choice"] == "required":
            body |= {"n": 1}
        if body.get("stop") == "x":
            del body["stop"]  # an answer that begins with it is empty
        is_streamed = self.draw(st.booleans())
        response = self.server.post("/v1/chat/completions", {**body, "stream": is_streamed})
        assert response.status_code == 200, (response.text, body)
        if is_streamed:
            lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]
            choice = merged([json.loads(line) for line in lines[:-1]])
        else:
            (choice,) = response.json()["choices"]
        self.history.append(self.kept(dict(choice["message"])))
        calls = self.history[-1].get("tool_calls") or []
        for call in calls:
            result = {"role": "tool", "content": self.draw(TEXTS), "tool_call_id": call.get("id"), "name": "x"}
            self.history.append(self.without_some(result, ["tool_call_id", "name"]))
        if not calls:
            self.history.append({"role": "user", "content": self.draw(st.sampled_from(QUESTIONS))})


QUESTIONS = ["What is the weather in Paris?", "Switch the light on.", "Why?", 'Say "{name}" in ``` marks.']


@pytest.mark.real
@pytest.mark.engine
@pytest.mark.timeout(600)
def test_replies_of_a_real_model_come_back_over_http(real_model: Path, tmp_path: Path) -> None:
    with Server(tmp_path, "-m", str(real_model)) as server:
        server.wait_ready()

        @seed(14)
        @settings(max_examples=20, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @given(data=st.data())
        def conversation(data: st.DataObject) -> None:
            client = HttpClient(data.draw, server)
            for _ in range(3):
                client.ask()

        conversation()
