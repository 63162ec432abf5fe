"""One streamed answer, read by the same clock from edgechat's engine or from llama-server. Knows no section."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgechat.engine.protocol.events import Done, Loading, Started, Text, Trimmed
from edgechat.engine.protocol.request import Message, Request, Wish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edgechat.engine.client.client import EngineClient
    from edgechat.tasks.contract import Schema
    from scripts.benchmarks.llama_tools import LlamaServer

GREEDY = {"temperature": 0, "samplers": ["top_k"], "top_k": 1}
"""Greedy decoding in llama-server's words, by its shortest way."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, and when: seconds since the request was posted."""

    text: str
    tokens: int
    prompt_tokens: int
    """Of the whole prompt, with those that were cached."""
    cached_tokens: int
    forced_tokens: int
    ttft_s: float
    """First text at the client."""
    wall_s: float
    prefill_s: float
    """Reading what was not cached, by the answerer's own clock."""
    decode_s: float
    """Everything after the first token, by the same clock."""
    loaded_s: float
    """When the weights were there; 0 where the model was resident before."""
    arrivals: tuple[float, ...]
    """When each piece of text came; the engine sends the first at once and gathers the others for 0.08 s."""
    unread: int = 0
    """Earlier messages that were left out, because they no longer fit."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request that both sides can be asked."""

    messages: Sequence[Message]
    max_tokens: int
    schema: Schema | None = None
    overflow: str = "refuse"
    """What edgechat does with messages that no longer fit."""


def ask(
    client: EngineClient,
    model: Path,
    question: Question,
    *,
    n_ctx: int | None = None,
    is_batch: bool = False,
    on_text: Callable[[float], bool] = lambda _at: True,
) -> Reply:
    """A greedy answer from edgechat's engine.

    Args:
        client: whose connection.
        model: a GGUF file.
        question: what to answer.
        n_ctx: context to load with, where the plan's own is not wanted.
        is_batch: whether it is work that nobody watches, as the records of a file are.
        on_text: called at each piece with the time on the monotonic clock; False cancels the answer.
    """
    request = Request(
        messages=tuple(question.messages),
        wish=Wish(str(model), n_ctx),
        sampling={"temperature": 0},
        max_tokens=question.max_tokens,
        constraint=None if question.schema is None else {"json_schema": question.schema},
        overflow=question.overflow,
        is_batch=is_batch,
    )
    began = time.monotonic()
    pieces: list[str] = []
    arrivals: list[float] = []
    loaded_s = 0.0
    n_prompt = n_cached = n_forced = n_tokens = n_unread = 0
    timing: dict[str, float] = {}
    events = client.generate(request)
    for event in events:
        now = time.monotonic()
        if isinstance(event, Text):
            pieces.append(event.text)
            arrivals.append(now - began)
            n_tokens += len(event.tokens)
            if not on_text(now):
                events.close()  # type: ignore[attr-defined]  # a generator; closing it cancels the answer
                break
        elif isinstance(event, Loading):
            loaded_s = now - began
        elif isinstance(event, Trimmed):
            n_unread = event.messages
        elif isinstance(event, Started):
            n_prompt, n_cached = event.prompt_tokens, event.cached_tokens
        elif isinstance(event, Done):
            n_tokens, n_forced = event.usage["completion_tokens"], event.usage["forced_tokens"]
            timing = event.timing
    wall_s = time.monotonic() - began
    return Reply(
        text="".join(pieces),
        tokens=n_tokens,
        prompt_tokens=n_prompt,
        cached_tokens=n_cached,
        forced_tokens=n_forced,
        ttft_s=arrivals[0] if arrivals else wall_s,
        wall_s=wall_s,
        prefill_s=timing.get("prefill_s", 0.0),
        decode_s=timing.get("decode_s", 0.0),
        loaded_s=loaded_s,
        arrivals=tuple(arrivals),
        unread=n_unread,
    )


def ask_server(
    server: LlamaServer, question: Question, *, on_text: Callable[[float], bool] = lambda _at: True, **more: object
) -> Reply:
    """The same from llama-server.

    Args:
        server: a running one.
        question: what to answer.
        on_text: as for :func:`ask`.
        more: further fields of the request.
    """
    body: dict[str, Any] = {
        "messages": [{"role": each.role, "content": each.content} for each in question.messages],
        "max_tokens": question.max_tokens,
        "cache_prompt": True,
        **GREEDY,
        **more,
    }
    if question.schema is not None:
        wanted = {"name": "answer", "strict": True, "schema": question.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": wanted}
    began = time.monotonic()
    pieces: list[str] = []
    arrivals: list[float] = []
    timings: dict[str, Any] = {}
    events = server.stream("/v1/chat/completions", body)
    for event in events:
        now = time.monotonic()
        choices = event.get("choices")
        if choices and (piece := choices[0]["delta"].get("content")):
            pieces.append(piece)
            arrivals.append(now - began)
            if not on_text(now):
                events.close()  # type: ignore[attr-defined]
                break
        timings = event.get("timings", timings)
    wall_s = time.monotonic() - began
    n_cached = int(timings.get("cache_n", 0))
    return Reply(
        text="".join(pieces),
        tokens=int(timings.get("predicted_n", len(arrivals))),
        prompt_tokens=int(timings.get("prompt_n", 0)) + n_cached,
        cached_tokens=n_cached,
        forced_tokens=0,
        ttft_s=arrivals[0] if arrivals else wall_s,
        wall_s=wall_s,
        prefill_s=timings.get("prompt_ms", 0.0) / 1e3,
        decode_s=timings.get("predicted_ms", 0.0) / 1e3,
        loaded_s=0.0,
        arrivals=tuple(arrivals),
    )
