"""Section ``chat``: prefill and decode of one answer, against llama-bench and llama-server.

Same file, threads, batch, ubatch, KV type and load mode, taken from edgechat's own plan. llama-bench is the ceiling:
it samples nothing and talks to nobody. llama-server gets the same messages and the same samplers, and is read as a
stream, like ours. Figures of our engine are its own step times, as ``--stats=json`` gives them.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scripts.benchmarks.llama_tools import LlamaServer, llama_bench, llama_server
from scripts.benchmarks.report import Comparison, Section
from scripts.benchmarks.rounds import Contender, Measured, Series, alternate

if TYPE_CHECKING:
    from edgechat.models.planning.plan import LoadSettings
    from scripts.benchmarks.parameters import Model, Parameters

ANSWER_TOKENS = 128
_WARM_UP = 5000
"""Added to a turn's number: the request before the one that is measured."""
_STORY = (
    "Write a very long story about a night train that crosses the mountains, and do not stop before it has arrived. "
    "The engine driver is called Marta and has driven this line for thirty years; the guard is new and afraid of "
    "tunnels. In the second carriage sits a clockmaker with a box on her knees that nobody may open. Between the "
    "sixth and the seventh station it begins to snow, the signals go dark one after another, and the telephone in the "
    "driver's cabin rings although its cable was cut years ago. Tell what the voice says, who believes it, and what "
    "happens in the long tunnel under the pass. Describe the carriages, the smell of the coal smoke, the faces in the "
    "windows, the sound of the wheels, the tea that the guard brings, the letters in the mail van and the old man "
    "who waits with a lamp at the last station. Use plain words and short sentences, and give every person a reason."
)
# edgechat's default samplers (edgechat/engine/protocol/request.py), in the words of llama-server.
_SAMPLERS = {"temperature": 0.7, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "repeat_penalty": 1.0, "seed": 1}
_CHAIN = {"samplers": ["top_k", "top_p", "min_p", "temperature"]}


@dataclass(frozen=True, slots=True)
class _Work:
    """What the peers are told to do, so that it is what our engine does."""

    settings: LoadSettings
    n_prompt: int
    """Prompt tokens computed for each request."""
    depth: int
    """Tokens in the context when decoding begins."""


def prompt(turn: int) -> str:
    """The same length every time, and different from its first word on, so that no cache can help anybody."""
    return f"{(turn * 7919 + 104729) % 900000 + 100000} is the number of this request. {_STORY}"


def run(parameters: Parameters) -> Section:
    """Every model of the parameters, one after the other."""
    comparisons: list[Comparison] = []
    for model in parameters.models:
        comparisons += _one(parameters, model)
    note = (
        f"Answers of {ANSWER_TOKENS} tokens behind a prompt of about 230. llama-bench prefills as many tokens and "
        "decodes at the same depth. `default` is llama.cpp as it builds itself, `noomp` the same with ggml's own "
        "threads, as in our engine."
    )
    return Section("chat", "Chat: prefill and decode", tuple(comparisons), notes=(note,))


def _one(parameters: Parameters, model: Model) -> list[Comparison]:
    settings = parameters.edgechat.settings(model.path)
    # The first answer loads the model. The second says how long the prompt is for this vocabulary, and how much of it
    # is computed each time: the template's opening words are the same for every request and stay in the engine.
    parameters.edgechat.ask(model.path, prompt(-2), max_tokens=2, temperature=0)
    stats = parameters.edgechat.ask(model.path, prompt(-1), max_tokens=2, temperature=0).stats
    depth = int(stats["prompt_tokens"])
    work = _Work(settings, depth - int(stats["cached_tokens"]), depth)
    contenders: dict[str, Contender] = {
        "edgechat greedy": lambda turn: _ours(parameters, model, turn, temperature=0),
        "edgechat sampled": lambda turn: _ours(parameters, model, turn + 1000, temperature=None),
    }
    with ExitStack() as servers:
        for flavour in parameters.flavours:
            contenders[f"llama-bench {flavour}"] = _bench(parameters, model, flavour, work)
            binary, log = parameters.binary("llama-server", flavour), parameters.log(f"llama-server-{flavour}")
            server = servers.enter_context(llama_server(binary, model.path, log, settings, threads=settings.n_threads))
            contenders[f"llama-server {flavour}"] = _server(server)
        results = alternate(contenders, parameters.rounds, label=model.name)
    parameters.edgechat.stop()
    return _compare(model, results, parameters.flavours)


def _ours(parameters: Parameters, model: Model, turn: int, *, temperature: float | None) -> Measured:
    # llama-bench runs everything once before it measures; so does everybody else here.
    parameters.edgechat.ask(model.path, prompt(turn + _WARM_UP), max_tokens=1, temperature=0)
    stats = parameters.edgechat.ask(model.path, prompt(turn), max_tokens=ANSWER_TOKENS, temperature=temperature).stats
    return {
        "prefill": stats["prefill_tps"],
        "decode": stats["decode_tps"],
        "prompt": stats["prompt_tokens"] - stats["cached_tokens"],
        "tokens": stats["completion_tokens"],
    }


def _bench(parameters: Parameters, model: Model, flavour: str, work: _Work) -> Contender:
    binary = parameters.binary("llama-bench", flavour)

    def run_once(_turn: int) -> Measured:
        prefill = llama_bench(binary, model.path, work.settings, prompt=work.n_prompt)
        return {
            "prefill": prefill,
            "decode": llama_bench(binary, model.path, work.settings, generate=ANSWER_TOKENS, depth=work.depth),
        }

    return run_once


def _server(server: LlamaServer) -> Contender:
    def ask(turn: int, max_tokens: int) -> dict[str, Any]:
        body = {
            "messages": [{"role": "user", "content": prompt(turn)}],
            "max_tokens": max_tokens,
            "cache_prompt": False,
            "ignore_eos": True,
            **_SAMPLERS,
            **_CHAIN,
        }
        timings: dict[str, Any] = server.post("/v1/chat/completions", body)["timings"]
        return timings

    def run_once(turn: int) -> Measured:
        ask(turn + 2000 + _WARM_UP, 1)
        timings = ask(turn + 2000, ANSWER_TOKENS)
        return {
            "prefill": timings["prompt_per_second"],
            "decode": timings["predicted_per_second"],
            "prompt": timings["prompt_n"],
            "tokens": timings["predicted_n"],
        }

    return run_once


def _compare(model: Model, results: dict[str, dict[str, Series]], flavours: tuple[str, ...]) -> list[Comparison]:
    # llama-bench never samples: on a model of 135M parameters that is a visible part of every step.
    bar = 0.98 if model.is_shape else 0.93
    lines = []
    for flavour in flavours:
        bench, server = results[f"llama-bench {flavour}"], results[f"llama-server {flavour}"]
        greedy, sampled = results["edgechat greedy"], results["edgechat sampled"]
        lines += [
            Comparison(
                model.name, "prefill", "tok/s", greedy["prefill"], f"llama-bench {flavour}", bench["prefill"], bar
            ),
            Comparison(
                model.name, "decode, greedy", "tok/s", greedy["decode"], f"llama-bench {flavour}", bench["decode"], bar
            ),
            Comparison(
                model.name, "decode, sampled", "tok/s", sampled["decode"], f"llama-bench {flavour}", bench["decode"]
            ),
            Comparison(
                model.name,
                "decode, sampled",
                "tok/s",
                sampled["decode"],
                f"llama-server {flavour}",
                server["decode"],
                1.0,
            ),
        ]
    return lines
