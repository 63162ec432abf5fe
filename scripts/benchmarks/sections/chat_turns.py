"""Section ``chat_turns``: time to first token at turn 20 of a chat against turn 2, and when it outgrows its context.

The client sends the whole conversation each time, as a chat window or an HTTP client does; whether only the new turn is
computed is the engine's business. llama-server keeps its own prompt cache and stands beside it for comparison.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

from edgechat.engine.protocol.request import Message
from scripts.benchmarks.llama_tools import llama_server
from scripts.benchmarks.reply import Question, ask, ask_server
from scripts.benchmarks.report import Comparison, Section, table
from scripts.benchmarks.rounds import Contender, Measured, alternate

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.benchmarks.parameters import Model, Parameters
    from scripts.benchmarks.reply import Reply

TURNS = 20
ANSWER_TOKENS = 24
BAR = 1.2
_SYSTEM = "You are a patient guide in a small museum of old machines. Answer in one short sentence."
_THINGS = (
    "pump", "lamp", "press", "clock", "crane", "forge", "lathe", "plough", "boiler", "bellows",
    "wheel", "gear", "valve", "piston", "anvil", "loom", "mill", "saw", "drill", "scale",
)  # fmt: skip
_NOTE = (
    f"A chat of {TURNS} turns with answers of up to {ANSWER_TOKENS} tokens; each turn brings one sentence of the same "
    "length. `turn 20 / turn 2` compares our own figures; llama-server holds the same chat in its one slot. `computed` "
    "is the part of the prompt that was not in the cache."
)
SMALL_CTX = 2048
TRIMS = 3
_MOST_TURNS = 60
_FILLER = "The visitors before us asked about the oil, the belts, the brass plates and the smell of coal in winter. "
_TRIM_NOTE = (
    f"A chat in a context of {SMALL_CTX} tokens that goes on until it was trimmed {TRIMS} times (edgechat alone: "
    "llama-server refuses it, or shifts its context). `since` is what was said since the trim before, in tokens; what "
    "stays has moved and is computed again, so the first token of that turn takes longer. `turn before` and `turn "
    "behind` are the first tokens of its neighbours."
)


def run(parameters: Parameters) -> Section:
    """Every model of the parameters, one after the other."""
    comparisons: list[Comparison] = []
    rows: list[tuple[str, ...]] = []
    trims: list[tuple[str, ...]] = []
    for model in parameters.models:
        _one(parameters, model, comparisons, rows)
        trims += _outgrown(parameters, model)
    head = ("model", "with", "turn", "prompt, tokens", "computed", "first token, s", "of it reading, s")
    data = [dict(zip(head, row, strict=True)) for row in rows]
    trim_head = (
        "model", "turn", "prompt before", "prompt after", "since", "computed", "first token, s", "turn before",
        "turn behind",
    )  # fmt: skip
    data += [dict(zip(trim_head, row, strict=True)) for row in trims]
    tables = f"{table(head, rows)}\n\n{table(trim_head, trims)}"
    return Section("chat_turns", "A long chat", tuple(comparisons), tables, (_NOTE, _TRIM_NOTE), data)


def sentence(conversation: int, turn: int) -> str:
    """What the visitor says: always as long, and another one each time."""
    return (
        f"Ticket {100 + conversation % 900}, please tell me about the old {_THINGS[turn % TURNS]} in the hall "
        "behind you, who built it, and whether it still runs today."
    )


def _one(parameters: Parameters, model: Model, comparisons: list[Comparison], rows: list[tuple[str, ...]]) -> None:
    settings = parameters.edgechat.settings(model.path)
    with ExitStack() as open_now:
        client = open_now.enter_context(closing(parameters.edgechat.client()))
        asking: dict[str, Callable[[Question], Reply]] = {"edgechat": partial(ask, client, model.path)}
        for flavour in parameters.flavours:
            binary, log = parameters.binary("llama-server", flavour), parameters.log(f"llama-server-{flavour}")
            server = open_now.enter_context(llama_server(binary, model.path, log, settings, threads=settings.n_threads))
            asking[f"llama-server {flavour}"] = partial(ask_server, server)
        for one in asking.values():
            one(Question((Message("user", "Hello."),), 1))  # loads the model
        contenders: dict[str, Contender] = {name: partial(_chat, one) for name, one in asking.items()}
        results = alternate(contenders, parameters.rounds, label=f"{model.name}, chat")
    parameters.edgechat.stop()
    ours = results["edgechat"]
    comparisons.append(
        Comparison(model.name, "first token, turn 20 / turn 2", "s", ours["turn 20"], "edgechat, turn 2",
                   ours["turn 2"], BAR, smaller_is_better=True)
    )  # fmt: skip
    for name, figures in results.items():
        rows += [
            (
                model.name,
                name,
                str(turn),
                f"{figures[f'prompt {turn}'].median:g}",
                f"{figures[f'computed {turn}'].median:g}",
                f"{figures[f'turn {turn}'].median:.3f}",
                f"{figures[f'reading {turn}'].median:.3f}",
            )
            for turn in (2, 11, TURNS)
        ]
        if name != "edgechat":
            comparisons.append(
                Comparison(model.name, "first token, turn 20", "s", ours["turn 20"], name, figures["turn 20"],
                           smaller_is_better=True)
            )  # fmt: skip


def _chat(one: Callable[[Question], Reply], conversation: int) -> Measured:
    figures: dict[str, float] = {}
    messages = [Message("system", _SYSTEM)]
    for turn in range(1, TURNS + 1):
        messages.append(Message("user", sentence(conversation, turn)))
        reply = one(Question(tuple(messages), ANSWER_TOKENS))
        messages.append(Message("assistant", reply.text))
        if turn in {2, 11, TURNS}:
            figures[f"turn {turn}"] = reply.ttft_s
            figures[f"prompt {turn}"] = reply.prompt_tokens
            figures[f"computed {turn}"] = reply.prompt_tokens - reply.cached_tokens
            figures[f"reading {turn}"] = reply.prefill_s
    return figures


def _outgrown(parameters: Parameters, model: Model) -> list[tuple[str, ...]]:
    """One row for each time that a chat is trimmed."""
    messages = [Message("system", _SYSTEM)]
    replies: list[Reply] = []
    trims: list[int] = []
    with closing(parameters.edgechat.client()) as client:
        one = partial(ask, client, model.path, n_ctx=SMALL_CTX)
        one(Question((Message("user", "Hello."),), 1))  # loads the model
        # One turn behind the last trim, to show that it is a single one that takes longer.
        while len(replies) < _MOST_TURNS and (len(trims) < TRIMS or len(replies) == trims[-1] + 1):
            messages.append(Message("user", _FILLER * 4 + sentence(7, len(replies))))
            reply = one(Question(tuple(messages), ANSWER_TOKENS, overflow="trim"))
            if reply.unread > (replies[-1].unread if replies else 0):
                trims.append(len(replies))
            replies.append(reply)
            messages.append(Message("assistant", reply.text))
    parameters.edgechat.stop()
    rows: list[tuple[str, ...]] = []
    filled = 0
    for turn in trims:
        earlier, before, reply, behind = replies[turn - 2 : turn + 2]
        # What the conversation would have had with this question, which is as long as the one before it, against what
        # was left of it at the trim before.
        grown = before.prompt_tokens + before.tokens + (before.prompt_tokens - earlier.prompt_tokens - earlier.tokens)
        rows.append(
            (
                model.name,
                str(turn + 1),
                str(before.prompt_tokens),
                str(reply.prompt_tokens),
                str(grown - filled),
                str(reply.prompt_tokens - reply.cached_tokens),
                f"{reply.ttft_s:.3f}",
                f"{before.ttft_s:.3f}",
                f"{behind.ttft_s:.3f}",
            )
        )
        print(f"{model.name}, trim  {rows[-1][1:]}", file=sys.stderr, flush=True)
        filled = reply.prompt_tokens
    return rows
