"""Section ``earlier_talk``: a chat in an engine that has held other conversations, against one in a new engine.

Every filled cell of the KV cache is looked at by every token, so what an engine keeps for others could slow down
everybody. Both sides are our own; each round starts its engine anew.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from edgechat.engine.protocol.request import Message
from scripts.benchmarks.reply import Question, ask
from scripts.benchmarks.report import Comparison, Section
from scripts.benchmarks.rounds import Measured, alternate

if TYPE_CHECKING:
    from scripts.benchmarks.parameters import Model, Parameters

N_CTX = 8192
TALKS = 6
ANSWER_TOKENS = 64
BAR = 0.95
_STORY = "The visitors before us asked about the oil, the belts, the brass plates and the smell of coal in winter. "
_NOTE = (
    f"A chat of two turns, its answer {ANSWER_TOKENS} tokens long, in a context of {N_CTX} tokens: in an engine that "
    f"has just started, and in one where {TALKS} conversations of about 1,100 tokens came before. A chat of the same "
    "length comes directly before each measured one."
)


def run(parameters: Parameters) -> Section:
    """Every model of the parameters, one after the other."""
    comparisons = tuple(line for model in parameters.models for line in _one(parameters, model))
    return Section("earlier_talk", "A chat behind other conversations", comparisons, notes=(_NOTE,))


def chat(name: str, *, story: int) -> Question:
    """A second turn behind a first one with so many sentences; no two names begin alike."""
    messages = (
        Message("system", f"{name} guides visitors through a museum."),
        Message("user", f"{name}: {_STORY * story}"),
        Message("assistant", "I see."),
        Message("user", "Tell me about the old pump in the hall behind you, and whether it still runs today."),
    )
    return Question(messages, ANSWER_TOKENS)


def _one(parameters: Parameters, model: Model) -> list[Comparison]:
    contenders = {"talked to": partial(_run, parameters, model, TALKS), "new": partial(_run, parameters, model, 0)}
    results = alternate(contenders, parameters.rounds, label=f"{model.name}, earlier talk")
    parameters.edgechat.stop()
    ours, new = results["talked to"], results["new"]
    return [
        Comparison(model.name, measure, "tok/s", ours[name], "edgechat, new", new[name], BAR)
        for measure, name in (("prefill behind other talk", "prefill"), ("decode behind other talk", "decode"))
    ]


def _run(parameters: Parameters, model: Model, talks: int, turn: int) -> Measured:
    parameters.edgechat.stop()
    with closing(parameters.edgechat.client()) as client:
        one = partial(ask, client, model.path, n_ctx=N_CTX)
        for talk in range(talks):
            one(chat(f"{turn}.{talk} earlier", story=45))
        one(chat(f"{turn} before", story=4))
        reply = one(chat(f"{turn} now", story=4))
    return {
        "prefill": (reply.prompt_tokens - reply.cached_tokens) / reply.prefill_s,
        "decode": (reply.tokens - 1) / reply.decode_s,
    }
