"""Section ``stall``: a long prompt arrives while a chat runs; and one of four answers is cancelled.

How long the chat's reader waits between two pieces of text, with and without somebody else's 4,000-token prompt being
read. The engine hands text over at most every 0.08 s, llama-server each token by itself, so each side is compared with
its own quiet figures.
"""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack, closing
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from edgechat.engine.protocol.request import Message
from scripts.benchmarks import concurrent_clients
from scripts.benchmarks.llama_tools import llama_server
from scripts.benchmarks.reply import Question, Reply, ask, ask_server
from scripts.benchmarks.report import Comparison, Section, table
from scripts.benchmarks.rounds import Contender, Measured, alternate, percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scripts.benchmarks.llama_tools import LlamaServer
    from scripts.benchmarks.parameters import Model, Parameters

N_CTX = 8192
PROMPT_WORDS = 3400
"""About 4,000 tokens of the kind below."""
CHAT_TOKENS = 400
BAR = 2.5
_CHAT = "Write a very long story about a night train that crosses the mountains. Do not stop before it has arrived."
_NOTE = (
    f"95th percentile of the time between two pieces of text of a chat of {CHAT_TOKENS} tokens, at the client: in "
    "quiet, and from the moment a prompt of about 4,000 tokens is posted until its first token. `longest` is the "
    "longest of them. The bar is about each side's own quiet figure. Below: four greedy answers at once, the same "
    "again, and once more with the second cancelled after its fifth piece of text."
)
_TOPICS = ("a pump", "a bridge", "a market", "a lighthouse")


def run(parameters: Parameters) -> Section:
    """Every model of the parameters, one after the other."""
    comparisons: list[Comparison] = []
    rows: list[tuple[str, ...]] = []
    for model in parameters.models:
        comparisons += _one(parameters, model)
        # Random weights are too near a tie: rounding alone decides, and another batch rounds otherwise.
        if not model.is_shape:
            rows += _cancelled(parameters, model)
        parameters.edgechat.stop()
    head = ("model", "answer", "characters", "the same when repeated", "the same with a neighbour cancelled")
    data = [dict(zip(head, row, strict=True)) for row in rows]
    return Section("stall", "A long prompt beside a chat", tuple(comparisons), table(head, rows), (_NOTE,), data)


def long_prompt(turn: int) -> str:
    """About 4,000 tokens that share no beginning with another turn's."""
    words = (f"{(turn * 7919 + n * 104729) % 1000}" if n % 4 == 0 else "valve" for n in range(PROMPT_WORDS // 2))
    return f"Number {turn}. Add up what follows. " + " ".join(words)


def gaps(arrivals: Sequence[float], since: float, until: float) -> list[float]:
    """Times between pieces of text of which some part lies between two moments."""
    return [b - a for a, b in pairwise(arrivals) if b > since and a < until]


def _one(parameters: Parameters, model: Model) -> list[Comparison]:
    settings = parameters.edgechat.settings(model.path, N_CTX)
    with ExitStack() as open_now:
        clients = [open_now.enter_context(closing(parameters.edgechat.client())) for _ in range(2)]
        pairs: dict[str, tuple[Callable[..., Reply], Callable[..., Reply]]] = {
            "edgechat": tuple(partial(ask, client, model.path, n_ctx=N_CTX) for client in clients)  # type: ignore[dict-item]
        }
        for flavour in parameters.flavours:
            binary, log = parameters.binary("llama-server", flavour), parameters.log(f"llama-server-{flavour}")
            server: LlamaServer = open_now.enter_context(
                llama_server(
                    binary, model.path, log, settings, threads=settings.n_threads, slots=2,
                    extra=("-c", str(2 * N_CTX)),
                )
            )  # fmt: skip
            both = partial(ask_server, server, ignore_eos=True)
            pairs[f"llama-server {flavour}"] = (both, both)
        for talk, _ in pairs.values():
            talk(Question((Message("user", "Hello."),), 1))  # loads the model
        contenders: dict[str, Contender] = {name: partial(_disturbed, *pair) for name, pair in pairs.items()}
        results = alternate(contenders, parameters.rounds, label=f"{model.name}, stall")
    lines = []
    for name, figures in results.items():
        quiet = f"{name}, quiet"
        bar = BAR if name == "edgechat" else None
        lines += [
            Comparison(model.name, f"{name}, between pieces, p95", "s", figures["busy p95"], quiet,
                       figures["quiet p95"], bar, smaller_is_better=True),
            Comparison(model.name, f"{name}, longest", "s", figures["busy longest"], quiet, figures["quiet longest"],
                       smaller_is_better=True),
        ]  # fmt: skip
        if name != "edgechat":
            lines.append(
                Comparison(model.name, "first token of the long prompt", "s", results["edgechat"]["prompt ttft"],
                           name, figures["prompt ttft"], smaller_is_better=True)
            )  # fmt: skip
    return lines


def _disturbed(talk: Callable[..., Reply], other: Callable[..., Reply], turn: int) -> Measured:
    """One chat; after a quarter of it the long prompt is posted from another thread."""
    chat = Question((Message("user", f"{_CHAT} Story {turn}."),), CHAT_TOKENS)
    intruder = Question((Message("user", long_prompt(turn)),), 1)
    quiet = talk(chat)
    pieces = [0]
    spans: list[tuple[float, float]] = []

    def intrude(posted: float) -> None:
        reply = other(intruder)
        spans.append((posted, reply.ttft_s))

    threads: list[threading.Thread] = []

    def on_text(at: float) -> bool:
        pieces[0] += 1
        if pieces[0] == max(len(quiet.arrivals) // 4, 2):
            threads.append(threading.Thread(target=intrude, args=(at,)))
            threads[0].start()
        return True

    chat = Question((Message("user", f"{_CHAT} Story {turn} again."),), CHAT_TOKENS)
    started = [0.0]

    def first(at: float) -> bool:
        started[0] = started[0] or at
        return on_text(at)

    busy = talk(chat, on_text=first)
    for thread in threads:
        thread.join()
    (posted, ttft_s) = spans[0]
    since = busy.arrivals[0] + posted - started[0]
    beside = gaps(busy.arrivals, since, since + ttft_s)
    calm = gaps(quiet.arrivals, 0.0, quiet.wall_s)
    return {
        "quiet p95": percentile(calm, 0.95),
        "quiet longest": max(calm),
        "busy p95": percentile(beside, 0.95),
        "busy longest": max(beside),
        "pieces beside": len(beside),
        "prompt ttft": ttft_s,
        "chat": busy.tokens,
    }


def _cancelled(parameters: Parameters, model: Model) -> list[tuple[str, ...]]:
    """Four answers together, then the same with the second one cancelled: the other three must not change."""
    asked = [Question((Message("user", f"Tell me about {topic} in ten sentences."),), 120) for topic in _TOPICS]
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(parameters.edgechat.client())) for _ in asked]
        askers = [partial(ask, client, model.path, n_ctx=N_CTX) for client in clients]
        _together(asked, askers)  # from here on each prompt is in the cache to the same extent
        whole, again = _together(asked, askers), _together(asked, askers)
        pieces = [0]

        def stop_early(_at: float) -> bool:
            pieces[0] += 1
            return pieces[0] < 5

        askers[1] = partial(askers[1], on_text=stop_early)
        cut = _together(asked, askers)
    rows: list[tuple[str, ...]] = []
    for number, (before, control, after) in enumerate(zip(whole, again, cut, strict=True)):
        said = "cancelled" if number == 1 else _same(before, after)
        length = f"{len(after.text)} of {len(before.text)}"
        rows.append((model.name, f"{number + 1} of 4", length, _same(before, control), said))
        print(f"{model.name}, cancel  {rows[-1][1:]}", file=sys.stderr, flush=True)
    return rows


def _same(before: Reply, after: Reply) -> str:
    return "yes" if before.text == after.text else "**no**"


def _together(asked: Sequence[Question], askers: Sequence[Callable[[Question], Reply]]) -> list[Reply]:
    """Each question by an asker of its own, all at once."""
    replies: dict[int, Reply] = {}

    def work(number: int) -> None:
        replies[number] = askers[number](asked[number])

    concurrent_clients.at_once([partial(work, number) for number in range(len(asked))])
    return [replies[number] for number in range(len(asked))]
