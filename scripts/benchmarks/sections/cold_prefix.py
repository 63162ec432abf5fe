"""Section ``cold_prefix``: the first token after a restart, where the instructions' KV cells wait on disk.

Each round stops the engine and starts it again with a question behind instructions it has read before; llama-server is
started anew and reads all of it. Both clocks start when the program is ready: weights, context and KV cache are there.
What getting ready takes is reported by itself, and so is everything together.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from scripts.benchmarks.llama_tools import llama_server
from scripts.benchmarks.reply import ask, ask_server
from scripts.benchmarks.report import Comparison, Section
from scripts.benchmarks.rounds import Contender, Measured, alternate
from scripts.benchmarks.task_questions import for_model, translation

if TYPE_CHECKING:
    from edgechat.models.planning.plan import LoadSettings
    from scripts.benchmarks.parameters import Model, Parameters
    from scripts.benchmarks.reply import Question

BAR = 0.1
_NOTE = (
    "A JSON answer behind instructions of 400 tokens and a note of one sentence, greedy. Ready is an engine whose "
    "context exists, and a llama-server whose /health says ok; that one has also warmed up by then, ours has not. From "
    "there to the first text at the client: restoring the cells, the schema, the note, and one token that was chosen "
    "rather than forced. `prompt read`: tokens of the prompt that were computed. `in all` contains starting the "
    "process and loading, on both sides."
)
_GLOSSARY = (
    " Use these words, and no others for the same thing: seal, joint; valve, vanne; pump, pompe; bearing, palier; "
    "conveyor, convoyeur; outlet, sortie; inlet, entrée; shift, équipe; fitter, monteur; gauge, manomètre; hose, "
    "flexible; bolt, boulon; wrench, clé; leak, fuite; noise, bruit; belt, courroie; gear, engrenage; shaft, arbre; "
    "tank, réservoir; drill, perceuse; hammer, marteau; nut, écrou; screw, vis."
)
"""Brings the instructions to 400 tokens, with SmolLM2's vocabulary as with Qwen's."""


def run(parameters: Parameters) -> Section:
    """Every model of the parameters, one after the other."""
    comparisons = tuple(line for model in parameters.models for line in _one(parameters, model))
    return Section("cold_prefix", "First token after a restart, instructions on disk", comparisons, notes=(_NOTE,))


def _one(parameters: Parameters, model: Model) -> list[Comparison]:
    settings = parameters.edgechat.settings(model.path)
    # Somebody asked before the restart: the cells are on disk from then on, and so is the vocabulary.
    _ours(parameters, model, -1)
    contenders: dict[str, Contender] = {"edgechat": lambda turn: _ours(parameters, model, turn)}
    for flavour in parameters.flavours:
        contenders[f"llama-server {flavour}"] = _server(parameters, model, flavour, settings)
    results = alternate(contenders, parameters.rounds, label=f"{model.name}, cold")
    parameters.edgechat.stop()
    ours = results.pop("edgechat")
    lines = []
    for peer, theirs in results.items():
        for measure, name, bar in (
            ("first text, once ready", "ttft", BAR),
            ("getting ready", "load", None),
            ("first text, in all", "all", None),
        ):
            lines.append(
                Comparison(model.name, measure, "s", ours[name], peer, theirs[name], bar, smaller_is_better=True)
            )
        lines.append(Comparison(model.name, "prompt read", "tok", ours["read"], peer, theirs["read"], None))
    return lines


def _question(model: Model, turn: int) -> Question:
    asked = for_model(translation(turn % 900 + 1), is_shape=model.is_shape)
    system, note = asked.messages
    return replace(asked, messages=(replace(system, content=system.content + _GLOSSARY), note))


def _ours(parameters: Parameters, model: Model, turn: int) -> Measured:
    parameters.edgechat.stop()
    with closing(parameters.edgechat.client()) as client:
        reply = ask(client, model.path, _question(model, turn))
    return {
        "ttft": reply.ttft_s - reply.loaded_s,
        "load": reply.loaded_s,
        "all": reply.ttft_s,
        "prompt": reply.prompt_tokens,
        "read": reply.prompt_tokens - reply.cached_tokens,
    }


def _server(parameters: Parameters, model: Model, flavour: str, settings: LoadSettings) -> Contender:
    binary, log = parameters.binary("llama-server", flavour), parameters.log(f"llama-server-{flavour}")

    def run_once(turn: int) -> Measured:
        began = time.monotonic()
        with llama_server(binary, model.path, log, settings, threads=settings.n_threads) as server:
            load_s = time.monotonic() - began
            reply = ask_server(server, _question(model, turn))
        return {
            "ttft": reply.ttft_s,
            "load": load_s,
            "all": load_s + reply.ttft_s,
            "prompt": reply.prompt_tokens,
            "read": reply.prompt_tokens - reply.cached_tokens,
        }

    return run_once
